"""Which bits can be an alarm, and in which order of severity."""

from .catalogue import BITS, BitEntry
from .facts import Severity

_RANK = {severity: rank for rank, severity in enumerate(Severity)}

ALARMS: tuple[BitEntry, ...] = tuple(
    sorted(
        (entry for entry in BITS if entry.bit.severity is not Severity.INFO),
        key=lambda entry: _RANK[entry.bit.severity],
    )
)
"""Every bit that can be an alarm, the most severe first."""


def counts_as(entry: BitEntry) -> Severity:
    """How an active alarm counts: what is not ready warns, since a system at rest is not ready either."""
    return Severity.WARNING if entry.bit.severity is Severity.READY else entry.bit.severity


def is_active(entry: BitEntry, *, value: bool | None) -> bool:
    """Whether a bit of this value is an active alarm; an unknown one is not."""
    return value is not None and value is not (entry.bit.severity is Severity.READY)
