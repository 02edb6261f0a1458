"""The declared channels and bits, listed in the order of their addresses. `derived.py` adds what is computed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modbus_connection.model import Component, NumberField, PackedBitField, RegisterField

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
"""Read now and then: what they hold changes only when someone writes it."""


@dataclass(frozen=True)
class ChannelEntry:
    """A channel and where it is found."""

    key: str
    channel: Channel
    block: str | None
    """The block it is read with; `None` for what no register carries."""
    field: RegisterField[Any] | None

    @property
    def unit(self) -> str | None:
        """The unit of its values."""
        return self.channel.unit if self.field is None else self.field.unit

    @property
    def codes(self) -> type[Code] | None:
        """The codes that its values are members of, if they are."""
        if self.key == "grid_mode":
            return GridMode
        convert = self.field.convert if isinstance(self.field, NumberField) else None
        return convert if isinstance(convert, type) and issubclass(convert, Code) else None


@dataclass(frozen=True)
class BitEntry:
    """A labelled bit and where it is found."""

    key: str
    bit: Bit
    block: str
    word: ChannelEntry
    """The channel whose word it is a bit of."""
    field: PackedBitField


def _register_channels() -> Iterator[ChannelEntry]:
    for block, component in BLOCKS.items():
        for key, field in component.declared_fields.items():
            if isinstance(field, RegisterField) and isinstance(fact := FACTS[field], Channel):
                yield ChannelEntry(key, fact, block, field)


REGISTER_CHANNELS = tuple(_register_channels())
"""The 93 channels that registers carry."""
CHANNELS_BY_KEY = {entry.key: entry for entry in REGISTER_CHANNELS}

SITE_ENTRIES = tuple(ChannelEntry(key, channel, None, None) for key, channel in SITE_CHANNELS.items())
"""The seven channels that are configured, and one limit more."""


def _bits() -> Iterator[BitEntry]:
    words = {(entry.block, entry.field.address): entry for entry in REGISTER_CHANNELS if entry.field is not None}
    for block, component in BLOCKS.items():
        for key, field in component.declared_fields.items():
            if isinstance(field, PackedBitField) and isinstance(fact := FACTS[field], Bit):
                yield BitEntry(key, fact, block, words[block, field.address], field)


BITS = tuple(_bits())
"""The 123 labelled bits."""


def _bits_by_word() -> Mapping[str, tuple[BitEntry, ...]]:
    found: defaultdict[str, list[BitEntry]] = defaultdict(list)
    for entry in BITS:
        found[entry.word.key].append(entry)
    return {key: tuple(entries) for key, entries in found.items()}


BITS_BY_WORD = _bits_by_word()
"""The bits of each word that has labels, by the word's key."""
