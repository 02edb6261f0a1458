"""An ESS in memory behind the real device package, and a config entry that reaches it."""

from collections.abc import Iterator
from unittest.mock import AsyncMock, MagicMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.core import HomeAssistant
from modbus_connection.mock import MockModbusConnection, MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion

from custom_components.refu_ess.const import (
    CONF_SHARE_CONNECTION,
    CONF_TRANSPORT,
    CONF_UNIT_ID,
    DOMAIN,
    TRANSPORT_TCP,
)

HOST = "192.0.2.10"
TCP_DATA = {
    CONF_TRANSPORT: TRANSPORT_TCP,
    CONF_HOST: HOST,
    CONF_PORT: 502,
    CONF_UNIT_ID: 1,
    CONF_SHARE_CONNECTION: False,
}

# A healthy system that discharges 25 kW, in raw words typed from the device's documentation.
RUNNING_INPUT = {
    0x100: 4,  # SystemState Start
    0x101: 0b110_0000_0000,  # BMS ready, TREX ready
    0x102: 0b1_0111,  # all but CAN timeout
    0x103: 0b0111_1100_0000_0111,  # documented layout: Mains OK, relays, power mode, enabled, ready
    0x105: 0b10_0000_0111,
    0x107: 326,
    0x108: 7660,
    0x109: 361,
    0x10A: 120,
    0x10B: 120,
    0x10C: 121,
    0x10D: 250,
    0x10E: 83,
    0x10F: 83,
    0x110: 84,
    0x11A: 1000,
    0x11B: 1000,
    0x11C: 3,
    0x11E: 7680,
    0x11F: 326,
    0x120: 250,
    0x121: 62,
    0x122: 1300,
    0x123: 1300,
    0x124: 950,
    0x125: 1000,
    0x126: 12_345,
    0x128: 0x86A0,  # 100 000 kWh over two words, low word first
    0x129: 1,
    0x12A: 0b1111,
    0x12B: 3320,
    0x12C: 3301,
    0x12D: 24,
    0x12E: 0xFFFE,  # -2 degrees
}


@pytest.fixture(autouse=True)
def _custom_integrations(enable_custom_integrations: None) -> None:
    """Let Home Assistant load the integration from this repository."""


@pytest.fixture(autouse=True)
def _short_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a debt that cannot be paid after a moment; Home Assistant's teardown would wait for it."""
    monkeypatch.setattr("custom_components.refu_ess.ess.cycle.WAY_OUT_S", 0.3)
    monkeypatch.setattr("custom_components.refu_ess.ess.cycle.WAY_OUT_PAUSE_S", 0.05)


@pytest.fixture(autouse=True)
def guard_started(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncMock:
    """Start no process for a device that is in memory only; returns what stands for starting one."""
    start = AsyncMock(return_value=True)
    if "real_guard" not in request.keywords:
        monkeypatch.setattr("custom_components.refu_ess.ess.Guardian.async_start", start)
    return start


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Leave out of a snapshot what differs from run to run."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


@pytest.fixture
def connection() -> MockModbusConnection:
    """The in-memory link."""
    return MockModbusConnection()


@pytest.fixture
def unit(connection: MockModbusConnection) -> MockModbusUnit:
    """A healthy ESS that discharges 25 kW."""
    unit = connection.for_unit(1)
    unit.input.update(RUNNING_INPUT)
    unit.holding.update({0x200: 1, 0x203: 250})
    return unit


@pytest.fixture
def link(connection: MockModbusConnection, unit: MockModbusUnit) -> Iterator[MagicMock]:
    """Private links lead to the in-memory ESS; closing one does not close it for the next."""

    def open_link(params: object, *, timeout: float) -> MagicMock:
        return MagicMock(for_unit=connection.for_unit, close=AsyncMock())

    with patch("custom_components.refu_ess.connection.ModbusConnection", side_effect=open_link) as opened:
        yield opened


@pytest.fixture
def entry() -> MockConfigEntry:
    """An entry as the config flow makes it."""
    return MockConfigEntry(domain=DOMAIN, title="REFU ESS", data=TCP_DATA, entry_id="refu")


@pytest.fixture
async def loaded(
    hass: HomeAssistant, entry: MockConfigEntry, link: MagicMock, freezer: FrozenDateTimeFactory
) -> MockConfigEntry:
    """The entry, set up while time stands still."""
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@pytest.fixture
def everything_enabled() -> Iterator[None]:
    """Enable what is off by default."""
    with patch("homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True):
        yield
