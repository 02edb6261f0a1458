"""The action that answers the active alarms and their history."""

import voluptuous as vol
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback

from .const import DOMAIN
from .targets import WHICH_ESS, async_coordinator_of

SERVICE_GET_ALARMS = "get_alarms"


async def _async_get_alarms(call: ServiceCall) -> ServiceResponse:
    return (await async_coordinator_of(call)).alarms.as_data()


@callback
def async_setup_alarm_action(hass: HomeAssistant) -> None:
    """Register the action."""
    hass.services.async_register(
        DOMAIN, SERVICE_GET_ALARMS, _async_get_alarms, vol.Schema(WHICH_ESS), supports_response=SupportsResponse.ONLY
    )
