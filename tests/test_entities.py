"""Every entity of every platform, as an owner and as the registries see it."""

import json

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.homeassistant.exposed_entities import async_should_expose
from homeassistant.components.number import DOMAIN as NUMBER_DOMAIN, SERVICE_SET_VALUE
from homeassistant.components.recorder.db_schema import MAX_STATE_ATTRS_BYTES
from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.components.sensor.const import DEVICE_CLASS_STATE_CLASSES, DEVICE_CLASS_UNITS
from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.json import json_dumps
from homeassistant.setup import async_setup_component
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.controls import CONTROLS
from custom_components.refu_ess.describe import (
    BINARY_SENSORS,
    DESCRIPTIONS,
    SENSORS,
    RefuEssSensorDescription,
)
from custom_components.refu_ess.options import SETPOINTS_PER_PHASE, SETPOINTS_TOTAL

from .generated import INTEGRATION
from .helpers import poll, state
from .registers import ACTIVE_POWER, BATTERY_ALARM_1, BATTERY_FAULT_10, BATTERY_MODE, SYSTEM_ERROR_1, held

ENABLED_BY_DEFAULT = {
    Platform.BINARY_SENSOR: 17,
    Platform.BUTTON: 4,
    Platform.EVENT: 2,
    Platform.NUMBER: 5,
    Platform.SELECT: 1,
    Platform.SENSOR: 40,
    Platform.SWITCH: 2,
}
"""Number of entities enabled by default; change it only on purpose."""


async def enable_everything(
    hass: HomeAssistant, entry: MockConfigEntry, entity_registry: er.EntityRegistry
) -> dict[str, bool]:
    """Enable what is off by default; returns by entity id whether it was on."""
    enabled = {}
    for one in er.async_entries_for_config_entry(entity_registry, entry.entry_id):
        enabled[one.entity_id] = one.disabled_by is None
        entity_registry.async_update_entity(one.entity_id, disabled_by=None)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    return enabled


