"""Blocks of registers: what one request reads, how its last reading went, and when it is due again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from typing import Any, override

from modbus_connection import (
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusError,
)
from modbus_connection.model import Component, PackedBitField, RegisterField

from .catalogue import BITS_BY_WORD, CHANNELS_BY_KEY
from .link import is_unheard

REFUSED_RETRY_SECONDS = 300.0
"""Seconds until registers that the device refused are tried again."""
SILENT_RETRY_SECONDS = 1.0
"""Seconds until settings that brought no answer are tried again, doubled each time."""
SILENT_RETRY_MAXIMUM_SECONDS = 300.0
TIMER_TOLERANCE_SECONDS = 0.05
"""A timer fires a little late, so two polls may be slightly closer together than the interval."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The decoding of a request's words."""

    fields: tuple[tuple[tuple[str, RegisterField[Any], int, int], ...], ...]
    """For each word the fields that it is part of: key, field, first word, word after the last."""
    codes: Mapping[str, int]
    """Which words are codes, by key."""
    labelled: Mapping[int, tuple[str, int]]
    """The words with labelled bits: their key, and the mask of all that are described."""
    keys: frozenset[str]
    unknown: Mapping[str, None]
    """The values of all keys while they cannot be read."""


@cache
def _plan(component: type[Component], first: int, last: int) -> Plan:
    fields: list[list[tuple[str, RegisterField[Any], int, int]]] = [[] for _ in range(first, last + 1)]
    codes: dict[str, int] = {}
    labelled: dict[int, tuple[str, int]] = {}
    for key, field in component.declared_fields.items():
        if not isinstance(field, RegisterField) or not first <= field.address <= last:
            continue
        start = field.address - first
        for offset in range(start, start + field.count):
            fields[offset].append((key, field, start, start + field.count))
        if (channel := CHANNELS_BY_KEY.get(key)) is not None and channel.codes is not None:
            codes[key] = start
        if key in BITS_BY_WORD:
            placed = [component.declared_fields[entry.key] for entry in BITS_BY_WORD[key]]
            labelled[start] = (key, reduce(or_, (one.mask for one in placed if isinstance(one, PackedBitField))))
    keys = frozenset(key for parts in fields for key, *_ in parts)
    return Plan(tuple(map(tuple, fields)), codes, labelled, keys, dict.fromkeys(keys))


class Piece:
    """The registers of one request."""

    def __init__(self, component: type[Component], first: int, last: int) -> None:
        """Store the range of registers, `first` to `last`, of a block; nothing has been read yet."""
        self.holding = component.register_space == "holding"
        self.address, self.count = first, last - first + 1
        self.words: tuple[int, ...] = ()
        """Of the last good reading."""
        self.readings: Mapping[str, Any] = {}
        """The decoded words of the last good reading, by key. Replaced, never changed."""
        self.codes: Mapping[str, int] = {}
        """The words among them that are codes, by key."""
        self.failure: ModbusError | None = None
        """Why the last reading failed, `None` if it did not."""
        self.read_at: float | None = None
        self.asked_at: float | None = None
        self.retry_s: float | None = None
        """Seconds until it is asked again after a failure."""
        self._plan = _plan(component, first, last)  # type: ignore[arg-type] # a class can be hashed
        self.keys, self.unknown = self._plan.keys, self._plan.unknown

    @property
    def available(self) -> bool:
        """Return whether the last read succeeded."""
        return self.read_at is not None and self.failure is None

    @property
    def refused(self) -> bool:
        """Return whether the device says that it does not have these registers."""
        return isinstance(self.failure, (IllegalDataAddressError, IllegalFunctionError))

    @property
    def silent(self) -> bool:
        """Return whether the last read got no answer, or that to another request."""
        return is_unheard(self.failure)

    def due(self, now: float, interval: float) -> bool:
        """Return whether it is time to read it, `interval` seconds after the last time."""
        if self.asked_at is None:
            return True
        wait = interval if self.retry_s is None else self.retry_s
        return now - self.asked_at >= wait - TIMER_TOLERANCE_SECONDS

    def take(self, words: list[int], now: float) -> bool:
        """Store a good reading, decoding only the words that changed; returns whether any did."""
        self.read_at, self.failure, self.retry_s = now, None, None
        new = tuple(words)
        if new == (old := self.words):
            return False
        decoded = {
            key: field.decode(words[start:stop])
            for offset, fields in enumerate(self._plan.fields)
            if not old or new[offset] != old[offset]
            for key, field, start, stop in fields
        }
        self.words, self.readings = new, {**self.readings, **decoded}
        self.codes = {key: new[offset] for key, offset in self._plan.codes.items()}
        return True

    def fail(self, failure: ModbusError, *, silent_alone: bool = False) -> None:
        """Record a failed reading; `silent_alone` if other registers of the device do answer."""
        self.failure = failure
        if self.refused:
            self.retry_s = REFUSED_RETRY_SECONDS
        elif silent_alone:
            self.retry_s = min(max(2 * (self.retry_s or 0.0), SILENT_RETRY_SECONDS), SILENT_RETRY_MAXIMUM_SECONDS)
        else:
            self.retry_s = 0.0

    def hasten(self) -> None:
        """After a failure, ask again at the next poll, whatever the reason was."""
        if self.failure is not None:
            self.retry_s = 0.0

    def unlabelled_bits(self) -> dict[str, int]:
        """The undeclared bits that are set, as a mask by the word's key."""
        return {
            key: bits for offset, (key, mask) in self._plan.labelled.items() if (bits := self.words[offset] & ~mask)
        }


