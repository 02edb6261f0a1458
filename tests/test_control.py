"""Commands through Home Assistant: entities, actions, options, stop and restart, over an ESS in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import pytest
import voluptuous as vol
from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import EVENT_STATE_CHANGED, STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import Context, CoreState, Event, EventStateChangedData, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.setup import async_setup_component
from modbus_connection import ModbusConnectionError, ServerDeviceFailureError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.refu_ess.commander import owner_of
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.ess.guard import GuardReport, Outcome, Reason, store_report

from .helpers import QUICK, ZERO, Written, seconds, shown, state
from .registers import (
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    ACTIVE_SETPOINT_L2,
    ERROR_RESET,
    OPERATION_MODE,
    REACTIVE_SETPOINT,
    REACTIVE_SETPOINT_L1,
    STATUS_BLOCK,
    SYSTEM_STATE,
    WORK_STATE,
)

NUMBER = "number.refu_ess_power_setpoint"
LIMIT = "sensor.refu_ess_limiting_factor"


async def call(hass: HomeAssistant, service: str, *, respond: bool = False, **data: Any) -> Any:
    """Call one of our actions, or another domain's by its full name."""
    domain, _, name = service.rpartition(".")
    return await hass.services.async_call(domain or DOMAIN, name, data, blocking=True, return_response=respond)


async def set_number(hass: HomeAssistant, entity_id: str, value: float) -> None:
    """Set a number."""
    await call(hass, "number.set_value", entity_id=entity_id, value=value)


@pytest.mark.usefixtures("ready")
async def test_charge_from_the_interface(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, written: Written, unit: MockModbusUnit
) -> None:
    """Setting the number charges at 20 kW every second until zero ends it; it shows the readback."""
    assert written == []
    await set_number(hass, NUMBER, -20)
    assert written[:2] == [(ACTIVE_SETPOINT, [0xFF38]), (REACTIVE_SETPOINT, [0])]
    assert state(hass, NUMBER) == "-20.0"
    assert state(hass, "sensor.refu_ess_applied_active_power") == "-20.0"
    assert state(hass, LIMIT) == "none"
    written.clear()
    await seconds(hass, freezer, 5)
    assert written == [(ACTIVE_SETPOINT, [0xFF38])] * 5
    await set_number(hass, NUMBER, 0)
    assert written[-2:] == ZERO
    assert state(hass, NUMBER) == "0.0"
    assert state(hass, LIMIT) == "nothing_asked"
    written.clear()
    await seconds(hass, freezer, 60)
    assert written == []


@pytest.mark.parametrize(
    ("kw", "word"),
    [
        pytest.param(2.3, 23, id="not-exact-in-binary"),
        pytest.param(-0.3, 0x10000 - 3, id="small-charge"),
        pytest.param(20.05, 200, id="finer-than-the-register"),
    ],
)
@pytest.mark.usefixtures("ready")
async def test_setpoint_in_kw(hass: HomeAssistant, written: Written, kw: float, word: int) -> None:
    """A setpoint has the unit of the power sensors, and is rounded to the 100 W of its register towards zero."""
    unit = shown(hass, "sensor.refu_ess_active_power").attributes["unit_of_measurement"]
    assert shown(hass, NUMBER).attributes["unit_of_measurement"] == unit == "kW"
    await set_number(hass, NUMBER, kw)
    assert written[0] == (ACTIVE_SETPOINT, [word])


@pytest.mark.parametrize("value", [5000, -20_000, float("nan")])
@pytest.mark.usefixtures("ready")
async def test_setpoint_out_of_range(hass: HomeAssistant, written: Written, value: float) -> None:
    """A setpoint in W is beyond the range in kW and refused with that range, as is what is no number."""
    with pytest.raises(ServiceValidationError, match="100") as refused:
        await set_number(hass, NUMBER, value)
    assert refused.value.translation_key in {"out_of_range", "out_of_range_power"}
    assert written == []


