"""The protection of the state of charge: a reserve that is not discharged, a charge from below, and a maximum.

The four-state logic of OpenEMS 2021, which has no gap below the minimum. Unlike there, charging stops at the
maximum.
"""

from dataclasses import dataclass
from enum import Enum

from .enums import SystemState
from .limit import Limit
from .refusal import OutOfRangeError

HYSTERESIS_PERCENT = 5
"""Percentage points above the minimum at which discharging is permitted again."""
RECHARGE_PERCENT = 2
"""Percentage points below the maximum at which charging is permitted again."""
FULL_PERCENT = 99
"""State of charge from which a battery that permits no charge counts as full."""
MAXIMUM_PERCENT = 100
FORCED_SHARE = 5
"""A forced charge is at least a fifth of what the battery permits."""
FORCED_MINIMUM_W = 1000
FORCED_WHEN_EMPTY_W = 5100
"""The smallest charge that an empty battery can hold: the border of the dead band."""
NO_POWER_W = 100
"""Permitted power below this counts as none."""


class SocState(Enum):
    """The zone of the state of charge."""

    NORMAL = "normal"
    MIN_SOC = "min_soc"
    CHARGE_SOC = "charge_soc"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class SocSettings:
    """The limits in whole %. Raises `OutOfRangeError` naming the field and its range."""

    min_soc: float = 10
    charge_soc: float = 8
    max_soc: float = 100

    def __post_init__(self) -> None:
        """Check their order."""
        if not 0 <= self.min_soc < FULL_PERCENT - HYSTERESIS_PERCENT:
            raise OutOfRangeError("min_soc", 0, FULL_PERCENT - HYSTERESIS_PERCENT - 1, "%")
        if not 0 <= self.charge_soc <= self.min_soc:
            raise OutOfRangeError("charge_soc", 0, self.min_soc, "%")
        if not self.min_soc + HYSTERESIS_PERCENT < self.max_soc <= MAXIMUM_PERCENT:
            raise OutOfRangeError("max_soc", self.min_soc + HYSTERESIS_PERCENT + 1, MAXIMUM_PERCENT, "%")


@dataclass(frozen=True)
class SocBounds:
    """Bounds on the total power in W and the limits that they stand for; `None` is no bound."""

    lower_w: float | None = None
    upper_w: float | None = None
    lower_limit: Limit = Limit.SOC_MAXIMUM
    upper_limit: Limit = Limit.SOC_RESERVE


UNBOUNDED = SocBounds()


def next_state(
    state: SocState,
    soc: float | None,
    allowed_charge_w: float | None,
    system_state: SystemState | None,
    settings: SocSettings,
) -> SocState:
    """Return the next state; an unknown state of charge changes nothing."""
    if soc is None:
        return state
    found = state
    match state:
        case SocState.NORMAL if soc <= settings.min_soc:
            found = SocState.MIN_SOC
        case SocState.NORMAL if soc >= settings.max_soc or (
            soc >= FULL_PERCENT and abs(allowed_charge_w or 0.0) < NO_POWER_W and system_state is SystemState.START
        ):
            found = SocState.FULL
        case SocState.MIN_SOC if soc < settings.charge_soc:
            found = SocState.CHARGE_SOC
        case SocState.MIN_SOC if soc >= settings.min_soc + HYSTERESIS_PERCENT:
            found = SocState.NORMAL
        case SocState.CHARGE_SOC if soc > settings.min_soc:
            found = SocState.MIN_SOC
        case SocState.FULL if soc <= settings.min_soc:
            found = SocState.MIN_SOC
        case SocState.FULL if soc <= settings.max_soc - RECHARGE_PERCENT:
            found = SocState.NORMAL
    return found


def bounds(
    state: SocState, soc: float | None, allowed_charge_w: float | None, allowed_discharge_w: float | None
) -> SocBounds:
    """Return what a state demands. The signs of the permitted powers do not count.

    While the state of charge is unknown, neither charging nor discharging can be judged, so neither is permitted.
    """
    if soc is None:
        return SocBounds(0.0, 0.0, Limit.SOC_UNKNOWN, Limit.SOC_UNKNOWN)
    match state:
        case SocState.CHARGE_SOC:
            permitted = abs(allowed_charge_w or 0.0)
            wanted = min(max(permitted / FORCED_SHARE, FORCED_MINIMUM_W), permitted)
            if abs(allowed_discharge_w or 0.0) < NO_POWER_W:
                wanted = max(wanted, FORCED_WHEN_EMPTY_W)
            if wanted <= permitted:
                return SocBounds(upper_w=-wanted, upper_limit=Limit.SOC_CHARGE)
            return SocBounds(upper_w=0.0)
        case SocState.MIN_SOC:
            return SocBounds(upper_w=0.0)
        case SocState.FULL:
            return SocBounds(lower_w=0.0)
        case _:
            return UNBOUNDED
