"""The power sent for a requested power, and the reason when it is less: one pure function.

Powers in W and var; charge is negative, discharge positive. Equal inputs give equal results.
"""

import math
from dataclasses import dataclass

from . import limits
from .enums import BatteryMode, BatteryState, OperationMode, SystemState
from .limit import Limit
from .reading import Reading
from .refusal import OutOfRangeError
from .setpoint import STEP, Power
from .soc_protection import UNBOUNDED, SocBounds


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The owner's limits. Raises `OutOfRangeError` naming the field and its range."""

    apparent_limit_va: float = 100_000
    start_delay_s: float = 30
    """After system state Start is reached; OpenEMS 2017 has such a delay but names no value."""
    ramp_w_per_s: float = 1000
    stale_after_s: float = 5
    dead_band_w: float = 5000
    ignore_stop_request: bool = False
    longest_hold_s: float = 86_400
    """The longest time that a setpoint is held without a new command."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, permitted in limits.CONTROL.items():
            permitted.check(name, getattr(self, name))


@dataclass(frozen=True)
class Decision:
    """The power to send, and the reason why it is not the one requested."""

    power: Power
    limit: Limit


FULL_OR_EMPTY_W = 100
"""Permitted power below this counts as zero: the registers have steps of 100 W."""
DEAD_BAND_MARGIN_W = 100
"""It is unverified whether the device accepts exactly 5000 W, so the border itself belongs to the band."""


def decide(
    asked: Power,
    reading: Reading,
    settings: Settings,
    *,
    running_for_s: float | None,
    bounds: SocBounds = UNBOUNDED,
) -> Decision:
    """Return what to send for `asked`.

    `running_for_s` is how long system state Start has been seen without a gap, `None` if it is not. Limits only ever
    reduce power, except for the forced charge of `bounds`. Raises `OutOfRangeError` if `asked` is not finite.
    """
    if not math.isfinite(sum(map(abs, (*asked.active_w, *asked.reactive_var)))):
        raise OutOfRangeError("power", limits.POWER.minimum, limits.POWER.maximum, limits.POWER.unit)
    phases = len(asked.active_w)
    if asked.is_zero:
        return Decision(Power.zero(phases), Limit.NOTHING_ASKED)
    if (blocker := _blocker(reading, settings)) is not None:
        return Decision(Power.zero(phases), blocker)
    power, limit = _within_battery(asked, reading, bounds)
    power, limit = _ramped(power, limit, settings, running_for_s or 0.0)
    power, limit = _within_apparent(power, limit, settings)
    if _in_dead_band(power.total_active_w, reading, settings):
        return Decision(Power.zero(phases), Limit.DEAD_BAND)
    if power.is_zero and limit is Limit.NONE:
        return Decision(power, Limit.BELOW_STEP)
    return Decision(power, limit)


def _blocker(reading: Reading, settings: Settings) -> Limit | None:
    """Return the first reason to send nothing at all."""
    reasons = (
        (Limit.STALE_DATA, not reading.is_fresh(settings.stale_after_s)),
        (Limit.FAULT, reading.fault),
        (Limit.SYSTEM_STATE, reading.system_state is not SystemState.START),
        (Limit.BATTERY_STATE, reading.battery_state is not BatteryState.START),
        (Limit.BATTERY_MODE, reading.battery_mode is not BatteryMode.NORMAL_MODE),
        (
            Limit.OPERATION_MODE,
            reading.commands_readable and reading.operation_mode is not OperationMode.PQ_SET_POINT,
        ),
        (Limit.STOP_REQUEST, reading.stop_request != 0 and not settings.ignore_stop_request),
        (Limit.NOT_READY, not reading.ready),
        (Limit.OTHER_SETPOINTS, reading.other_setpoints_zero is False),
        (Limit.MAINS, reading.mains_ok is False),
    )
    return next((limit for limit, applies in reasons if applies), None)


def _within_battery(asked: Power, reading: Reading, bounds: SocBounds) -> tuple[Power, Limit]:
    """Keep the total within what battery and inverter permit and the protection of the state of charge demands.

    Bounds are whole steps, so that rounding never passes one.
    """
    allowed_charge, allowed_discharge = _magnitude(reading.allowed_charge_w), _magnitude(reading.allowed_discharge_w)
    inverter_charge = _magnitude(reading.inverter_charge_w)
    inverter_discharge = _magnitude(reading.inverter_discharge_w)
    # Both are zero while the battery permits power: the registers are not served, so they are ignored.
    plausible = bool(inverter_charge or inverter_discharge)
    lower = [(-allowed_charge, Limit.BATTERY_CHARGE)]
    upper = [(allowed_discharge, Limit.BATTERY_DISCHARGE)]
    if plausible:
        lower.append((-inverter_charge, Limit.INVERTER_CHARGE))
        upper.append((inverter_discharge, Limit.INVERTER_DISCHARGE))
    if bounds.lower_w is not None:
        lower.append((bounds.lower_w, bounds.lower_limit))
    floor, floor_limit = max(lower, key=lambda one: one[0])
    ceiling, ceiling_limit = min(upper, key=lambda one: one[0])
    floor, ceiling = -_floor(-floor), _floor(ceiling)
    if bounds.upper_w is not None and bounds.upper_w < ceiling:
        ceiling = max(_floor(bounds.upper_w), floor)  # a forced charge never overrides what the battery permits
        ceiling_limit = bounds.upper_limit
    total = asked.total_active_w
    if not any(asked.active_w):
        return asked, Limit.NONE  # a request for reactive power only never becomes active power
    if total < floor:
        bound, limit = floor, floor_limit
    elif total > ceiling:
        bound, limit = ceiling, ceiling_limit
    else:
        return asked, Limit.NONE
    if bound == 0:  # reactive power without active power is unverified on this device, so a limit leaves none behind
        return Power.zero(len(asked.active_w)), limit
    return _with_total(asked, bound), limit


def _magnitude(limit_w: float | None) -> float:
    """Return a limit without its sign; a missing limit permits nothing."""
    return abs(limit_w) if limit_w is not None and math.isfinite(limit_w) else 0.0


def _with_total(power: Power, total_w: float) -> Power:
    """Scale the active powers down to `total_w`; split it evenly where that would turn or raise them.

    Phases of opposite signs have a small total: raised to a forced charge they would be many times what was asked.
    """
    before = power.total_active_w
    count = len(power.active_w)
    factor = total_w / before if before else math.inf
    if not 0 <= factor <= 1:
        return Power((total_w / count,) * count, power.reactive_var)
    return Power(tuple(one * factor for one in power.active_w), power.reactive_var)


def _ramped(power: Power, limit: Limit, settings: Settings, running_for_s: float) -> tuple[Power, Limit]:
    """Limit the rise of power after start-up, per phase."""
    permitted = max(running_for_s - settings.start_delay_s, 0.0) * settings.ramp_w_per_s
    active, reactive = _scale(power.active_w, permitted), _scale(power.reactive_var, permitted)
    ramped = Power(tuple(one * active for one in power.active_w), tuple(one * reactive for one in power.reactive_var))
    return ramped, limit if ramped == power else Limit.RAMP


def _scale(values: tuple[float, ...], permitted: float) -> float:
    """Return the factor that brings every setpoint within its share of `permitted`."""
    largest = max(abs(one) for one in values) * len(values)
    return 1.0 if largest <= permitted else permitted / largest


def _within_apparent(power: Power, limit: Limit, settings: Settings) -> tuple[Power, Limit]:
    """Round to steps, with each setpoint within its share of the apparent power, active before reactive power.

    Shares are whole steps, so rounding never pushes a phase beyond its share.
    """
    share = settings.apparent_limit_va / len(power.active_w)
    factor = _scale(power.active_w, _floor(share) * len(power.active_w))
    active = _rounded(tuple(one * factor for one in power.active_w))
    room = [_floor(math.sqrt(share**2 - one**2)) for one in active]
    fitting = tuple(min(max(one, -most), most) for one, most in zip(power.reactive_var, room, strict=True))
    limited = factor < 1 or fitting != power.reactive_var
    return Power(active, _rounded(fitting)), Limit.APPARENT_POWER if limited else limit


def _floor(value: float) -> float:
    """Return the whole step at or below, exactly: a bound is never rounded up."""
    return value // STEP * STEP


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    """Round towards zero to steps, and redistribute the remainder of the total over the phases.

    So the total is the unrounded one, rounded towards zero, and no phase passes its own next step.
    """
    steps = [_steps(value) for value in values]
    missing = _steps(math.fsum(values)) - sum(steps)
    rests = [value / STEP - whole for value, whole in zip(values, steps, strict=True)]
    # Largest remainder first; ties keep the order of the phases.
    for index in sorted(range(len(values)), key=lambda one: -abs(rests[one])):
        if rests[index] * missing > 0:
            steps[index] += int(math.copysign(1, missing))
            missing -= int(math.copysign(1, missing))
    return tuple(float(step * STEP) for step in steps)


def _steps(value: float) -> int:
    """Whole steps towards zero; a value within rounding error of a step counts as that step."""
    return math.trunc(round(value / STEP, 6))


def _in_dead_band(total_w: float, reading: Reading, settings: Settings) -> bool:
    """Return whether the device could not hold this power: too small, and away from the end at which the battery is."""
    border = settings.dead_band_w + DEAD_BAND_MARGIN_W
    full = _magnitude(reading.allowed_charge_w) < FULL_OR_EMPTY_W
    empty = _magnitude(reading.allowed_discharge_w) < FULL_OR_EMPTY_W
    return (full and 0 < total_w < border) or (empty and -border < total_w < 0)