@pytest.mark.usefixtures("link")
async def test_setpoint_registered_in_watts(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    unit: MockModbusUnit,
    written: Written,
    freezer: FrozenDateTimeFactory,
) -> None:
    """An ESS that was set up by release 0.1.0 keeps W, until the user chooses otherwise."""
    unit.holding[ACTIVE_SETPOINT] = 0
    registry = er.async_get(hass)
    entry.add_to_hass(hass)
    old = registry.async_get_or_create(
        "number",
        DOMAIN,
        f"{entry.entry_id}_active_power_setpoint",
        config_entry=entry,
        unit_of_measurement="W",
        suggested_object_id="old",
    )
    hass.config_entries.async_update_entry(entry, options=QUICK)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await seconds(hass, freezer, 11)
    await set_number(hass, old.entity_id, -20_000)
    assert written[0] == (ACTIVE_SETPOINT, [0xFF38])
    number = shown(hass, old.entity_id)
    assert (float(number.state), number.attributes["unit_of_measurement"]) == (-20_000, "W")
    assert (number.attributes["min"], number.attributes["max"]) == (-100_000, 100_000)
    registry.async_update_entity_options(old.entity_id, "number", {"unit_of_measurement": "kW"})
    await hass.config_entries.async_reload(entry.entry_id)
    await seconds(hass, freezer, 11)
    assert shown(hass, old.entity_id).attributes["unit_of_measurement"] == "kW"


@pytest.mark.usefixtures("ready")
async def test_action_with_duration(hass: HomeAssistant, freezer: FrozenDateTimeFactory, written: Written) -> None:
    """An action returns the applied power and the limit, and ends after its duration."""
    answer = await call(hass, "set_power", respond=True, active_power=-97_000, duration={"seconds": 30})
    assert answer["applied"]["active_power"] == -95_000
    assert answer["limit"] == "battery_charge"
    assert answer["ends_at"] is not None
    assert state(hass, "sensor.refu_ess_setpoint_active_until") == answer["ends_at"]
    await seconds(hass, freezer, 28)
    assert written[-1] == (ACTIVE_SETPOINT, [0x10000 - 950])
    await seconds(hass, freezer, 3)
    assert written[-2:] == ZERO
    event = shown(hass, "event.refu_ess_commands")
    assert event.attributes["event_type"] == "lease_ended"
    assert event.attributes["reason"] == "expired"


@pytest.mark.usefixtures("ready")
async def test_preview(hass: HomeAssistant, written: Written) -> None:
    """A preview answers the same and writes nothing."""
    answer = await call(hass, "preview_power", respond=True, active_power=-97_000, reactive_power=500)
    assert answer["applied"]["active_power"] == -95_000
    assert answer["limit"] == "battery_charge"
    assert written == []


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({}, "refused_no_power_given"),
        ({"active_power": 1000, "active_power_l1": 1000}, "refused_total_and_phases"),
        ({"active_power_l1": 1000}, "refused_phases_not_in_use"),
    ],
)
async def test_calls_that_make_no_sense(hass: HomeAssistant, written: Written, data: dict[str, Any], key: str) -> None:
    """A call that does not fit is refused by name."""
    with pytest.raises(ServiceValidationError) as refused:
        await call(hass, "set_power", **data)
    assert refused.value.translation_key == key
    assert written == []


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    "data",
    [
        {"active_power": 2_000_000},
        {"active_power": "much"},
        {"active_power": float("nan")},
        {"active_power": 1000, "duration": {"seconds": 0}},
        {"active_power": 1000, "duration": {"days": 2}},
        {"active_power": 1000, "nonsense": 1},
    ],
)
async def test_values_out_of_range(hass: HomeAssistant, written: Written, data: dict[str, Any]) -> None:
    """A value outside its range is refused before anything is written."""
    with pytest.raises((vol.Invalid, ServiceValidationError)):
        await call(hass, "set_power", **data)
    assert written == []


async def test_refused_aloud(
    hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit, written: Written
) -> None:
    """A system that does not run refuses with a readable reason."""
    unit.input[SYSTEM_STATE] = 3
    await ready.runtime_data.async_refresh()
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, NUMBER, -20)
    assert refused.value.translation_key == "refused_system_state"
    assert written == []


async def test_writing_refused_by_the_device(hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit) -> None:
    """A refused write is an error and a repair issue, until a command works."""
    issues = ir.async_get(hass)
    unit.fail_write(ACTIVE_SETPOINT, ServerDeviceFailureError())
    with pytest.raises(HomeAssistantError) as failed:
        await set_number(hass, NUMBER, -20)
    assert failed.value.translation_key == "write_failed"
    assert issues.async_get_issue(DOMAIN, "write_failed_refu")
    unit.fail_write(ACTIVE_SETPOINT, None)
    await set_number(hass, NUMBER, -20)
    assert issues.async_get_issue(DOMAIN, "write_failed_refu") is None


