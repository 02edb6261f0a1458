"""The action that answers the active alarms and their history."""

import voluptuous as vol
from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback

from .const import DOMAIN
from .targets import WHICH_ESS, Right, async_coordinator_of

SERVICE_GET_ALARMS = "get_alarms"
MAY_READ_ALARMS = Right(keys=frozenset({"alarms"}), policy=POLICY_READ)


async def _async_get_alarms(call: ServiceCall) -> ServiceResponse:
    return (await async_coordinator_of(call, MAY_READ_ALARMS)).alarms.as_data()


@callback
def async_setup_alarm_action(hass: HomeAssistant) -> None:
    """Register the action."""
    hass.services.async_register(
        DOMAIN, SERVICE_GET_ALARMS, _async_get_alarms, vol.Schema(WHICH_ESS), supports_response=SupportsResponse.ONLY
    )
