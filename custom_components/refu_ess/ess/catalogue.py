"""All declared channels and bits, in the order of their blocks. `derived.py` adds the computed ones."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modbus_connection.model import Component, NumberField, PackedBitField, RawField, RegisterField

from .battery import Battery
from .enums import Code, GridMode
from .facts import FACTS, Bit, Channel
from .settings import Commands, PhaseSetpoints, TotalSetpoints
from .site import SITE_CHANNELS
from .status import Status

BLOCKS: Mapping[str, type[Component]] = {
    "status": Status,
    "battery": Battery,
    "commands": Commands,
    "total_setpoints": TotalSetpoints,
    "phase_setpoints": PhaseSetpoints,
}
"""The blocks of registers by the name of the device's attribute that holds them."""

INPUT_BLOCKS = ("status", "battery")
"""Read at every poll, one request each."""

SETTING_BLOCKS = ("commands", "total_setpoints", "phase_setpoints")
"""Read occasionally: they change only when written."""


@dataclass(frozen=True)
class ChannelEntry:
    """A channel and its location."""

    key: str
    channel: Channel
    block: str | None
    """The block it is read with; `None` if it is not read from a register."""
    field: RegisterField[Any] | None

    @property
    def unit(self) -> str | None:
        """The unit of its values."""
        return self.channel.unit if self.field is None else self.field.unit

    @property
    def addresses(self) -> range:
        """The registers that it is read from."""
        return range(0) if self.field is None else range(self.field.address, self.field.address + self.field.count)

    def decode(self, words: list[int]) -> Any:
        """Return the value that these words of its registers stand for; `None` if it has no register."""
        return None if self.field is None else self.field.decode(words)

    @property
    def is_word(self) -> bool:
        """Return whether its value is a register's word as it is."""
        return isinstance(self.field, RawField)

    @property
    def codes(self) -> type[Code] | None:
        """The enumeration of its values, if there is one."""
        if self.key == "grid_mode":
            return GridMode
        convert = self.field.convert if isinstance(self.field, NumberField) else None
        return convert if isinstance(convert, type) and issubclass(convert, Code) else None


@dataclass(frozen=True)
class BitEntry:
    """A labelled bit and its location."""

    key: str
    bit: Bit
    block: str
    word: ChannelEntry
    """The channel whose word contains it."""
    field: PackedBitField


def _register_channels() -> Iterator[ChannelEntry]:
    for block, component in BLOCKS.items():
        for key, field in component.declared_fields.items():
            if isinstance(field, RegisterField) and isinstance(fact := FACTS[field], Channel):
                yield ChannelEntry(key, fact, block, field)


REGISTER_CHANNELS = tuple(_register_channels())
"""The channels that are read from registers."""
CHANNELS_BY_KEY = {entry.key: entry for entry in REGISTER_CHANNELS}

SITE_ENTRIES = tuple(ChannelEntry(key, channel, None, None) for key, channel in SITE_CHANNELS.items())
"""The configured channels, and the maximum SoC."""


def _bits() -> Iterator[BitEntry]:
    words = {(entry.block, entry.field.address): entry for entry in REGISTER_CHANNELS if entry.field is not None}
    for block, component in BLOCKS.items():
        for key, field in component.declared_fields.items():
            if isinstance(field, PackedBitField) and isinstance(fact := FACTS[field], Bit):
                yield BitEntry(key, fact, block, words[block, field.address], field)


BITS = tuple(_bits())
"""The labelled bits."""


def _bits_by_word() -> Mapping[str, tuple[BitEntry, ...]]:
    found: defaultdict[str, list[BitEntry]] = defaultdict(list)
    for entry in BITS:
        found[entry.word.key].append(entry)
    return {key: tuple(entries) for key, entries in found.items()}


BITS_BY_WORD = _bits_by_word()
"""The labelled bits of each word, by the word's key."""
