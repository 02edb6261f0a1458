"""Another integration on Home Assistant's shared connection: it shows one register of the device every second."""

import asyncio

from homeassistant.components.modbus import async_get_temporary_unit
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers.typing import ConfigType
from modbus_connection import ModbusError, ModbusTcpParams

DOMAIN = "neighbour"
ENTITY_ID = "neighbour.word"


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Hold a unit from now on, if the configuration has a `port` and an `address`."""
    if (wanted := config[DOMAIN]) is None:
        return True

    async def poll() -> None:
        async with async_get_temporary_unit(hass, ModbusTcpParams(host="127.0.0.1", port=wanted["port"]), 1) as unit:
            while True:
                try:
                    (word,) = await unit.read_input_registers(wanted["address"], 1)
                    hass.states.async_set(ENTITY_ID, str(word))
                except ModbusError:
                    hass.states.async_set(ENTITY_ID, STATE_UNAVAILABLE)
                await asyncio.sleep(1)

    _ = hass.async_create_background_task(poll(), "neighbour")
    return True
