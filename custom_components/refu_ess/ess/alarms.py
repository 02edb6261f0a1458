"""The alarm bits, ordered by severity."""

from collections.abc import Mapping
from typing import Any

from .catalogue import BITS, BitEntry
from .facts import Severity

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def severity_rank(entry: BitEntry) -> int:
    """Return the rank of an alarm's severity; 0 is the worst."""
    return _RANK[entry.bit.severity]


SMOKE = "fog_alarm"
"""The key of the alarm that ranks before all others: it is the only one that calls for keeping people away."""

ALARMS: tuple[BitEntry, ...] = tuple(
    sorted(
        (entry for entry in BITS if entry.bit.severity is not Severity.INFO),
        key=lambda entry: (entry.key != SMOKE, severity_rank(entry)),
    )
)
"""Every bit that can be an alarm: smoke, then the faults, the warnings and what is not ready."""


def effective_severity(entry: BitEntry) -> Severity:
    """Return the severity that an active alarm counts as: "not ready" warns, because a system at rest is not ready."""
    return Severity.WARNING if entry.bit.severity is Severity.READY else entry.bit.severity


def is_active(entry: BitEntry, value: bool | None, groups: int) -> bool:  # noqa: FBT001 - the bit's value
    """Return whether a bit of this value is an active alarm with `groups` installed battery groups.

    `None` is not, and a group that is not installed has no alarms.
    """
    return (
        value is not None and value is not (entry.bit.severity is Severity.READY) and (entry.bit.group or 0) <= groups
    )


def active(values: Mapping[str, Any]) -> tuple[BitEntry, ...]:
    """Return the active alarms among the values of all bits, the most severe first."""
    groups = values["battery_groups"]
    return tuple(entry for entry in ALARMS if is_active(entry, values[entry.key], groups))