class Words(Mapping[int, int]):
    """The words of a block by address; it never changes."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        """Store the present words of the pieces."""
        self._pieces = [(piece.address, piece.words) for piece in pieces]

    @override
    def __getitem__(self, address: int) -> int:
        for first, words in self._pieces:
            if 0 <= address - first < len(words):
                return words[address - first]
        raise KeyError(address)

    @override
    def __iter__(self) -> Iterator[int]:
        for first, words in self._pieces:
            yield from range(first, first + len(words))

    @override
    def __len__(self) -> int:
        return sum(len(words) for _, words in self._pieces)


class Block:
    """The registers that belong together, read in one request or in several."""

    def __init__(self, component: type[Component]) -> None:
        """Store the declared ranges, each of which is one request."""
        self.pieces = tuple(Piece(component, first, last) for first, last in component.register_ranges or ())

    @property
    def available(self) -> bool:
        """Return whether the last read of all its pieces succeeded."""
        return all(piece.available for piece in self.pieces)

    @property
    def failure(self) -> ModbusError | None:
        """Why a part of it could not be read, `None` if all was or nothing was asked for."""
        for piece in self.pieces:
            if piece.failure is not None:
                return piece.failure
        return None

    @property
    def refused(self) -> bool:
        """Return whether the device says that it does not have some of these registers."""
        return any(piece.refused for piece in self.pieces)

    @property
    def read_at(self) -> float | None:
        """Time of the oldest reading among its pieces, `None` if one was never read."""
        times = [piece.read_at for piece in self.pieces]
        known = [at for at in times if at is not None]
        return min(known) if len(known) == len(times) else None

    @property
    def asked_at(self) -> float | None:
        """Time of the oldest request among its pieces, `None` if one was never requested."""
        times = [piece.asked_at for piece in self.pieces]
        known = [at for at in times if at is not None]
        return min(known) if len(known) == len(times) else None

    @property
    def words(self) -> Words:
        """The words of the last good reading, by address."""
        return Words(self.pieces)

    @property
    def is_zero(self) -> bool:
        """Return whether all words of the last good reading are zero."""
        return not any(any(piece.words) for piece in self.pieces)

    @property
    def readings(self) -> dict[str, Any]:
        """The decoded words of the last good reading, by key."""
        return {key: value for piece in self.pieces for key, value in piece.readings.items()}