async def test_foreign_writer(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    written: Written,
) -> None:
    """A setpoint of another system, seen over 5 s, ends the lease with an issue, and nothing is written after that."""
    await set_number(hass, NUMBER, -20)
    unit.on_write(lambda _: unit.holding.update({ACTIVE_SETPOINT: 77}))
    await seconds(hass, freezer, 8)
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "foreign_writer_refu")
    assert issue is not None
    assert issue.translation_placeholders == {"name": "REFU ESS", "held": "7700", "sent": "-20000"}
    written.clear()
    await seconds(hass, freezer, 30)
    assert written == []


async def test_other_setpoints(hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit) -> None:
    """Setpoints of the unused set are reported, and power is refused."""
    unit.holding[ACTIVE_SETPOINT_L2] = 10  # not seen yet, but a command looks first
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, NUMBER, -20)
    assert refused.value.translation_key == "refused_other_setpoints"
    await ready.runtime_data.async_refresh()
    assert ir.async_get(hass).async_get_issue(DOMAIN, "other_setpoints_refu")


@pytest.mark.parametrize("way", ["unload", "reload", "remove", "stop", "disable"])
async def test_every_way_out_writes_zero(
    hass: HomeAssistant, ready: MockConfigEntry, written: Written, way: str
) -> None:
    """Every way out ends with zero, and nothing follows it."""
    await set_number(hass, NUMBER, -20)
    written.clear()
    match way:
        case "unload":
            assert await hass.config_entries.async_unload(ready.entry_id)
        case "reload":
            assert await hass.config_entries.async_reload(ready.entry_id)
        case "remove":
            await hass.config_entries.async_remove(ready.entry_id)
        case "disable":
            from homeassistant.config_entries import ConfigEntryDisabler  # noqa: PLC0415

            await hass.config_entries.async_set_disabled_by(ready.entry_id, ConfigEntryDisabler.USER)
        case _:
            hass.set_state(CoreState.running)
            await hass.async_stop()
    assert written == ZERO


def stored(hass_storage: dict[str, Any], lower: float, upper: float) -> None:
    """Put the record of a run that was interrupted in place."""
    zero = {"lower": [lower, 0], "upper": [upper, 0], "owner": "person", "taken_at": 1.0}
    hass_storage[f"{DOMAIN}.refu"] = {"version": 2, "data": {"zero": zero, "resets": 3}}


async def set_up(hass: HomeAssistant, entry: MockConfigEntry, freezer: FrozenDateTimeFactory) -> None:
    """Set the entry up and let it poll for a while."""
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await seconds(hass, freezer, 30)


def event_types(events: list[Event[EventStateChangedData]]) -> list[str]:
    """Return the types of the events that the event entity showed."""
    return [
        event.data["new_state"].attributes["event_type"]
        for event in events
        if event.data["new_state"] is not None and event.data["new_state"].attributes.get("event_type") is not None
    ]


