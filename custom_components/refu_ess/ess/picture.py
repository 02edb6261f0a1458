"""The picture that a poll leaves: every value, what is unavailable, the active alarms, and what changed.

A picture never changes. The next one is developed from it, and only what depends on a change is computed again.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .alarms import ALARMS, active
from .catalogue import BITS, REGISTER_CHANNELS, BitEntry
from .derived import CONDITIONS, DERIVED, Computed
from .enums import InverterStatusLayout

COMPUTED: Mapping[str, Computed] = {**DERIVED, **CONDITIONS}
"""The values computed from others, by key."""


def _dependents() -> Mapping[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, computed in COMPUTED.items():
        for need in computed.needs:
            found[need].append(key)
    return {need: tuple(keys) for need, keys in found.items()}


DEPENDENTS = _dependents()
"""The keys that are computed from a value, by its key."""
_ALARM_KEYS = frozenset({"battery_groups", *(entry.key for entry in ALARMS)})
_READ_KEYS = frozenset(entry.key for entry in REGISTER_CHANNELS) | {entry.key for entry in BITS}
_READ_NEEDS = {key: tuple(need for need in computed.needs if need in _READ_KEYS) for key, computed in COMPUTED.items()}
"""Those of its needs that are read and can be unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """The readings that a picture is developed from, compared by identity: comparing every value is slow."""

    values: Mapping[str, Any]
    """The values that are read and configured, by key, and how many battery groups there are. `None` is unknown."""
    unavailable: frozenset[str] = frozenset()
    """The keys among them whose registers could not be read."""
    codes: Mapping[str, int] = MappingProxyType({})
    """The codes on the wire of the channels that carry some, by key: one without a name can still be seen."""
    words: Mapping[str, Mapping[int, int]] = MappingProxyType({})
    """The words of the last good reading of each block, by address."""
    suggested_layout: InverterStatusLayout | None = None
    """The InverterStatus layout that the readings suggest, if it differs from the chosen one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything known of an ESS at one moment."""

    exposure: Exposure
    values: Mapping[str, Any]
    """The value of every channel, bit and condition by key. `None` is unknown."""
    unavailable: frozenset[str]
    """The keys that belong to registers which could not be read; their value is `None`."""
    alarms: tuple[BitEntry, ...]
    """The active alarms, most severe first. Those of battery groups that are not installed are ignored."""
    changed: frozenset[str]
    """The keys whose shown value or availability differs from the picture before."""

    def available(self, key: str) -> bool:
        """Return whether the registers of this key were read the last time they were asked for."""
        return key not in self.unavailable

    @property
    def codes(self) -> Mapping[str, int]:
        """The codes on the wire of the channels that carry some, by key."""
        return self.exposure.codes

    @property
    def words(self) -> Mapping[str, Mapping[int, int]]:
        """The words of the last good reading of each block, by address."""
        return self.exposure.words

    @property
    def suggested_layout(self) -> InverterStatusLayout | None:
        """The InverterStatus layout that the readings suggest, if it differs from the chosen one."""
        return self.exposure.suggested_layout


def develop(previous: Picture | None, exposure: Exposure) -> Picture:
    """Return the picture of `exposure`, computing only what differs from `previous`."""
    if previous is not None and previous.exposure is exposure:
        return replace(previous, changed=frozenset()) if previous.changed else previous
    changed = set(exposure.values) if previous is None else _differences(previous.exposure, exposure)
    values = dict(exposure.values.items())
    unavailable = set(exposure.unavailable)
    if previous is not None:
        values.update((key, previous.values[key]) for key in COMPUTED)
        unavailable.update(previous.unavailable & COMPUTED.keys())
    for key in {dependent for need in changed for dependent in DEPENDENTS.get(need, ())}:
        before = (values.get(key), key in unavailable)
        _compute(key, values, unavailable)
        if previous is None or (values[key], key in unavailable) != before:
            changed.add(key)
    if previous is not None and changed.isdisjoint(_ALARM_KEYS):
        alarms = previous.alarms
    else:
        alarms = active(values)
        if previous is None or alarms != previous.alarms:
            changed.add("active_alarms")  # the same number of other alarms is another list
    return Picture(
        exposure=exposure,
        values=MappingProxyType(values),
        unavailable=frozenset(unavailable),
        alarms=alarms,
        changed=frozenset(changed),
    )


def _differences(before: Exposure, after: Exposure) -> set[str]:
    old, old_codes = before.values, before.codes
    changed = {key for key, value in after.values.items() if value != old[key]}
    changed |= before.unavailable ^ after.unavailable
    changed |= {key for key in old_codes.keys() | after.codes if after.codes.get(key) != old_codes.get(key)}
    return changed


def _compute(key: str, values: dict[str, Any], unavailable: set[str]) -> None:
    """Compute a value; it is unavailable if the values that it needs are."""
    computed = COMPUTED[key]
    missing = [need in unavailable for need in _READ_NEEDS[key]]
    known = [values[need] for need in computed.needs]
    gone = all(missing) if computed.partial else any(missing)
    unavailable.discard(key)
    if gone:
        unavailable.add(key)
    values[key] = None if gone or (not computed.partial and None in known) else computed.compute(*known)
