"""The integration on real sockets: every transport over both links. Faults of the wire are in `chaos`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess import connection, const
from custom_components.refu_ess.ess import link

from .helpers import state
from .simulator import Simulator

pytestmark = pytest.mark.usefixtures("socket_enabled")

SOC = "sensor.refu_ess_battery_state_of_charge_soc"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use shorter timeouts, but long enough for a machine that is busy with other tests."""
    monkeypatch.setattr(connection, "LINK_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(link, "DEADLINE_SECONDS", 1.5)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """An ESS on every transport."""
    async with Simulator(tcp=("127.0.0.1", 0), rtu_over_tcp=("127.0.0.1", 0), pty=True, speed=0) as simulator:
        yield simulator


def data(sim: Simulator, transport: str, *, shared: bool) -> dict[str, Any]:
    """Return the entry's data for a transport."""
    found: dict[str, Any] = {"transport": transport, "unit_id": 1, "share_connection": shared}
    if transport == "serial":
        line = {"baudrate": 19200, "bytesize": 8, "parity": "none", "stopbits": 1}
        return found | line | {"device": sim.serial_port}
    return found | {"host": "127.0.0.1", "port": sim.cables[transport].port}


async def set_up(hass: HomeAssistant, entry_data: dict[str, Any]) -> MockConfigEntry:
    """Set up an entry."""
    entry = MockConfigEntry(domain=const.DOMAIN, title="REFU ESS", data=entry_data)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


async def test_two_entries_share_one_connection(hass: HomeAssistant, sim: Simulator) -> None:
    """Two entries on the shared link use one connection, and the last one closes it."""
    shared = data(sim, "tcp", shared=True)
    first = await set_up(hass, shared)
    second = await set_up(hass, shared)
    assert len(sim.wire._links) == 1
    assert await hass.config_entries.async_unload(first.entry_id)
    await second.runtime_data.async_refresh()
    assert state(hass, f"{SOC}_2") == "62"
    assert await hass.config_entries.async_unload(second.entry_id)
    await asyncio.sleep(0.1)
    assert len(sim.wire._links) == 0


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp", "serial"])
@pytest.mark.parametrize("way", ["stop", "unload"])
async def test_command_and_its_end(hass: HomeAssistant, sim: Simulator, transport: str, shared: bool, way: str) -> None:
    """A setpoint reaches the device over every transport and link, and so does the zero on the way out."""
    entry = await set_up(hass, data(sim, transport, shared=shared))
    hass.config_entries.async_update_entry(entry, options={"start_delay": 0, "ramp_rate": 100})
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    await asyncio.sleep(0.3)
    await hass.services.async_call(const.DOMAIN, "set_power", {"active_power": -20_000}, blocking=True)
    assert sim.model.total_w == -20_000
    assert state(hass, "number.refu_ess_power_setpoint") == "-20.0"
    if way == "stop":
        await hass.async_stop()
    else:
        assert await hass.config_entries.async_unload(entry.entry_id)
    assert sim.model.total_w == 0
    assert {write.function for write in sim.write_log} == {16}