@pytest.mark.usefixtures("link")
async def test_zero_of_an_earlier_run_is_paid_at_the_start(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    written: Written,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A setpoint that may be ours is zeroed at once, and the events say so; then nothing is owed any longer."""
    stored(hass_storage, 0, 25_000)
    events = async_capture_events(hass, EVENT_STATE_CHANGED)
    await set_up(hass, entry, freezer)
    assert written == ZERO
    ours = [one for one in events if one.data["entity_id"] == "event.refu_ess_commands"]
    assert list(dict.fromkeys(event_types(ours))) == ["lease_interrupted", "zero_paid"]
    assert state(hass, "sensor.refu_ess_error_resets") == "3"
    assert hass_storage[f"{DOMAIN}.refu"]["data"]["zero"] is None


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("broken", [False, True])
async def test_setpoint_that_is_not_ours_is_left_alone_at_the_start(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    written: Written,
    hass_storage: dict[str, Any],
    hass_client: Callable[[], Any],
    freezer: FrozenDateTimeFactory,
    broken: bool,
) -> None:
    """A setpoint that no earlier run sent is left alone; an issue reports it, and the user can write zero."""
    stored(hass_storage, -20_000, 0)
    if broken:
        hass_storage[f"{DOMAIN}.refu"]["data"]["zero"] = {"lower": "x"}
    await set_up(hass, entry, freezer)
    assert written == []
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "holds_power_refu")
    assert issue is not None
    assert issue.translation_placeholders == {"name": "REFU ESS", "power": "25000", "reactive_power": "0"}
    assert await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    flow = await (
        await client.post("/api/repairs/issues/fix", json={"handler": DOMAIN, "issue_id": "holds_power_refu"})
    ).json()
    done = await (await client.post(f"/api/repairs/issues/fix/{flow['flow_id']}", json={})).json()
    assert done["type"] == "create_entry"
    assert written == ZERO
    assert ir.async_get(hass).async_get_issue(DOMAIN, "holds_power_refu") is None


@pytest.mark.usefixtures("link")
async def test_record_of_the_first_release(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    written: Written,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The debt that the first release recorded is paid too."""
    lease = {"active_power": 25_000, "reactive_power": 0, "owner": "person", "taken_at": "2026-11-01T00:00:00+00:00"}
    hass_storage[f"{DOMAIN}.refu"] = {"version": 1, "data": {"lease": lease, "last_reset": None, "resets": 3}}
    await set_up(hass, entry, freezer)
    assert written == ZERO


@pytest.mark.parametrize("fault", ["refused", "unloaded"])
async def test_held_power_that_cannot_be_taken_back(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, fault: str
) -> None:
    """A repair flow that cannot write aborts with the reason."""
    from custom_components.refu_ess.repairs import async_create_fix_flow  # noqa: PLC0415

    flow = await async_create_fix_flow(hass, "holds_power_refu", {"entry_id": loaded.entry_id, "power": "25000"})
    flow.hass = hass
    if fault == "refused":
        unit.fail_write(ACTIVE_SETPOINT, ServerDeviceFailureError())
    else:
        await hass.config_entries.async_unload(loaded.entry_id)
    flow.flow_id, flow.handler = "x", DOMAIN
    result = await flow.async_step_confirm({})  # type: ignore[attr-defined]
    assert result["reason"] == "write_failed"


async def test_memory_while_a_lease_is_held(
    hass: HomeAssistant, ready: MockConfigEntry, hass_storage: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """The debt is on disk while power is held, for a crash to find, and gone when zero is delivered."""
    await set_number(hass, NUMBER, -20)
    kept = hass_storage[f"{DOMAIN}.{ready.entry_id}"]["data"]
    assert kept["zero"]["lower"] == [-20_000, 0]
    await call(hass, "release")
    await seconds(hass, freezer, 2)
    assert hass_storage[f"{DOMAIN}.{ready.entry_id}"]["data"]["zero"] is None


async def test_start_and_stop_buttons(
    hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit, written: Written
) -> None:
    """One button stops the system at any time, the other starts it only from Standby."""
    start, stop = "button.refu_ess_start_system", "button.refu_ess_stop_system"
    with pytest.raises(ServiceValidationError) as refused:
        await call(hass, "button.press", entity_id=start)
    assert refused.value.translation_key == "refused_not_standby"
    await call(hass, "button.press", entity_id=stop)
    assert written == [(WORK_STATE, [0])]
    unit.input[SYSTEM_STATE] = 3
    await ready.runtime_data.async_refresh()
    await call(hass, "button.press", entity_id=start)
    assert written[-1] == (WORK_STATE, [1])


@pytest.mark.usefixtures("ready")
async def test_operation_mode(hass: HomeAssistant, written: Written, unit: MockModbusUnit) -> None:
    """Both modes of the channel table can be chosen; with the second no power is sent."""
    select = "select.refu_ess_operation_mode"
    assert state(hass, select) == "pq_set_point"
    await call(hass, "select.select_option", entity_id=select, option="iac_cos_phi_set_point")
    assert written == [(OPERATION_MODE, [1])]


async def press_reset(hass: HomeAssistant, freezer: FrozenDateTimeFactory, **data: Any) -> None:
    """Reset an error by the button, or by the action where it is forced, while time goes by."""
    if data:
        reset = call(hass, "reset_error", **data)
    else:
        reset = call(hass, "button.press", entity_id="button.refu_ess_reset_error")
    task = hass.async_create_task(reset)
    for _ in range(8):
        await seconds(hass, freezer, 1, wait=False)
    await task


async def test_error_reset(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    unit: MockModbusUnit,
    written: Written,
    freezer: FrozenDateTimeFactory,
) -> None:
    """An error is reset once in two hours unless forced; a healthy system has nothing to reset."""
    with pytest.raises(ServiceValidationError) as refused:
        await press_reset(hass, freezer)
    assert refused.value.translation_key == "refused_no_error"
    unit.input[SYSTEM_STATE] = 5
    await ready.runtime_data.async_refresh()
    await press_reset(hass, freezer)
    assert written == [(ERROR_RESET, [1]), (ERROR_RESET, [0])]
    assert state(hass, "sensor.refu_ess_error_resets") == "1"
    assert state(hass, "sensor.refu_ess_next_error_reset_allowed") not in ("unknown", STATE_UNAVAILABLE)
    with pytest.raises(ServiceValidationError) as refused:
        await press_reset(hass, freezer)
    assert refused.value.translation_key == "refused_reset_too_soon"
    await press_reset(hass, freezer, force=True)
    assert state(hass, "sensor.refu_ess_error_resets") == "2"


async def test_error_reset_that_does_not_read_back(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    unit: MockModbusUnit,
    written: Written,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A device that never shows the 1 is an error, and 0 is the last that is written."""
    unit.input[SYSTEM_STATE] = 5
    await ready.runtime_data.async_refresh()
    unit.on_write(lambda _: unit.holding.update({ERROR_RESET: 0}))
    task = hass.async_create_task(call(hass, "reset_error"))
    for _ in range(25):
        await seconds(hass, freezer, 1, wait=False)
    with pytest.raises(HomeAssistantError) as failed:
        await task
    assert failed.value.translation_key == "reset_not_taken"
    assert written[-1] == (ERROR_RESET, [0])


@pytest.mark.usefixtures("ready")
async def test_release_button(hass: HomeAssistant, written: Written) -> None:
    """The button ends the lease."""
    await set_number(hass, NUMBER, 20)
    await call(hass, "button.press", entity_id="button.refu_ess_release_setpoint")
    assert written[-2:] == ZERO


async def test_switches_survive_a_reload(hass: HomeAssistant, ready: MockConfigEntry) -> None:
    """Protection and recovery are off by default and keep their state."""
    switches = ("switch.refu_ess_soc_protection", "switch.refu_ess_automatic_fault_recovery")
    for switch in switches:
        assert state(hass, switch) == STATE_OFF
        await call(hass, "switch.turn_on", entity_id=switch)
        assert state(hass, switch) == STATE_ON
    await hass.config_entries.async_reload(ready.entry_id)
    await hass.async_block_till_done()
    for switch in switches:
        assert state(hass, switch) == STATE_ON
        await call(hass, "switch.turn_off", entity_id=switch)
        assert state(hass, switch) == STATE_OFF


async def test_soc_protection(hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit) -> None:
    """With protection on, discharge stops at the minimum; the numbers move the limits and refuse a wrong order."""
    await call(hass, "switch.turn_on", entity_id="switch.refu_ess_soc_protection")
    minimum = "number.refu_ess_battery_minimum_soc"
    await set_number(hass, minimum, 70)
    answer = await call(hass, "set_power", respond=True, active_power=20_000)
    assert (answer["applied"]["active_power"], answer["limit"]) == (0, "soc_reserve")
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, minimum, 95)
    assert refused.value.translation_key == "out_of_range_min_soc"
    assert refused.value.translation_placeholders == {"minimum": "0", "maximum": "93"}
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, "number.refu_ess_battery_maximum_soc", 72)
    assert refused.value.translation_key == "out_of_range_max_soc"
    assert refused.value.translation_placeholders == {"minimum": "76", "maximum": "100"}
    assert state(hass, minimum) == "70"


async def test_per_phase(
    hass: HomeAssistant, ready: MockConfigEntry, written: Written, freezer: FrozenDateTimeFactory
) -> None:
    """With the setpoints per phase there are six numbers, and the totals are never written."""
    hass.config_entries.async_update_entry(ready, options={**QUICK, "setpoint_registers": "per_phase"})
    await hass.config_entries.async_reload(ready.entry_id)
    await hass.async_block_till_done()
    await seconds(hass, freezer, 11)
    assert hass.states.get(NUMBER) is None  # its registers are no longer in use
    assert shown(hass, "number.refu_ess_power_setpoint_l2").attributes["max"] == 33.3  # a third, to the resolution
    await set_number(hass, "number.refu_ess_power_setpoint_l2", 5)
    await set_number(hass, "number.refu_ess_reactive_setpoint_l3", -0.3)
    assert written[-2:] == [(ACTIVE_SETPOINT_L1, [0, 50, 0]), (REACTIVE_SETPOINT_L1, [0, 0, 0x10000 - 3])]
    answer = await call(hass, "set_power", respond=True, active_power_l1=1000, active_power_l3=-2000)
    assert answer["applied"]["active_power_phases"] == [1000, 0, -2000]
    assert not {address for address, _ in written} & {ACTIVE_SETPOINT, REACTIVE_SETPOINT}


async def test_read_only(hass: HomeAssistant, ready: MockConfigEntry, written: Written) -> None:
    """Read-only has no control entity, and actions refuse."""
    hass.config_entries.async_update_entry(ready, options={"read_only": True})
    registry = er.async_get(hass)
    await hass.config_entries.async_reload(ready.entry_id)
    await hass.async_block_till_done()
    left = er.async_entries_for_config_entry(registry, ready.entry_id)
    assert {one.domain for one in left} == {"binary_sensor", "event", "number", "sensor"}
    assert not [one.entity_id for one in left if "setpoint" in one.entity_id and one.domain == "number"]
    calls: dict[str, dict[str, Any]] = {"set_power": {"active_power": 1000}, "release": {}, "reset_error": {}}
    for action, data in calls.items():
        with pytest.raises(ServiceValidationError) as refused:
            await call(hass, action, **data)
        assert refused.value.translation_key == "refused_read_only"
    assert written == []


async def test_actions_without_an_entry(hass: HomeAssistant, loaded: MockConfigEntry) -> None:
    """Actions are there without a loaded entry and refuse with a reason."""
    await hass.config_entries.async_unload(loaded.entry_id)
    with pytest.raises(ServiceValidationError):
        await call(hass, "release", config_entry_id=loaded.entry_id)
    with pytest.raises(ServiceValidationError):
        await call(hass, "release", config_entry_id="nonsense")


async def test_lost_device_with_a_lease(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    unit: MockModbusUnit,
    written: Written,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A device lost during a command receives zero once it is back, and nothing else."""
    await set_number(hass, NUMBER, -20)
    unit.fail_requests(ModbusConnectionError("gone"))
    await seconds(hass, freezer, 20)
    assert state(hass, LIMIT) == "zero_owed"
    assert state(hass, "sensor.refu_ess_applied_active_power") == "unknown"
    issues = ir.async_get(hass)
    assert issues.async_get_issue(DOMAIN, "zero_owed_refu")
    unit.fail_requests(None)
    written.clear()
    await seconds(hass, freezer, 30)
    assert written == ZERO
    assert state(hass, LIMIT) == "nothing_asked"
    assert issues.async_get_issue(DOMAIN, "zero_owed_refu") is None


@pytest.mark.parametrize(
    ("context", "owner"),
    [
        (None, "action"),
        (Context(), "action"),
        (Context(user_id="x"), "person"),
        (Context(parent_id="x"), "automation"),
        (Context(user_id="x", parent_id="y"), "automation"),
    ],
)
def test_owner(context: Context | None, owner: str) -> None:
    """A lease records its origin."""
    assert owner_of(context) == owner


async def test_controls_are_configuration(hass: HomeAssistant, ready: MockConfigEntry) -> None:
    """All controls are in the config category, so that voice assistants do not expose them by default."""
    controls = [
        one
        for one in er.async_entries_for_config_entry(er.async_get(hass), ready.entry_id)
        if one.domain in ("button", "number", "select", "switch")
    ]
    assert len(controls) == 12
    assert {one.entity_category for one in controls} == {"config"}


@pytest.mark.parametrize("way", ["disabled polling", "no listener"])
async def test_lease_ends_although_nothing_polls(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    written: Written,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """A lease has a beat of its own, whatever the coordinator's listeners and polling preferences are."""
    coordinator = ready.runtime_data
    if way == "disabled polling":
        hass.config_entries.async_update_entry(ready, pref_disable_polling=True)
    else:
        monkeypatch.setattr(coordinator, "_listeners", {})
        coordinator._unschedule_refresh()
    await call(hass, "set_power", active_power=-20_000, duration={"seconds": 30})
    await seconds(hass, freezer, 10)
    assert written[-1] == (ACTIVE_SETPOINT, [0xFF38])
    await seconds(hass, freezer, 25)
    assert written[-2:] == ZERO
    written.clear()
    await seconds(hass, freezer, 60)
    assert written == []
    monkeypatch.undo()


async def test_polls_slowly_without_a_lease(
    hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """A poll a second is only for what is held or owed, and a while after it."""
    await set_number(hass, NUMBER, -20)
    unit.read_events.clear()
    await seconds(hass, freezer, 5)
    assert len([one for one in unit.read_events if one.address == STATUS_BLOCK]) >= 5
    await call(hass, "release")
    await seconds(hass, freezer, 20)
    unit.read_events.clear()
    await seconds(hass, freezer, 20)
    assert len([one for one in unit.read_events if one.address == STATUS_BLOCK]) <= 3


async def test_connection_is_there_to_alert_on(
    hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """The sensor stays available while the device is not, and one block that answers is a connection."""
    connection = "binary_sensor.refu_ess_connection"
    assert state(hass, connection) == STATE_ON
    unit.fail_requests(ModbusConnectionError("gone"))
    await seconds(hass, freezer, 11)
    assert state(hass, connection) == STATE_OFF
    unit.fail_requests(None)
    await seconds(hass, freezer, 11)
    assert state(hass, connection) == STATE_ON


async def test_command_costs_few_requests(
    hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """One read of what is stale, the write, one read-back."""
    await set_number(hass, NUMBER, -20)
    await seconds(hass, freezer, 1)
    unit.read_events.clear()
    await set_number(hass, NUMBER, -10)
    assert [one.address for one in unit.read_events] == [ACTIVE_SETPOINT, REACTIVE_SETPOINT]  # nothing was stale
    await call(hass, "release")
    await seconds(hass, freezer, 65)
    unit.read_events.clear()
    await set_number(hass, NUMBER, -20)
    assert len(unit.read_events) <= 2 + 5 + 2  # both input blocks, five pieces of settings, and the readback


async def test_guard_that_acted_is_reported_at_the_next_start(
    hass: HomeAssistant, entry: MockConfigEntry, link: object, freezer: FrozenDateTimeFactory, tmp_path: Path
) -> None:
    """The report that it left is an event, once."""
    report = GuardReport(reason=Reason.SILENT, outcome=Outcome.ZERO_WRITTEN, at=1.0, tries=1, seconds=0.5)
    with patch("custom_components.refu_ess.guarding.report_path", return_value=tmp_path / "guard"):
        store_report(tmp_path / "guard", report)
        events = async_capture_events(hass, EVENT_STATE_CHANGED)
        await set_up(hass, entry, freezer)
        ours = [one for one in events if one.data["entity_id"] == "event.refu_ess_commands"]
        assert event_types(ours) == ["guard_acted"]
        assert not (tmp_path / "guard").exists()


async def test_every_event_of_a_start_is_shown(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    link: object,
    unit: MockModbusUnit,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    tmp_path: Path,
) -> None:
    """Home Assistant writes no state before an entity is added; several events of the setup must not become one."""
    stored(hass_storage, 0, 25_000)
    unit.holding[ACTIVE_SETPOINT] = 0
    report = GuardReport(reason=Reason.CLOSED, outcome=Outcome.ZERO_WRITTEN, at=1.0, tries=1, seconds=0.5)
    with patch("custom_components.refu_ess.guarding.report_path", return_value=tmp_path / "guard"):
        store_report(tmp_path / "guard", report)
        events = async_capture_events(hass, EVENT_STATE_CHANGED)
        await set_up(hass, entry, freezer)
    ours = [one for one in events if one.data["entity_id"] == "event.refu_ess_commands"]
    assert event_types(ours) == ["lease_interrupted", "guard_acted", "zero_paid"]


async def test_guard_that_took_over_at_the_end_is_left_to_the_next_start(
    hass: HomeAssistant, ready: MockConfigEntry, tmp_path: Path
) -> None:
    """Once the entry is unloaded no listener would see the event, so its file stays."""
    guard = ready.runtime_data.commander.controller.guard
    report = GuardReport(reason=Reason.CLOSED, outcome=Outcome.ZERO_WRITTEN, at=1.0, tries=1, seconds=0.5)
    with patch("custom_components.refu_ess.guarding.report_path", return_value=tmp_path / "guard"):
        store_report(tmp_path / "guard", report)
        assert await hass.config_entries.async_unload(ready.entry_id)
        guard._on_acted(report)
        await hass.async_block_till_done(wait_background_tasks=True)
    assert (tmp_path / "guard").exists()


async def test_guard_that_acted_meanwhile_ends_the_setpoint(
    hass: HomeAssistant, ready: MockConfigEntry, freezer: FrozenDateTimeFactory, written: Written
) -> None:
    """The guard's act while Home Assistant hung is reported, zero is written, and the next command works."""
    guard = ready.runtime_data.commander.controller.guard
    await set_number(hass, NUMBER, -20)
    report = GuardReport(reason=Reason.SILENT, outcome=Outcome.ZERO_WRITTEN, at=1.0, tries=1, seconds=0.5)
    guard._acted = report
    guard._on_acted(report)
    event = shown(hass, "event.refu_ess_commands")
    assert event.attributes["event_type"] == "guard_acted"
    await seconds(hass, freezer, 3)
    assert written[-2:] == ZERO
    event = shown(hass, "event.refu_ess_commands")
    assert event.attributes["reason"] == "guard_acted"
    await set_number(hass, NUMBER, -20)


async def test_guard_is_optional(
    hass: HomeAssistant, ready: MockConfigEntry, guard_started: AsyncMock, written: Written
) -> None:
    """It is started before power is sent, unless the option turns it off; without it an issue warns."""
    await set_number(hass, NUMBER, -20)
    guard_started.assert_awaited()
    await call(hass, "release")
    guard_started.return_value = False
    await set_number(hass, NUMBER, -20)
    issues = ir.async_get(hass)
    assert issues.async_get_issue(DOMAIN, "guard_missing_refu")
    guard_started.reset_mock()
    hass.config_entries.async_update_entry(ready, options={**QUICK, "guard": False})
    await hass.config_entries.async_reload(ready.entry_id)
    await hass.async_block_till_done()
    await set_number(hass, NUMBER, 0)
    guard_started.assert_not_awaited()


async def test_zero_that_cannot_be_written_survives_removal_as_an_issue(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The device may still hold power, and nothing else would say so."""
    await set_number(hass, NUMBER, -20)
    unit.fail_requests(ModbusConnectionError("gone"))
    removal = hass.async_create_task(hass.config_entries.async_remove(ready.entry_id))
    await seconds(hass, freezer, 3, wait=False)
    await removal
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "zero_owed_refu")
    assert issue is not None
    assert issue.severity is ir.IssueSeverity.ERROR
    assert "Stopped before zero could be written" in caplog.text


@pytest.mark.usefixtures("ready")
async def test_actions_take_a_target(hass: HomeAssistant, written: Written) -> None:
    """An entity of the ESS names it, as the automation editor does."""
    target = {"entity_id": "event.refu_ess_alarms"}
    await hass.services.async_call(DOMAIN, "set_power", {"active_power": -20_000}, blocking=True, target=target)
    assert written[0] == (ACTIVE_SETPOINT, [0xFF38])
    await hass.services.async_call(DOMAIN, "release", {}, blocking=True, target=target)
    assert written[-2:] == ZERO
    with pytest.raises(ServiceValidationError) as refused:
        await hass.services.async_call(DOMAIN, "release", {}, blocking=True, target={"entity_id": "sun.sun"})
    assert refused.value.translation_key == "target_without_ess"


async def test_lease_ends_although_the_issues_fail(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    written: Written,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error in what is only shown stops neither a command nor the beat."""

    def fail() -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(ready.runtime_data.issues, "async_update", fail)
    await call(hass, "set_power", active_power=-20_000, duration={"seconds": 5})
    await seconds(hass, freezer, 8)
    assert written[-2:] == ZERO
    assert "could not be updated" in caplog.text


async def test_beat_goes_on_although_a_cycle_fails(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    written: Written,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A watcher that raises after one cycle does not end the beat."""
    stop = ready.runtime_data.commander.async_watch(Mock(side_effect=RuntimeError("no")))
    await call(hass, "set_power", active_power=-20_000, duration={"seconds": 5})
    await seconds(hass, freezer, 8)
    stop()
    assert written[-2:] == ZERO
