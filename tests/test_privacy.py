"""Neither the log above debug nor the diagnostics say where an ESS is or what it is called."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from pytest_socket import socket_allow_hosts

from custom_components.refu_ess import connection
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.ess import link

from .registers import WHOLE_BATTERY
from .simulator import Simulator, carry_out

pytestmark = pytest.mark.usefixtures("socket_enabled")

HOST = "127.0.0.77"
TITLE = "Zugspitze cellar"
SLUG = "zugspitze"
NAMED_BY_HOME_ASSISTANT = {"config_entries.py", "entity_registry.py"}
"""Files of Home Assistant that log the title of an entry and the ids of its entities, whatever an integration does."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINK_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(link, "DEADLINE_SECONDS", 1.5)


@pytest.fixture
async def device() -> AsyncIterator[tuple[Simulator, str]]:
    """A running ESS on every transport, and the path of its serial line."""
    socket_allow_hosts([HOST, "127.0.0.1"], allow_unix_socket=True)
    async with Simulator(tcp=(HOST, 0), rtu_over_tcp=(HOST, 0), pty=True, speed=0) as sim:
        yield sim, sim.serial_port


async def diagnostics(hass_client: ClientSessionGenerator, entry: MockConfigEntry) -> str:
    """Return the whole download, with what Home Assistant adds."""
    response = await (await hass_client()).get(f"/api/diagnostics/config_entry/{entry.entry_id}")
    assert response.status == 200
    text: str = await response.text()
    return text


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the records of a log without debugging."""
    return [
        record
        for record in caplog.records
        if record.levelno >= logging.INFO
        and record.name != "asyncio"  # the server of the simulator
        and not (record.name.startswith("tmodbus") and record.levelno == logging.INFO)  # Home Assistant's shared link
    ]


@pytest.mark.parametrize(
    ("transport", "shared"), [("tcp", False), ("tcp", True), ("rtu_over_tcp", False), ("serial", False)]
)
async def test_a_life(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    device: tuple[Simulator, str],
    caplog: pytest.LogCaptureFixture,
    transport: str,
    shared: bool,
) -> None:
    """Failed setup, loss and return, a refused block, commands, a wrong option, unloading and removal."""
    caplog.set_level(logging.INFO)
    sim, path = device
    data: dict[str, Any] = {"transport": transport, "unit_id": 1, "share_connection": shared}
    if transport == "serial":
        data |= {"device": path, "baudrate": 19200, "bytesize": 8, "parity": "none", "stopbits": 1}
    else:
        data |= {"host": HOST, "port": sim.cables[transport].port}
    options = {"poll_interval": "soon", "control": {"start_delay": 0}}
    entry = MockConfigEntry(domain=DOMAIN, title=TITLE, data=data, options=options, entry_id="01JDIAGNOSTICS")
    entry.add_to_hass(hass)
    assert await async_setup_component(hass, "diagnostics", {})
    found = []

    await sim.unplug()
    sim.behaviour.exception = 4  # a serial line has no cable that could be pulled
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    found.append(await diagnostics(hass_client, entry))
    await sim.plug()
    await sim.heal()
    assert await hass.config_entries.async_reload(entry.entry_id)
    coordinator = entry.runtime_data
    await hass.services.async_call(DOMAIN, "set_power", {"active_power": 5000}, blocking=True)
    with pytest.raises(HomeAssistantError):
        await hass.services.async_call(DOMAIN, "reset_error", {}, blocking=True)
    found.append(await diagnostics(hass_client, entry))
    sim.model.fail(12)
    await carry_out(sim, {"do": "bits", "key": "battery_fault_9", "mask": 1})
    await carry_out(sim, {"do": "value", "key": "battery_voltage", "value": 50})
    await carry_out(sim, {"do": "refuse_block", **WHOLE_BATTERY})
    await coordinator.async_refresh()
    found.append(await diagnostics(hass_client, entry))
    await sim.unplug()
    sim.behaviour.exception = 4
    for _ in range(2):
        await coordinator.async_refresh()
    found.append(await diagnostics(hass_client, entry))
    await sim.plug()
    await sim.heal()
    for _ in range(3):
        await coordinator.async_refresh()
    assert coordinator.last_update_success
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()

    for text in found:
        for secret in (HOST, path, TITLE, SLUG):
            assert secret not in text
    lines = [caplog.handler.format(record) for record in told(caplog)]
    assert [line for line in lines if HOST in line or path in line] == []
    named = [record for record in told(caplog) if SLUG in caplog.handler.format(record).lower()]
    assert {Path(record.pathname).name for record in named} <= NAMED_BY_HOME_ASSISTANT
    own = [record.getMessage() for record in told(caplog) if record.name.startswith("custom_components")]
    for message in (
        "refu_ess OSTICS: the option poll_interval",
        "refu_ess OSTICS: reading the battery registers failed: IllegalDataAddressError",
        "Error fetching refu_ess OSTICS data",
        "Fetching refu_ess OSTICS data recovered",
    ):
        assert sum(message in line for line in own) >= 1, own
