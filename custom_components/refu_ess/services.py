"""The actions: set or preview power, release it, reset an error. They are registered once and name their ESS."""

import math
from datetime import timedelta
from typing import Any

import voluptuous as vol
from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback
from homeassistant.helpers import config_validation as cv

from .commander import Commander
from .const import DOMAIN
from .controls import CONTROLS
from .errors import translated
from .ess import POWER_RANGE, Decision, Power, Refusal, RefusedError
from .targets import WHICH_ESS, Right, async_coordinator_of

SERVICE_SET_POWER = "set_power"
SERVICE_PREVIEW_POWER = "preview_power"
SERVICE_RELEASE = "release"
SERVICE_RESET_ERROR = "reset_error"

ATTR_ACTIVE_POWER = "active_power"
ATTR_REACTIVE_POWER = "reactive_power"
ATTR_DURATION = "duration"
ATTR_FORCE = "force"
PHASES = ("l1", "l2", "l3")


def power_of(value: Any) -> float:
    """Return a power in W or var. Raises `vol.Invalid` naming the range."""
    try:
        power = math.nan if isinstance(value, bool) else float(value)
    except TypeError, ValueError, OverflowError:
        power = math.nan
    if not POWER_RANGE.minimum <= power <= POWER_RANGE.maximum:
        raise vol.Invalid(f"expected a number from {POWER_RANGE.minimum} to {POWER_RANGE.maximum}")
    return power


def duration_of(value: Any) -> timedelta:
    """Return a period of time, which is not negative. Raises `vol.Invalid`; the engine knows the range."""
    try:
        period: timedelta = cv.positive_time_period(value)
    except OverflowError as err:
        raise vol.Invalid("the period is too long") from err
    return period


PREVIEW_POWER = vol.Schema(
    {
        **WHICH_ESS,
        vol.Optional(ATTR_ACTIVE_POWER): power_of,
        vol.Optional(ATTR_REACTIVE_POWER): power_of,
        **{vol.Optional(f"{ATTR_ACTIVE_POWER}_{phase}"): power_of for phase in PHASES},
        **{vol.Optional(f"{ATTR_REACTIVE_POWER}_{phase}"): power_of for phase in PHASES},
    }
)
SET_POWER = PREVIEW_POWER.extend(
    {
        vol.Optional(ATTR_DURATION): duration_of,
    }
)
RELEASE = vol.Schema(WHICH_ESS)
RESET_ERROR = vol.Schema({**WHICH_ESS, vol.Optional(ATTR_FORCE, default=False): cv.boolean})


def _asked(data: dict[str, Any], phases: int) -> Power:
    """Return the power that a call asks for; omitted values are zero.

    Raises `RefusedError` if it mixes total and phases, or asks for phases where the total is in use.
    """
    totals = [data.get(key) for key in (ATTR_ACTIVE_POWER, ATTR_REACTIVE_POWER)]
    active = [data.get(f"{ATTR_ACTIVE_POWER}_{phase}") for phase in PHASES]
    reactive = [data.get(f"{ATTR_REACTIVE_POWER}_{phase}") for phase in PHASES]
    by_phase = any(value is not None for value in (*active, *reactive))
    if by_phase and any(value is not None for value in totals):
        raise RefusedError(Refusal.TOTAL_AND_PHASES)
    if not by_phase and all(value is None for value in totals):
        raise RefusedError(Refusal.NO_POWER_GIVEN)
    if by_phase:
        if phases == 1:
            raise RefusedError(Refusal.PHASES_NOT_IN_USE)
        return Power(tuple(value or 0.0 for value in active), tuple(value or 0.0 for value in reactive))
    return Power.total(totals[0] or 0.0, totals[1] or 0.0, phases)


SETPOINTS = frozenset(description.key for description in CONTROLS["number"])
MAY_SET_POWER = Right(keys=SETPOINTS)
MAY_PREVIEW_POWER = Right(keys=SETPOINTS, policy=POLICY_READ)
MAY_RELEASE = Right(keys=frozenset({"release_setpoint"}))
MAY_RESET_ERROR = Right(keys=frozenset({"reset_error"}))


async def _async_commander(call: ServiceCall, right: Right) -> Commander:
    return (await async_coordinator_of(call, right)).commander


async def _async_set_power(call: ServiceCall) -> ServiceResponse:
    commander = await _async_commander(call, MAY_SET_POWER)
    with translated():
        asked = _asked(call.data, commander.controller.phases)
        decision = await commander.async_set_power(asked, call.context, call.data.get(ATTR_DURATION))
    ends_at = commander.lease_end
    return _answer(asked, decision) | {"ends_at": None if ends_at is None else ends_at.isoformat()}


async def _async_preview_power(call: ServiceCall) -> ServiceResponse:
    commander = await _async_commander(call, MAY_PREVIEW_POWER)
    with translated():
        asked = _asked(call.data, commander.controller.phases)
        return _answer(asked, await commander.async_preview(asked))


def _answer(asked: Power, decision: Decision) -> dict[str, Any]:
    power = decision.power
    return {
        "asked": {"active_power": asked.total_active_w, "reactive_power": asked.total_reactive_var},
        "applied": {
            "active_power": power.total_active_w,
            "reactive_power": power.total_reactive_var,
            "active_power_phases": list(power.active_w) if power.phases > 1 else None,
            "reactive_power_phases": list(power.reactive_var) if power.phases > 1 else None,
        },
        "limit": decision.limit.value,
    }


async def _async_release(call: ServiceCall) -> None:
    commander = await _async_commander(call, MAY_RELEASE)
    with translated():
        await commander.async_release(call.context)


async def _async_reset_error(call: ServiceCall) -> None:
    commander = await _async_commander(call, MAY_RESET_ERROR)
    with translated():
        await commander.async_reset_error(forced=call.data[ATTR_FORCE], context=call.context)


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    hass.services.async_register(
        DOMAIN, SERVICE_SET_POWER, _async_set_power, SET_POWER, supports_response=SupportsResponse.OPTIONAL
    )
    hass.services.async_register(
        DOMAIN,
        SERVICE_PREVIEW_POWER,
        _async_preview_power,
        PREVIEW_POWER,
        supports_response=SupportsResponse.ONLY,
    )
    hass.services.async_register(DOMAIN, SERVICE_RELEASE, _async_release, RELEASE)
    hass.services.async_register(DOMAIN, SERVICE_RESET_ERROR, _async_reset_error, RESET_ERROR)
