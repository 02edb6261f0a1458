"""The memory of alarms: those that are active, since when, and those that were raised and cleared.

Pure: pictures go in, changes come out, and everything remembered fits into plain dicts. An alarm that comes and goes
between two readings cannot be seen. Times are seconds since 1970.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from .alarms import ALARMS
from .enums import Code
from .picture import Picture

VERSION = 1
"""Of the dicts. A later version may add to them; unknown content is ignored."""
CHANGES_KEPT = 500
CHANGES_KEPT_PER_ALARM = 20
"""One alarm that flaps at each reading must not displace the history of the others."""
SNAPSHOT = (
    "soc",
    "active_power",
    "battery_voltage",
    "battery_highest_temperature",
    "battery_lowest_temperature",
    "system_state",
    "error_code",
    "dcdc_error",
)
"""The channels that are kept with each change, in their units; `None` is unknown."""

_KEYS = frozenset(entry.key for entry in ALARMS)


@dataclass(frozen=True, kw_only=True)
class ActiveAlarm:
    """An alarm that is active, or was when it could be read last."""

    key: str
    since: float
    """The first reading that showed it."""
    found_at_start: bool
    """It was active at the first reading, or at the first after a gap: it may be older than `since`."""


@dataclass(frozen=True, kw_only=True)
class AlarmChange:
    """An alarm was raised or cleared."""

    key: str
    raised: bool
    """`False` means cleared."""
    at: float
    """The reading that showed it."""
    since: float
    """The first reading that showed the alarm."""
    duration_s: float | None
    """Seconds that a cleared alarm was active, `None` unless readings saw it both come and go."""
    found_at_start: bool
    """It happened while the registers could not be read: before Home Assistant started or during an outage."""
    snapshot: Mapping[str, Any]
    """The readings at that time, by channel."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The alarms in one reading."""

    active: frozenset[str]
    unknown: frozenset[str]
    """The alarms whose registers could not be read, or whose place is in doubt."""
    possible: frozenset[str]
    """The alarms of the installed parts."""
    snapshot: Mapping[str, Any]


def look(picture: Picture) -> Look:
    """Return the alarms in a picture."""
    values = picture.values
    return Look(
        active=frozenset(entry.key for entry in picture.alarms),
        unknown=frozenset(key for key in _KEYS if values[key] is None),
        possible=frozenset(entry.key for entry in ALARMS if (entry.bit.group or 0) <= values["battery_groups"]),
        snapshot={key: _plain(values[key]) for key in SNAPSHOT},
    )


def _plain(value: Any) -> Any:
    return value.slug if isinstance(value, Code) else value


class AlarmLog:
    """Compares each reading with what is remembered."""

    def __init__(self) -> None:
        """Start without a memory: the first reading reports no changes."""
        self._active: dict[str, ActiveAlarm] = {}
        self._history: list[AlarmChange] = []
        self._blank = True
        self._judged: frozenset[str] = frozenset()
        """The alarms that the reading before this one could judge."""

    @property
    def active(self) -> tuple[ActiveAlarm, ...]:
        """The active alarms, the most severe first, with those that cannot be read at present."""
        return tuple(self._active[entry.key] for entry in ALARMS if entry.key in self._active)

    @property
    def history(self) -> tuple[AlarmChange, ...]:
        """The latest changes, the oldest first."""
        return tuple(self._history)

    def observe(self, seen: Look, now: float) -> tuple[AlarmChange, ...]:
        """Process a reading and return the changes, the most severe alarm first.

        An alarm that cannot be read keeps its state. One that cannot exist any longer is forgotten without a change.
        """
        changes = []
        for entry in ALARMS:
            key = entry.key
            if key not in seen.possible:
                self._active.pop(key, None)
            elif key not in seen.unknown and (key in seen.active) is not (key in self._active):
                changes.append(self._change(key, seen, now))
        reported = () if self._blank else tuple(changes)
        judged = seen.possible - seen.unknown
        self._blank = self._blank and not judged
        self._judged = judged
        if reported:
            self._keep(reported)
        return reported

    def _change(self, key: str, seen: Look, now: float) -> AlarmChange:
        found = key not in self._judged
        before = self._active.pop(key, None)
        duration = None
        if before is None:
            self._active[key] = ActiveAlarm(key=key, since=now, found_at_start=found)
        elif not found and not before.found_at_start and now >= before.since:  # a clock may have been set back
            duration = round(now - before.since, 3)
        return AlarmChange(
            key=key,
            raised=before is None,
            at=now,
            since=now if before is None else before.since,
            duration_s=duration,
            found_at_start=found,
            snapshot=seen.snapshot,
        )

    def _keep(self, changes: Iterable[AlarmChange]) -> None:
        self._history.extend(changes)
        kept: list[AlarmChange] = []
        times: Counter[str] = Counter()
        for change in reversed(self._history):
            times[change.key] += 1
            if times[change.key] <= CHANGES_KEPT_PER_ALARM:
                kept.append(change)
        self._history = kept[:CHANGES_KEPT][::-1]

    # To and from a file

    def as_dict(self) -> dict[str, Any]:
        """Return all that is remembered as plain dicts."""
        return {
            "version": VERSION,
            "active": [asdict(alarm) for alarm in self.active],
            "history": [asdict(change) for change in self._history],
        }

    @classmethod
    def from_dict(cls, stored: object) -> Self:
        """Return a log that remembers what was stored; unknown content is ignored."""
        log = cls()
        if isinstance(stored, Mapping) and isinstance(stored.get("active"), list):
            log._blank = False
            log._active = {alarm.key: alarm for alarm in _read(ActiveAlarm, stored["active"])}
            log._keep(_read(AlarmChange, stored.get("history")))
        return log


_NUMBER = (int, float)
_TYPES: Mapping[str, tuple[type, ...]] = {
    "key": (str,),
    "raised": (bool,),
    "at": _NUMBER,
    "since": _NUMBER,
    "duration_s": (*_NUMBER, type(None)),
    "found_at_start": (bool,),
    "snapshot": (dict,),
}


def _read[T: (ActiveAlarm, AlarmChange)](kind: type[T], stored: object) -> Iterator[T]:
    """Yield the entries that are complete, of the right types, and about an existing alarm."""
    names = [field.name for field in fields(kind)]
    for item in stored if isinstance(stored, list) else ():
        if not isinstance(item, Mapping):
            continue
        if all(isinstance(item.get(name, ...), _TYPES[name]) for name in names) and item["key"] in _KEYS:
            yield kind(**{name: item[name] for name in names})
