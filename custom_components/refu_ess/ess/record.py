"""The record that outlives the process: what is owed to the device, and what must not be forgotten at a restart.

Versioned and tolerant: unknown keys are kept and ignored, so that a newer file survives an older release.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .setpoint import Envelope, Power
from .soc_protection import SocState


@dataclass(frozen=True, kw_only=True)
class OwedZero:
    """A zero that is owed from before the first write of a lease until zero has been delivered."""

    ours: Envelope
    """The setpoints that the device may hold; the number of its values says which registers are in use."""
    owner: str
    taken_at: float
    """Seconds since 1970."""

    @property
    def phases(self) -> int:
        """The number of setpoints of each kind."""
        return len(self.ours.lower) // 2


@dataclass(frozen=True, kw_only=True)
class Record:
    """The content of the record."""

    zero: OwedZero | None = None
    unknown_zero: bool = False
    """The record could not be read: a zero may be owed."""
    reset_owed: bool = False
    """The error reset register may hold 1."""
    last_reset: float | None = None
    """Seconds since 1970."""
    resets: int = 0
    fault_recovery: bool = False
    stopped: bool = False
    """A user's STOP forbids the recovery to start."""
    smoke: bool = False
    """A smoke alarm forbids the recovery to act until a user does."""
    soc_protection: bool = False
    soc_state: SocState = SocState.NORMAL
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Keys of another release."""

    def as_dict(self) -> dict[str, Any]:
        """Return what is stored."""
        zero = self.zero
        return dict(self.unknown) | {
            "zero": None
            if zero is None
            else {
                "lower": list(zero.ours.lower),
                "upper": list(zero.ours.upper),
                "owner": zero.owner,
                "taken_at": zero.taken_at,
            },
            "unknown_zero": self.unknown_zero,
            "reset_owed": self.reset_owed,
            "last_reset": self.last_reset,
            "resets": self.resets,
            "fault_recovery": self.fault_recovery,
            "stopped": self.stopped,
            "smoke": self.smoke,
            "soc_protection": self.soc_protection,
            "soc_state": self.soc_state.value,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the record of this or an earlier release; `unknown_zero` is set where it makes no sense."""
        known = {key: value for key, value in stored.items() if key in STORED_KEYS}
        unknown = {key: value for key, value in stored.items() if key not in STORED_KEYS and key != FIRST_RELEASE_LEASE}
        try:
            return cls(
                zero=_zero(stored),
                unknown_zero=_checked(bool, known.get("unknown_zero", False)),
                reset_owed=_checked(bool, known.get("reset_owed", False)),
                last_reset=None if known.get("last_reset") is None else _number(known["last_reset"]),
                resets=_checked(int, known.get("resets", 0)),
                fault_recovery=_checked(bool, known.get("fault_recovery", False)),
                stopped=_checked(bool, known.get("stopped", False)),
                smoke=_checked(bool, known.get("smoke", False)),
                soc_protection=_checked(bool, known.get("soc_protection", False)),
                soc_state=SocState(known.get("soc_state", SocState.NORMAL.value)),
                unknown=unknown,
            )
        except KeyError, TypeError, ValueError:
            return cls(unknown_zero=True)


STORED_KEYS = frozenset(Record().as_dict())
FIRST_RELEASE_LEASE = "lease"
"""The first release stored the request as totals instead of the range of setpoints."""


def _zero(stored: Mapping[str, Any]) -> OwedZero | None:
    if (lease := stored.get(FIRST_RELEASE_LEASE)) is not None:
        asked = Power.total(_number(lease["active_power"]), _number(lease["reactive_power"]), 1)
        return OwedZero(ours=Envelope.zero(1).widened(asked), owner=str(lease["owner"]), taken_at=0.0)
    if (zero := stored.get("zero")) is None:
        return None
    lower, upper = (tuple(map(_number, zero[edge])) for edge in ("lower", "upper"))
    if len(lower) != len(upper) or len(lower) not in {2, 6}:
        raise ValueError("a range needs 2 or 6 values at each end")
    return OwedZero(ours=Envelope(lower, upper), owner=str(zero["owner"]), taken_at=_number(zero["taken_at"]))


def _checked[T](kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return float(value)
