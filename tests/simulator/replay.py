"""The words of a diagnostics download, to be served again."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Replay:
    """The answers of a device at the time of a diagnostics download."""

    words: dict[int, int]
    """By address; input and holding registers have none in common. Others answer with exception 2."""
    shifted: bool
    """The layout of InverterStatus that was chosen."""
    options: dict[str, Any]
    """Of the config entry: with others, the same words may show something else."""

    @classmethod
    def of(cls, download: dict[str, Any]) -> Self:
        """Take a download, or the `data` in it.

        Raises `ValueError` if it has no registers, or something else in their place.
        """
        data = download.get("data", download)
        if (tables := data.get("registers")) is None:
            raise ValueError("there are no registers in it: the ESS was not loaded when it was made")
        words = {int(address, 16): int(word, 16) for table in tables.values() for address, word in table.items()}
        if any(not 0 <= word <= 0xFFFF for word in words.values()):
            raise ValueError("a register has 16 bits")
        layout = data.get("inverter_status_layout", {}).get("chosen")
        return cls(words, layout == "shifted", data.get("entry", {}).get("options", {}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raises `ValueError` if it is not a diagnostics download, `OSError` if it cannot be read."""
        try:
            return cls.of(json.loads(path.read_text()))
        except (AttributeError, TypeError) as err:  # JSON of another shape
            raise ValueError("it is not a diagnostics download") from err

    @classmethod
    def read_or_exit(cls, path: Path) -> Self:
        """Read a file, or end the program with the reason."""
        try:
            return cls.read(path)
        except (OSError, ValueError) as err:
            sys.exit(f"{path}: {err}")
