"""An ESS in memory behind the real device package, and a config entry that reaches it."""

import logging
from collections.abc import Iterator
from unittest.mock import AsyncMock, MagicMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import CONF_HOST, CONF_PORT, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
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

from .deprecations import Collector
from .helpers import ALARM_EVENT, QUICK, Reported, Written, seconds
from .registers import (
    ACTIVE_POWER,
    ACTIVE_POWER_L1,
    ACTIVE_POWER_L2,
    ACTIVE_POWER_L3,
    ACTIVE_SETPOINT,
    ALLOWED_CHARGE,
    ALLOWED_CHARGE_CURRENT,
    ALLOWED_DISCHARGE,
    ALLOWED_DISCHARGE_CURRENT,
    BATTERY_CURRENT,
    BATTERY_CURRENT_PCS,
    BATTERY_OPERATION,
    BATTERY_POWER,
    BATTERY_STATE,
    BATTERY_VOLTAGE,
    BATTERY_VOLTAGE_PCS,
    CHARGE_ENERGY,
    COMMUNICATION,
    CURRENT,
    CURRENT_L1,
    CURRENT_L2,
    CURRENT_L3,
    DCDC_STATUS,
    DISCHARGE_ENERGY,
    DISCHARGE_ENERGY_HIGH,
    HIGHEST_TEMPERATURE,
    HIGHEST_VOLTAGE,
    INVERTER_STATUS,
    LOWEST_TEMPERATURE,
    LOWEST_VOLTAGE,
    PCS_ALLOWED_CHARGE,
    PCS_ALLOWED_DISCHARGE,
    SOC,
    SYSTEM_ERROR_1,
    SYSTEM_STATE,
    WORK_STATE,
)

HOST = "192.0.2.10"
TCP_DATA = {
    CONF_TRANSPORT: TRANSPORT_TCP,
    CONF_HOST: HOST,
    CONF_PORT: 502,
    CONF_UNIT_ID: 1,
    CONF_SHARE_CONNECTION: False,
}

SERIAL_DATA = {
    "transport": "serial",
    "device": "/dev/ttyUSB0",
    "baudrate": 19200,
    "bytesize": 8,
    "parity": "even",
    "stopbits": 1,
    "unit_id": 3,
    "share_connection": False,
}

# A healthy system that discharges 25 kW, in raw words typed from the device's documentation.
RUNNING_INPUT = {
    SYSTEM_STATE: 4,  # SystemState Start
    SYSTEM_ERROR_1: 0b110_0000_0000,  # BMS ready, TREX ready
    COMMUNICATION: 0b1_0111,  # all but CAN timeout
    INVERTER_STATUS: 0b0111_1100_0000_0111,  # documented layout: Mains OK, relays, power mode, enabled, ready
    DCDC_STATUS: 0b10_0000_0111,
    BATTERY_CURRENT_PCS: 326,
    BATTERY_VOLTAGE_PCS: 7660,
    CURRENT: 361,
    CURRENT_L1: 120,
    CURRENT_L2: 120,
    CURRENT_L3: 121,
    ACTIVE_POWER: 250,
    ACTIVE_POWER_L1: 83,
    ACTIVE_POWER_L2: 83,
    ACTIVE_POWER_L3: 84,
    PCS_ALLOWED_CHARGE: 1000,
    PCS_ALLOWED_DISCHARGE: 1000,
    BATTERY_STATE: 3,
    BATTERY_VOLTAGE: 7680,
    BATTERY_CURRENT: 326,
    BATTERY_POWER: 250,
    SOC: 62,
    ALLOWED_CHARGE_CURRENT: 1300,
    ALLOWED_DISCHARGE_CURRENT: 1300,
    ALLOWED_CHARGE: 950,
    ALLOWED_DISCHARGE: 1000,
    CHARGE_ENERGY: 12_345,
    DISCHARGE_ENERGY: 0x86A0,  # 100 000 kWh over two words, low word first
    DISCHARGE_ENERGY_HIGH: 1,
    BATTERY_OPERATION: 0b1111,
    HIGHEST_VOLTAGE: 3320,
    LOWEST_VOLTAGE: 3301,
    HIGHEST_TEMPERATURE: 24,
    LOWEST_TEMPERATURE: 0xFFFE,  # -2 degrees
}


@pytest.fixture(autouse=True)
def _custom_integrations(enable_custom_integrations: None) -> None:
    """Let Home Assistant load the integration from this repository."""


@pytest.fixture(autouse=True)
def deprecations() -> Iterator[list[str]]:
    """Fail a test in which Home Assistant reports a deprecation of ours; a test may take reports that it provoked."""
    collector = Collector()
    logging.getLogger().addHandler(collector)
    yield collector.reports
    logging.getLogger().removeHandler(collector)
    if collector.reports:
        pytest.fail("Home Assistant reports:\n" + "\n".join(collector.reports))


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
    unit.holding.update({WORK_STATE: 1, ACTIVE_SETPOINT: 250})
    return unit


@pytest.fixture
def link(connection: MockModbusConnection, unit: MockModbusUnit) -> Iterator[MagicMock]:
    """Private links connect to the in-memory ESS and can be closed independently."""

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
    """The entry, set up with frozen time."""
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@pytest.fixture
def everything_enabled() -> Iterator[None]:
    """Enable what is off by default."""
    with patch("homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True):
        yield


@pytest.fixture
def written(unit: MockModbusUnit) -> Written:
    """Collect the writes to the device."""
    found: Written = []
    unit.on_write(lambda event: found.append((event.address, [int(value) for value in event.values])))
    return found


@pytest.fixture
async def ready(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    link: object,
    unit: MockModbusUnit,
    written: Written,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """A running system at rest that may be commanded without a ramp."""
    unit.holding[ACTIVE_SETPOINT] = 0
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options=QUICK)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await seconds(hass, freezer, 11)
    return entry


@pytest.fixture
def reported(hass: HomeAssistant) -> Reported:
    """The events of the alarm entity, as a state trigger meets them."""
    found: Reported = []

    @callback
    def listen(event: Event[EventStateChangedData]) -> None:
        old, new = event.data["old_state"], event.data["new_state"]
        if event.data["entity_id"] != ALARM_EVENT or old is None or new is None:
            return
        if STATE_UNAVAILABLE in (old.state, new.state) or new.state in (old.state, STATE_UNKNOWN):
            return
        found.append(dict(new.attributes))

    hass.bus.async_listen("state_changed", listen)
    return found