async def test_every_entity(
    hass: HomeAssistant,
    loaded: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    device_registry: dr.DeviceRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity matches its snapshot: one line each, `-` for what it does not have."""
    enabled = await enable_everything(hass, loaded, entity_registry)
    rows: dict[str, list[str]] = {}
    for one in er.async_entries_for_config_entry(entity_registry, loaded.entry_id):
        device = device_registry.async_get(one.device_id or "")
        found = hass.states.get(one.entity_id)
        assert device is not None
        assert found is not None
        cells = (
            one.unique_id.removeprefix(f"{loaded.entry_id}_"),
            one.original_name,
            device.name,
            one.original_device_class,
            one.unit_of_measurement,
            (one.capabilities or {}).get("state_class"),
            one.entity_category,
            "on" if enabled[one.entity_id] else "off",
            found.state,
        )
        rows.setdefault(one.domain, []).append(" | ".join("-" if cell is None else str(cell) for cell in cells))
    assert rows.keys() == set(ENABLED_BY_DEFAULT)
    for platform, lines in sorted(rows.items()):
        assert sorted(lines) == snapshot(name=platform)


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize(
    ("platform", "registers"),
    [*((platform, SETPOINTS_TOTAL) for platform in CONTROLS), ("number", SETPOINTS_PER_PHASE)],
)
async def test_control_entities(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    platform: str,
    registers: str,
) -> None:
    """Control entities match their snapshots to the last attribute."""
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={"setpoint_registers": registers})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    phases = 3 if registers == SETPOINTS_PER_PHASE else 1
    for description in sorted(CONTROLS[platform], key=lambda one: one.key):
        if getattr(description, "phases", phases) == phases:
            entity_id = entity_registry.async_get_entity_id(platform, DOMAIN, f"refu_{description.key}")
            assert entity_id is not None
            assert entity_registry.async_get(entity_id) == snapshot(name=f"{description.key}-entry")
            assert hass.states.get(entity_id) == snapshot(name=f"{description.key}-state")


async def test_enabled_by_default(
    hass: HomeAssistant, loaded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """Most entities are disabled by default."""
    entities = er.async_entries_for_config_entry(entity_registry, loaded.entry_id)
    enabled = {
        platform: sum(one.domain == platform and one.disabled_by is None for one in entities)
        for platform in ENABLED_BY_DEFAULT
    }
    assert enabled == ENABLED_BY_DEFAULT


@pytest.mark.parametrize("description", SENSORS, ids=lambda one: one.key)
def test_sensor_classes_fit(description: RefuEssSensorDescription) -> None:
    """Device class, unit and state class go together as the platform demands."""
    device_class = description.device_class
    unit, state_class = description.native_unit_of_measurement, description.state_class
    if device_class is None:
        return
    if device_class in DEVICE_CLASS_UNITS:
        assert unit in DEVICE_CLASS_UNITS[device_class]
    assert state_class is None or state_class in DEVICE_CLASS_STATE_CLASSES[device_class]


async def test_words_that_are_not_there(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """A code that no source names is unknown, and its number can still be seen."""
    unit.input[BATTERY_MODE] = 7
    await poll(hass, freezer)
    mode = hass.states.get("sensor.refu_ess_battery_mode")
    assert mode is not None
    assert mode.state == STATE_UNKNOWN
    assert mode.attributes["code"] == 7


@pytest.mark.parametrize("platform", [platform for platform in DESCRIPTIONS if platform != Platform.NUMBER])
def test_every_entity_has_an_icon(platform: str) -> None:
    """It is that of the device class, or one of ours."""
    icons = json.loads((INTEGRATION / "icons.json").read_text())["entity"][platform]
    described = [*DESCRIPTIONS[platform], *CONTROLS.get(platform, ())]
    without = {one.key for one in described if getattr(one, "device_class", None) in {None, SensorDeviceClass.ENUM}}
    assert without <= icons.keys()


async def test_controls_are_not_exposed_to_voice(
    hass: HomeAssistant, loaded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """No voice assistant commands the ESS unless a user lets it."""
    assert await async_setup_component(hass, "homeassistant", {})
    await enable_everything(hass, loaded, entity_registry)
    controls = [
        one.entity_id
        for one in er.async_entries_for_config_entry(entity_registry, loaded.entry_id)
        if one.domain in {Platform.BUTTON, Platform.NUMBER, Platform.SELECT, Platform.SWITCH}
    ]
    assert len(controls) == 12
    assert [one for one in controls if async_should_expose(hass, "conversation", one)] == []


BITS = [one for one in BINARY_SENSORS if one.entry is not None]


@pytest.mark.usefixtures("everything_enabled")
async def test_every_bit_lights_one_entity(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, entity_registry: er.EntityRegistry
) -> None:
    """Flipping one bit flips exactly one entity, for each of the 123."""
    coordinator = loaded.runtime_data
    ids = {
        description.key: entity_registry.async_get_entity_id(
            Platform.BINARY_SENSOR, "refu_ess", f"{loaded.entry_id}_{description.key}"
        )
        for description in BITS
    }

    def lit() -> set[str]:
        return {key for key, entity_id in ids.items() if state(hass, entity_id or "") == STATE_ON}

    assert len(ids) == 123
    before = lit()
    for description in BITS:
        assert description.entry is not None
        address, mask = description.entry.field.address, description.entry.field.mask
        unit.input[address] = held(unit.input, address) ^ mask
        await coordinator.async_refresh()
        assert lit() ^ before == {description.key}
        unit.input[address] = held(unit.input, address) ^ mask
    await coordinator.async_refresh()
    assert lit() == before


async def test_attributes_can_be_recorded(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, entity_registry: er.EntityRegistry
) -> None:
    """With every bit set, no entity has more attributes than the recorder takes."""
    await enable_everything(hass, loaded, entity_registry)
    unit.input.update({one.entry.field.address: 0xFFFF for one in BITS if one.entry is not None})
    await loaded.runtime_data.async_refresh()
    assert int(state(hass, "sensor.refu_ess_active_alarms")) > 90
    sizes = {one.entity_id: len(json_dumps(one.attributes)) for one in hass.states.async_all()}
    assert [one for one, size in sizes.items() if size > MAX_STATE_ATTRS_BYTES] == []


async def test_alarms_at_the_top(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """Fault, warning, category, count and the most severe alarm follow the bits."""
    coordinator = loaded.runtime_data
    unit.input[BATTERY_ALARM_1] = 1 << 6  # BatteryAlarm1: normal high temperature, a warning
    await coordinator.async_refresh()
    assert state(hass, "binary_sensor.refu_ess_warning") == STATE_ON
    assert state(hass, "binary_sensor.refu_ess_fault") == STATE_OFF
    assert state(hass, "binary_sensor.refu_ess_temperature_problem") == STATE_ON
    assert state(hass, "sensor.refu_ess_most_severe_alarm") == "normal_high_temperature"
    unit.input[BATTERY_FAULT_10] = 1 << 11  # BatteryFault10: serious leakage, a fault
    await coordinator.async_refresh()
    assert state(hass, "binary_sensor.refu_ess_fault") == STATE_ON
    assert state(hass, "binary_sensor.refu_ess_insulation_problem") == STATE_ON
    assert state(hass, "sensor.refu_ess_most_severe_alarm") == "stack_serious_leakage"
    alarms = hass.states.get("sensor.refu_ess_active_alarms")
    assert alarms is not None
    assert alarms.state == "2"
    assert alarms.attributes["alarms"] == ["Insulation fault, level 2", "High temperature, level 1"]
    active = loaded.runtime_data.alarms.as_data()["active"]
    assert alarms.attributes["since"] == [alarm["since"] for alarm in active]


@pytest.mark.usefixtures("everything_enabled")
async def test_not_ready_warns(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """A readiness bit that is 0 is shown as a problem and counts as a warning."""
    unit.input[SYSTEM_ERROR_1] = 1 << 10  # TREX ready alone
    await loaded.runtime_data.async_refresh()
    assert state(hass, "binary_sensor.refu_ess_bms_not_ready") == STATE_ON
    assert state(hass, "binary_sensor.refu_ess_trex_not_ready") == STATE_OFF
    assert state(hass, "binary_sensor.refu_ess_warning") == STATE_ON
    assert state(hass, "binary_sensor.refu_ess_fault") == STATE_OFF


async def test_charging(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """Negative active power is charging."""
    assert state(hass, "binary_sensor.refu_ess_battery_charging") == STATE_OFF
    unit.input[ACTIVE_POWER] = 0xFF9C  # -100 in words of 100 W
    await loaded.runtime_data.async_refresh()
    assert state(hass, "binary_sensor.refu_ess_battery_charging") == STATE_ON
    assert state(hass, "sensor.refu_ess_active_power") == "-10.0"
    hours = float(state(hass, "sensor.refu_ess_battery_time_to_full"))
    assert hours == pytest.approx(4.93, abs=0.01)  # 49.4 kWh at 10 kW
    assert state(hass, "sensor.refu_ess_battery_time_to_empty") == STATE_UNKNOWN


async def test_number_changes_what_follows(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """The minimum state of charge is kept, moves the reserve, and writes nothing to the device."""
    written: list[object] = []
    unit.on_write(written.append)
    number = "number.refu_ess_battery_minimum_soc"
    await hass.services.async_call(NUMBER_DOMAIN, SERVICE_SET_VALUE, {"entity_id": number, "value": 30}, blocking=True)
    assert state(hass, number) == "30"
    assert state(hass, "number.refu_ess_battery_recharge_soc") == "28"
    assert state(hass, "sensor.refu_ess_battery_energy_above_reserve") == "41.6"  # 32 % of 130 kWh
    assert loaded.options == {"min_soc": 30}
    assert written == []


async def test_number_out_of_range(hass: HomeAssistant, loaded: MockConfigEntry) -> None:
    """A percentage above 100 is refused and changes nothing."""
    number = "number.refu_ess_battery_minimum_soc"
    with pytest.raises(ServiceValidationError):
        await hass.services.async_call(
            NUMBER_DOMAIN, SERVICE_SET_VALUE, {"entity_id": number, "value": 101}, blocking=True
        )
    assert state(hass, number) == "10"
    assert loaded.options == {}
