"""The registers that all measured integrations read, taken from the declared channels."""

from itertools import chain
from typing import NamedTuple

from modbus_connection.model import NumberField

from custom_components.refu_ess.ess import BITS, BLOCKS, INPUT_BLOCKS, REGISTER_CHANNELS
from tests.registers import BATTERY_ADDRESSES, STATUS_ADDRESSES


class Number(NamedTuple):
    """A number on the wire."""

    key: str
    address: int
    words: int
    scale: float
    unit: str | None


REQUESTS = (*((4, block.start, len(block)) for block in (STATUS_ADDRESSES, BATTERY_ADDRESSES)), (3, 0x200, 11))
"""Function, first address, number of words: the least that reads everything."""
NUMBERS = tuple(
    Number(entry.key, entry.field.address, entry.field.count, getattr(entry.field, "scale", 1), entry.unit)
    for entry in REGISTER_CHANNELS
    if entry.field is not None
)
FLAGS = tuple((entry.key, entry.field.address, entry.field.start) for entry in BITS)
READ_EVERY_POLL = frozenset(
    address
    for name in INPUT_BLOCKS
    for first, last in BLOCKS[name].register_ranges or ()
    for address in range(first, last + 1)
)
MOVING = tuple(one.address for one in NUMBERS if one.unit is not None and one.address in READ_EVERY_POLL)
"""The words that move while the system runs: the first one of each measurement."""
COUNTERS = frozenset(one.address for one in NUMBERS if one.words > 1)

START = dict.fromkeys(chain(*(range(first, first + count) for _, first, count in REQUESTS)), 0)
"""A healthy system at rest."""
for _entry in REGISTER_CHANNELS:
    if isinstance(_entry.field, NumberField):
        START |= dict(enumerate(_entry.field.encode(_entry.channel.nominal), _entry.field.address))
START |= {0x101: 0x600, 0x102: 0x17}
