"""The integration on real sockets: every transport over both links, and a wire that misbehaves."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess import connection, const
from custom_components.refu_ess.ess import link

from .helpers import state
from .simulator import Simulator, carry_out, pseudo_terminal

pytestmark = pytest.mark.usefixtures("socket_enabled")

POWER = "sensor.refu_ess_active_power"
SOC = "sensor.refu_ess_battery_state_of_charge_soc"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for what does not come, but long enough for a machine that is busy with other tests."""
    monkeypatch.setattr(connection, "LINK_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(link, "DEADLINE_SECONDS", 1.5)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """An ESS on every transport."""
    with pseudo_terminal() as (device_end, _client_end):
        async with Simulator(
            tcp=("127.0.0.1", 0), rtu_over_tcp=("127.0.0.1", 0), serial=device_end, speed=0
        ) as simulator:
            simulator.client_end = _client_end  # type: ignore[attr-defined]
            yield simulator


def data(sim: Simulator, transport: str, *, shared: bool) -> dict[str, Any]:
    """Return the entry's data for a transport."""
    found: dict[str, Any] = {"transport": transport, "unit_id": 1, "share_connection": shared}
    if transport == "serial":
        line = {"baudrate": 19200, "bytesize": 8, "parity": "none", "stopbits": 1}
        return found | line | {"device": sim.client_end}  # type: ignore[attr-defined]
    return found | {"host": "127.0.0.1", "port": sim.cables[transport].port}


async def set_up(hass: HomeAssistant, entry_data: dict[str, Any]) -> MockConfigEntry:
    """Set up an entry."""
    entry = MockConfigEntry(domain=const.DOMAIN, title="REFU ESS", data=entry_data)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp", "serial"])
async def test_every_transport(hass: HomeAssistant, sim: Simulator, transport: str, shared: bool) -> None:
    """Every transport reads the same over both links, recovers from a lost answer, and writes nothing."""
    entry = await set_up(hass, data(sim, transport, shared=shared))
    coordinator = entry.runtime_data
    assert state(hass, SOC) == "62"
    assert state(hass, "sensor.refu_ess_battery_discharge_energy") == "100000"
    sim.behaviour.exception = 4
    await coordinator.async_refresh()
    assert state(hass, POWER) == STATE_UNAVAILABLE
    sim.heal()
    await coordinator.async_refresh()
    assert state(hass, POWER) == "0.0"
    assert sim.write_log == []
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize(
    "fault",
    [
        {"do": "silence"},
        {"do": "delay", "seconds": 3},
        {"do": "unplug"},
        {"do": "disturb", "how": "garbage"},
        {"do": "disturb", "how": "short_frame"},
        {"do": "disturb", "how": "wrong_unit"},
        {"do": "disturb", "how": "wrong_transaction"},
        {"do": "exception", "code": 6},
    ],
    ids=lambda one: one.get("how", one["do"]),
)
async def test_wire_faults(
    hass: HomeAssistant, sim: Simulator, shared: bool, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing wrong is ever shown, the log has one line, and the first polls after the fault bring the truth."""
    entry = await set_up(hass, data(sim, "tcp", shared=shared))
    coordinator = entry.runtime_data
    await carry_out(sim, fault)
    for _ in range(2):
        await coordinator.async_refresh()
        assert state(hass, SOC) == STATE_UNAVAILABLE
    told = [one for one in caplog.records if one.levelno >= logging.WARNING and "Executing" not in one.message]
    assert [one.name for one in told if not one.name.startswith(("homeassistant", "aiohttp", "tmodbus"))] == [
        "custom_components.refu_ess.coordinator"
    ]
    sim.model.soc = 40
    await carry_out(sim, {"do": "heal"})
    if fault["do"] == "unplug":
        await carry_out(sim, {"do": "plug"})
    for _ in range(10):
        await asyncio.sleep(0.3)
        await coordinator.async_refresh()
        assert state(hass, SOC) in ("40", STATE_UNAVAILABLE)
        if state(hass, SOC) == "40":
            break
    assert state(hass, SOC) == "40"
    assert state(hass, POWER) == "0.0"


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
async def test_half_open(hass: HomeAssistant, sim: Simulator, shared: bool) -> None:
    """A connection that died without a word is replaced."""
    entry = await set_up(hass, data(sim, "tcp", shared=shared))
    coordinator = entry.runtime_data
    await carry_out(sim, {"do": "half_open"})
    sim.model.soc = 40
    for _ in range(10):
        await coordinator.async_refresh()
        if state(hass, SOC) == "40":
            break
    assert state(hass, SOC) == "40"
    assert coordinator.device.unit.statistics.reconnects >= 1


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
async def test_dropped_connection_is_not_noticed(hass: HomeAssistant, sim: Simulator, shared: bool) -> None:
    """A connection that the other side closes between two polls costs none."""
    entry = await set_up(hass, data(sim, "tcp", shared=shared))
    coordinator = entry.runtime_data
    await carry_out(sim, {"do": "drop"})
    await asyncio.sleep(0.1)
    sim.model.soc = 40
    await coordinator.async_refresh()
    assert state(hass, SOC) == "40"


async def test_refused_block(hass: HomeAssistant, sim: Simulator) -> None:
    """A block that the device does not know leaves the other in place."""
    await carry_out(sim, {"do": "refuse_block", "from": 0x11A, "to": 0x155})
    await set_up(hass, data(sim, "tcp", shared=False))
    assert state(hass, SOC) == STATE_UNAVAILABLE
    assert state(hass, POWER) == "0.0"


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
