"""A device that was polled, and its alarms."""

from collections.abc import Mapping

from modbus_connection.mock import MockModbusConnection

from custom_components.refu_ess.ess import RefuEss, Site
from tests.registers import FIRST_SETTING

from .clock import Clock


async def polled(words: Mapping[int, int], *, site: Site | None = None, times: int = 3) -> RefuEss:
    """Poll a device that has these words and is 0 elsewhere; a zero counter is accepted after three polls."""
    unit = MockModbusConnection().for_unit(1)
    for address, word in words.items():
        (unit.holding if address >= FIRST_SETTING else unit.input)[address] = word
    clock = Clock()
    found = RefuEss(unit, site, clock=clock)
    for _ in range(times):
        clock.now += 10
        await found.async_poll()
    return found


def alarms(device: RefuEss) -> tuple[str, ...]:
    """Return the keys of the active alarms, the most severe first."""
    return tuple(entry.key for entry in device.picture.alarms)
