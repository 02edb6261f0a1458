"""An integration with a defect: its action blocks the event loop, as native code or a blocking call can."""

import threading

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers.typing import ConfigType

DOMAIN = "block_loop"


def setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the action `block`, which takes `seconds`."""

    async def block(call: ServiceCall) -> None:
        threading.Event().wait(call.data["seconds"])  # Home Assistant refuses `time.sleep` here

    hass.services.register(DOMAIN, "block", block)
    return True
