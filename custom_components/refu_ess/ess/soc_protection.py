"""The protection of the state of charge: a reserve that is not discharged, a charge from below, and a stop when full.

The four-state logic of the last software that had one; it has no gap below the minimum.
"""

from dataclasses import dataclass
from enum import Enum

from .enums import SystemState
from .refusal import OutOfRangeError

HYSTERESIS_PERCENT = 5
"""So far above the minimum must the state of charge rise before discharging is permitted again."""
FULL_PERCENT = 99
FORCED_SHARE = 5
"""A forced charge takes at least a fifth of what the battery permits."""
FORCED_MINIMUM_W = 1000
FORCED_WHEN_EMPTY_W = 5100
"""An empty battery cannot hold a smaller charge: the dead band."""
NO_POWER_W = 100


class SocState(Enum):
    """Where the state of charge stands."""

    NORMAL = "normal"
    MIN_SOC = "min_soc"
    CHARGE_SOC = "charge_soc"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class SocSettings:
    """The limits in whole %. Raises `OutOfRangeError` naming the field and its range."""

    min_soc: float = 10
    charge_soc: float = 8
    max_soc: float = 95

    def __post_init__(self) -> None:
        """Check that they stand in their order."""
        if not 0 <= self.min_soc < FULL_PERCENT - HYSTERESIS_PERCENT:
            raise OutOfRangeError("min_soc", 0, FULL_PERCENT - HYSTERESIS_PERCENT - 1, "%")
        if not 0 <= self.charge_soc <= self.min_soc:
            raise OutOfRangeError("charge_soc", 0, self.min_soc, "%")
        if not self.min_soc + HYSTERESIS_PERCENT < self.max_soc <= FULL_PERCENT:
            raise OutOfRangeError("max_soc", self.min_soc + HYSTERESIS_PERCENT + 1, FULL_PERCENT, "%")


@dataclass(frozen=True)
class SocBounds:
    """What the protection demands of the total power in W; `None` demands nothing."""

    lower_w: float | None = None
    upper_w: float | None = None


UNBOUNDED = SocBounds()


def next_state(
    state: SocState,
    soc: float | None,
    allowed_charge_w: float | None,
    system_state: SystemState | None,
    settings: SocSettings,
) -> SocState:
    """Return the state that follows a reading; an unknown state of charge changes nothing."""
    if soc is None:
        return state
    found = state
    match state:
        case SocState.NORMAL if soc <= settings.min_soc:
            found = SocState.MIN_SOC
        case SocState.NORMAL if (
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
        case SocState.FULL if soc < settings.max_soc:
            found = SocState.NORMAL
    return found


def bounds(
    state: SocState, soc: float | None, allowed_charge_w: float | None, allowed_discharge_w: float | None
) -> SocBounds:
    """Return what a state demands. Allowed powers count by magnitude.

    While the state of charge is unknown nothing may be discharged, and what the state demands besides still holds.
    """
    if state is SocState.CHARGE_SOC:
        permitted = abs(allowed_charge_w or 0.0)
        wanted = min(max(permitted / FORCED_SHARE, FORCED_MINIMUM_W), permitted)
        if abs(allowed_discharge_w or 0.0) < NO_POWER_W:
            wanted = max(wanted, FORCED_WHEN_EMPTY_W)
        return SocBounds(upper_w=-wanted if wanted <= permitted else 0.0)
    return SocBounds(
        lower_w=0.0 if state is SocState.FULL else None,
        upper_w=0.0 if state is SocState.MIN_SOC or soc is None else None,
    )
