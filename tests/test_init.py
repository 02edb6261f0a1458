"""Setting up, losing the device, getting it back, unloading: and nothing is ever written."""

import logging
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.refu_ess.const import DOMAIN

from .conftest import TCP_DATA
from .helpers import own_lines, poll, state
from .registers import ACTIVE_SETPOINT, BATTERY_BLOCK, BATTERY_VOLTAGE, REACTIVE_SETPOINT, SYSTEM_ERROR_1

POWER = "sensor.refu_ess_active_power"  # status block
SOC = "sensor.refu_ess_battery_state_of_charge_soc"  # battery block
SETPOINT = "sensor.refu_ess_power_setpoint_readback"  # settings
FAULT = "binary_sensor.refu_ess_fault"


@pytest.mark.usefixtures("link")
async def test_life_writes_nothing(
    hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """Setup, polls, reload, stop and removal send no write."""
    written: list[Any] = []
    unit.on_write(written.append)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await poll(hass, freezer, 8)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await poll(hass, freezer)
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_stop()
    assert written == []
    assert unit.read_events


async def test_link_closes_with_the_entry(hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit) -> None:
    """The private link is closed when the entry unloads."""
    private = MagicMock(for_unit=lambda _: unit)
    private.close.return_value = None
    entry.add_to_hass(hass)
    with patch("custom_components.refu_ess.connection.ModbusConnection", return_value=private):
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        assert await hass.config_entries.async_unload(entry.entry_id)
    assert private.close.call_count == 1


@pytest.mark.usefixtures("link")
async def test_silent_device_is_tried_again(
    hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """Setup of a device that does not respond is retried automatically."""
    unit.fail_requests(ModbusTimeoutError("late"))
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    first = entry.state
    assert first is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "no_answer"
    unit.fail_requests(None)
    await poll(hass, freezer, 2)
    assert entry.state is ConfigEntryState.LOADED


async def test_link_in_use(hass: HomeAssistant) -> None:
    """Other link settings on the shared connection are an error that the user must resolve."""
    entry = MockConfigEntry(domain=DOMAIN, data=TCP_DATA | {"share_connection": True})
    entry.add_to_hass(hass)
    with patch("custom_components.refu_ess.connection.async_get_unit", side_effect=HomeAssistantError("in use")):
        assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.error_reason_translation_key == "link_in_use"


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("error", [ModbusConnectionError("gone"), ModbusTimeoutError("late")])
async def test_lost_and_found(
    hass: HomeAssistant,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """A lost device makes everything unavailable with one log line, and another when it is back."""
    caplog.clear()
    unit.fail_requests(error)
    await poll(hass, freezer, 4)
    assert {state(hass, one) for one in (POWER, SOC, SETPOINT, FAULT)} == {STATE_UNAVAILABLE}
    assert state(hass, "sensor.refu_ess_battery_capacity") == "130.0"  # configured, so still true
    assert [record.levelno for record in own_lines(caplog)] == [logging.ERROR]
    caplog.clear()
    unit.fail_requests(None)
    await poll(hass, freezer, 3)
    assert state(hass, POWER) == "25.0"
    assert state(hass, SETPOINT) == "25.0"
    assert [record.levelno for record in own_lines(caplog)] == [logging.INFO]


@pytest.mark.usefixtures("loaded")
async def test_one_refused_block_leaves_the_rest(
    hass: HomeAssistant, unit: MockModbusUnit, freezer: FrozenDateTimeFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what comes from the refused block is unavailable; it is asked again five minutes later."""
    unit.fail_read(BATTERY_BLOCK, IllegalDataAddressError(), register_type="input")
    await poll(hass, freezer, 3)
    assert state(hass, SOC) == STATE_UNAVAILABLE
    assert state(hass, "sensor.refu_ess_battery_stored_energy") == STATE_UNAVAILABLE
    assert state(hass, POWER) == "25.0"
    assert state(hass, FAULT) == STATE_UNKNOWN  # half of the alarms were not read
    assert caplog.text.count("reading the battery registers failed") == 1
    unit.fail_read(BATTERY_BLOCK, None, register_type="input")
    await poll(hass, freezer, 5)
    assert state(hass, SOC) == STATE_UNAVAILABLE
    await poll(hass, freezer, 25)
    assert state(hass, SOC) == "62"
    assert caplog.text.count("battery registers are back") == 1


@pytest.mark.usefixtures("loaded")
async def test_fault_shows_although_half_is_missing(
    hass: HomeAssistant, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """An alarm of the block that answers is on while the other block fails."""
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    unit.input[SYSTEM_ERROR_1] = 0b110_0000_0001
    await poll(hass, freezer)
    assert state(hass, FAULT) == "on"
    alarms = hass.states.get("sensor.refu_ess_active_alarms")
    assert alarms is not None
    assert alarms.state == STATE_UNKNOWN
    assert alarms.attributes["alarm_keys"] == ["bms_in_error"]


@pytest.mark.usefixtures("loaded")
async def test_setpoints_that_cannot_be_read(hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit) -> None:
    """A device that does not serve its setpoints is read without them."""
    unit.fail_read(ACTIVE_SETPOINT, IllegalDataAddressError())
    unit.fail_read(REACTIVE_SETPOINT, IllegalDataAddressError())
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert state(hass, SETPOINT) == STATE_UNAVAILABLE
    assert state(hass, "sensor.refu_ess_start_stop_readback") == "start"
    assert state(hass, POWER) == "25.0"


async def test_unchanged_readings_write_no_state(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """A poll that brings one new value updates only the states that show it."""
    written = []
    hass.bus.async_listen("state_changed", lambda event: written.append(event.data["entity_id"]))
    reported = []
    hass.bus.async_listen(
        "state_reported", callback(lambda event: reported.append(event.data["entity_id"])), callback(lambda _: True)
    )
    unit.input[BATTERY_VOLTAGE] = 7690
    await poll(hass, freezer)
    assert written == ["sensor.refu_ess_battery_voltage"]
    assert reported == []


async def test_devices(
    hass: HomeAssistant,
    loaded: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """The battery, its groups and the DC/DC converter are children of the ESS."""
    (ess,) = dr.async_entries_for_config_entry(device_registry, loaded.entry_id)
    assert (ess.name, ess.manufacturer, ess.model) == ("REFU ESS", "REFU", "Battery inverter ESS")
    children = dr.async_entries_for_parent_device(device_registry, ess.id)
    assert {child.name: sorted(child.identifiers) for child in children} == snapshot


async def test_groups_that_are_not_there(
    hass: HomeAssistant, loaded: MockConfigEntry, device_registry: dr.DeviceRegistry
) -> None:
    """Battery groups removed from the options lose their device and entities."""
    assert hass.states.get("binary_sensor.refu_ess_battery_group_3_operating")
    hass.config_entries.async_update_entry(loaded, options={"battery_groups": 2})
    assert await hass.config_entries.async_reload(loaded.entry_id)
    await hass.async_block_till_done()
    assert hass.states.get("binary_sensor.refu_ess_battery_group_2_operating")
    assert hass.states.get("binary_sensor.refu_ess_battery_group_3_operating") is None
    names = {device.name for device in dr.async_child_entries_for_config_entry(device_registry, loaded.entry_id)}
    assert "Battery group 2" in names
    assert "Battery group 3" not in names


async def test_renaming_renames_the_device(
    hass: HomeAssistant, loaded: MockConfigEntry, device_registry: dr.DeviceRegistry
) -> None:
    """A new name of the config entry reaches the device, the entities and the alias without a reload."""
    coordinator = loaded.runtime_data
    hass.config_entries.async_update_entry(loaded, title="Barn")
    await hass.async_block_till_done()
    device = device_registry.async_get(coordinator.device_id)
    assert device is not None
    assert device.name == "Barn"
    active_power = hass.states.get("sensor.refu_ess_active_power")
    assert active_power is not None
    assert active_power.name == "Barn Active power"
    assert loaded.runtime_data is coordinator
    assert coordinator.data.values["alias"] == "Barn"


async def test_other_changes_of_the_entry_rename_nothing(hass: HomeAssistant, loaded: MockConfigEntry) -> None:
    """A change that is not the name, and one of another entry, leave the device alone."""
    with patch.object(loaded.runtime_data, "async_rename") as rename:
        hass.config_entries.async_update_entry(loaded, options={"min_soc": 20})
        MockConfigEntry(domain=DOMAIN, title="Other").add_to_hass(hass)
        await hass.async_block_till_done()
    assert rename.call_count == 0
