"""Updates: only entities whose value changed, each once, causes before alarms."""

import logging
from collections.abc import Iterator
from unittest.mock import MagicMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from modbus_connection import ModbusTimeoutError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess.describe import DESCRIPTIONS
from custom_components.refu_ess.entity import RefuEssEntity
from custom_components.refu_ess.ess import BITS
from custom_components.refu_ess.updates import PictureCoordinator

from .helpers import poll, state
from .registers import ACTIVE_SETPOINT, ACTIVE_SETPOINT_L1, BATTERY_FAULT_10, SOC, WORK_STATE, held


@pytest.fixture
def called() -> Iterator[list[str]]:
    """The keys of the entities that are called, in order."""
    keys: list[str] = []
    look = RefuEssEntity._look

    def note(entity: RefuEssEntity) -> object:
        keys.append(entity.entity_description.key)
        return look(entity)

    with (
        patch("homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True),
        patch.object(RefuEssEntity, "_look", note),
    ):
        yield keys


async def test_an_unchanged_poll_calls_nobody(
    hass: HomeAssistant, called: list[str], loaded: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """While the same words come not one entity is asked what it shows."""
    await poll(hass, freezer)
    called.clear()
    await poll(hass, freezer, 8)
    assert called == []


async def test_a_flipped_bit_calls_who_shows_it(
    called: list[str], loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """A bit calls its entity, its word's, and those that sum it up: no other, and none twice."""
    coordinator = loaded.runtime_data
    shown = {description.key for descriptions in DESCRIPTIONS.values() for description in descriptions}
    await coordinator.async_refresh()
    for entry in BITS[::7]:
        called.clear()
        unit.input[entry.field.address] = held(unit.input, entry.field.address) ^ entry.field.mask
        await coordinator.async_refresh()
        assert len(called) == len(set(called))
        assert set(called) == coordinator.data.changed & shown
        assert {entry.key, entry.word.key} <= set(called)
        assert len(called) <= 6


@pytest.mark.usefixtures("everything_enabled")
async def test_what_explains_comes_first(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """When "Fault" turns on its alarm, its category and the list of alarms can be read already."""
    order: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        order.append(event.data["entity_id"])
        if event.data["entity_id"] == "binary_sensor.refu_ess_fault":
            assert state(hass, "sensor.refu_ess_active_alarms") == "1"
            assert state(hass, "sensor.refu_ess_most_severe_alarm") == "fuse_fault"
            assert state(hass, "binary_sensor.refu_ess_battery_fuse_fault") == STATE_ON
            assert state(hass, "binary_sensor.refu_ess_contactor_problem") == STATE_ON

    hass.bus.async_listen("state_changed", note)
    unit.input[BATTERY_FAULT_10] = 1 << 8
    await loaded.runtime_data.async_refresh()
    await hass.async_block_till_done()
    last = ["binary_sensor.refu_ess_contactor_problem", "binary_sensor.refu_ess_fault", "event.refu_ess_alarms"]
    assert order[-3:] == last
    assert len(order) == 7


async def test_one_that_raises_stops_no_other(
    loaded: MockConfigEntry, unit: MockModbusUnit, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener that fails is logged, and the others are called; one that was removed is not."""
    coordinator: PictureCoordinator = loaded.runtime_data
    told: list[str] = []

    def fail() -> None:
        raise RuntimeError("no")

    coordinator.async_add_listener(fail, {"soc"})
    coordinator.async_add_listener(lambda: told.append("soc"), {"soc"})
    coordinator.async_add_listener(lambda: told.append("voltage"), {"battery_voltage"})
    coordinator.async_add_listener(lambda: told.append("anything"))
    coordinator.async_add_listener(lambda: told.append("removed"), {"soc"})()
    unit.input[SOC] = 61
    await coordinator.async_refresh()
    assert told == ["soc", "anything"]
    assert caplog.text.count("Unexpected error updating a listener") == 1
    caplog.set_level(logging.CRITICAL)
    await coordinator.async_refresh()
    assert told == ["soc", "anything"]
    coordinator.async_changed({"binding_limit"})
    assert told == ["soc", "anything", "anything"]


async def test_a_command_tells_by_the_same_path(called: list[str], loaded: MockConfigEntry) -> None:
    """Keys of commands call who shows them, and a block that is read between polls is shown at once."""
    coordinator = loaded.runtime_data
    await coordinator.async_refresh()
    called.clear()
    coordinator.async_changed({"binding_limit", "lease_end"})
    assert called == ["binding_limit", "lease_end"]


async def test_a_block_read_between_polls(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """The readback of a command is shown immediately."""
    unit.holding[ACTIVE_SETPOINT] = 100
    await loaded.runtime_data.device.async_read(("total_setpoints",))
    assert state(hass, "sensor.refu_ess_power_setpoint_readback") == "10.0"


async def test_a_failed_poll_is_a_change(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """Keys that become unavailable are reported once, and so is a change while the device is silent."""
    coordinator = loaded.runtime_data
    unit.fail_requests(ModbusTimeoutError("late"))
    await coordinator.async_refresh()
    assert state(hass, "sensor.refu_ess_active_power") == STATE_UNAVAILABLE
    assert coordinator.data is coordinator.device.picture
    await coordinator.async_refresh()
    assert coordinator.data.changed == frozenset()
    told: list[None] = []
    coordinator.async_add_listener(lambda: told.append(None), {"lease_end"})
    coordinator._changed.add("lease_end")
    await coordinator.async_refresh()
    assert told == [None]


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("address", [WORK_STATE, ACTIVE_SETPOINT, ACTIVE_SETPOINT_L1])
async def test_settings_that_never_answer(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    address: int,
) -> None:
    """A setting block that brings no answer is unavailable alone, at setup and later."""
    unit.fail_read(address, ModbusTimeoutError("late"))
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    await poll(hass, freezer, 3)
    assert state(hass, "sensor.refu_ess_active_power") == "25.0"
    shown = state(hass, "sensor.refu_ess_power_setpoint_readback")
    assert (shown == STATE_UNAVAILABLE) is (address == ACTIVE_SETPOINT)


async def test_the_coordinator_itself_polls_nothing(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The coordinator of this integration decides what is polled."""
    device = MagicMock()
    coordinator = PictureCoordinator(hass, logging.getLogger(__name__), entry, device, MagicMock())
    with pytest.raises(NotImplementedError):
        await coordinator._async_update_data()
