"""Commands through Home Assistant: entities, actions, options, stop and restart, over an ESS in memory."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import voluptuous as vol
from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import Context, CoreState, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from modbus_connection import ModbusConnectionError, ServerDeviceFailureError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.refu_ess.commander import owner_of
from custom_components.refu_ess.const import DOMAIN

from .test_init import poll, state

NUMBER = "number.refu_ess_active_power_setpoint"
LIMIT = "sensor.refu_ess_binding_limit"
QUICK = {"start_delay": 0, "ramp_rate": 100}
ZERO = [(0x203, [0]), (0x207, [0])]


@pytest.fixture
def written(unit: MockModbusUnit) -> list[tuple[int, list[int]]]:
    """What is written to the device."""
    found: list[tuple[int, list[int]]] = []
    unit.on_write(lambda event: found.append((event.address, [int(value) for value in event.values])))
    return found


@pytest.fixture
async def ready(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    link: object,
    unit: MockModbusUnit,
    written: list[object],
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """A running system at rest that may be commanded without a ramp."""
    unit.holding[0x203] = 0
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options=QUICK)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await seconds(hass, freezer, 11)
    return entry


async def seconds(hass: HomeAssistant, freezer: FrozenDateTimeFactory, count: int) -> None:
    """Let seconds go by, one by one."""
    for _ in range(count):
        freezer.tick(timedelta(seconds=1))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)


async def call(hass: HomeAssistant, service: str, *, respond: bool = False, **data: Any) -> Any:
    """Call one of our actions, or another domain's by its full name."""
    domain, _, name = service.rpartition(".")
    return await hass.services.async_call(domain or DOMAIN, name, data, blocking=True, return_response=respond)


async def set_number(hass: HomeAssistant, entity_id: str, value: float) -> None:
    """Set a number."""
    await call(hass, "number.set_value", entity_id=entity_id, value=value)


@pytest.mark.usefixtures("ready")
async def test_charge_from_the_interface(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, written: list[object], unit: MockModbusUnit
) -> None:
    """A number charges at 20 kW, is sent every second, shows what the device holds, and zero ends it."""
    assert written == []
    await set_number(hass, NUMBER, -20_000)
    assert written[:2] == [(0x203, [0xFF38]), (0x207, [0])]
    assert state(hass, NUMBER) == "-20000"
    assert state(hass, "sensor.refu_ess_applied_active_power") == "-20.0"
    assert state(hass, LIMIT) == "none"
    before = len(written)
    await seconds(hass, freezer, 5)
    assert len(written) == before + 10
    await set_number(hass, NUMBER, 0)
    assert written[-2:] == ZERO
    assert state(hass, NUMBER) == "0"
    assert state(hass, LIMIT) == "nothing_asked"
    written.clear()
    await seconds(hass, freezer, 60)
    assert written == []


@pytest.mark.usefixtures("ready")
async def test_action_with_duration(hass: HomeAssistant, freezer: FrozenDateTimeFactory, written: list[object]) -> None:
    """An action answers what is applied and why, and ends after its duration."""
    answer = await call(hass, "set_power", respond=True, active_power=-97_000, duration={"seconds": 30})
    assert answer["applied"]["active_power"] == -95_000
    assert answer["limit"] == "battery_charge"
    assert answer["ends_at"] is not None
    assert not answer["dry_run"]
    assert state(hass, "sensor.refu_ess_setpoint_held_until") == answer["ends_at"]
    await seconds(hass, freezer, 28)
    assert written[-2] == (0x203, [0x10000 - 950])
    await seconds(hass, freezer, 3)
    assert written[-2:] == ZERO
    event = hass.states.get("event.refu_ess_commands")
    assert event is not None
    assert event.attributes["event_type"] == "lease_ended"
    assert event.attributes["end"] == "expired"


@pytest.mark.usefixtures("ready")
async def test_dry_run(hass: HomeAssistant, written: list[object]) -> None:
    """A dry run answers the same and writes nothing."""
    answer = await call(hass, "set_power", respond=True, active_power=-97_000, reactive_power=500, dry_run=True)
    assert answer["applied"]["active_power"] == -95_000
    assert answer["dry_run"]
    assert answer["ends_at"] is None
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
async def test_calls_that_make_no_sense(
    hass: HomeAssistant, written: list[object], data: dict[str, float], key: str
) -> None:
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
async def test_values_out_of_range(hass: HomeAssistant, written: list[object], data: dict[str, Any]) -> None:
    """A value outside its range is refused before anything is written."""
    with pytest.raises((vol.Invalid, ServiceValidationError)):
        await call(hass, "set_power", **data)
    assert written == []


async def test_refused_aloud(
    hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit, written: list[object]
) -> None:
    """A system that does not run refuses with a reason a person can read."""
    unit.input[0x100] = 3
    await ready.runtime_data.async_refresh()
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, NUMBER, -20_000)
    assert refused.value.translation_key == "refused_system_state"
    assert written == []


async def test_writing_refused_by_the_device(hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit) -> None:
    """A refused write is an error and a repair issue, until a command works."""
    issues = ir.async_get(hass)
    unit.fail_write(0x203, ServerDeviceFailureError())
    with pytest.raises(HomeAssistantError) as failed:
        await set_number(hass, NUMBER, -20_000)
    assert failed.value.translation_key == "write_failed"
    assert issues.async_get_issue(DOMAIN, "write_failed_refu")
    unit.fail_write(0x203, None)
    await set_number(hass, NUMBER, -20_000)
    assert issues.async_get_issue(DOMAIN, "write_failed_refu") is None


async def test_foreign_writer(
    hass: HomeAssistant,
    ready: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    written: list[object],
) -> None:
    """Somebody else's setpoint ends the lease with an issue, and nothing is written any more."""
    await set_number(hass, NUMBER, -20_000)
    unit.on_write(lambda _: unit.holding.update({0x203: 77}))
    await seconds(hass, freezer, 4)
    assert ir.async_get(hass).async_get_issue(DOMAIN, "foreign_writer_refu")
    written.clear()
    await seconds(hass, freezer, 30)
    assert written == []


async def test_other_setpoints(hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit) -> None:
    """Setpoints of the unused set are reported, and power is refused."""
    unit.holding[0x205] = 10  # not seen yet, but a command looks first
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, NUMBER, -20_000)
    assert refused.value.translation_key == "refused_other_setpoints"
    await ready.runtime_data.async_refresh()
    assert ir.async_get(hass).async_get_issue(DOMAIN, "other_setpoints_refu")


@pytest.mark.parametrize("way", ["unload", "reload", "remove", "stop", "disable"])
async def test_every_way_out_writes_zero(
    hass: HomeAssistant, ready: MockConfigEntry, written: list[object], way: str
) -> None:
    """Unload, reload, removal and stop end with zero, and nothing follows it."""
    await set_number(hass, NUMBER, -20_000)
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


async def test_setpoint_that_was_there_at_start(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    link: object,
    unit: MockModbusUnit,
    written: list[object],
    hass_storage: dict[str, Any],
    hass_client: Callable[[], Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """After a crash nothing is written; the lease and the held setpoint are told, and a person can write zero."""
    hass_storage[f"{DOMAIN}.{entry.entry_id}"] = {
        "version": 1,
        "data": {
            "lease": {"active_power": 25_000, "owner": "person"},
            "last_reset": None,
            "resets": 3,
            "fault_recovery": False,
            "soc_protection": False,
        },
    }
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await seconds(hass, freezer, 30)
    assert written == []
    event = hass.states.get("event.refu_ess_commands")
    assert event is not None
    assert event.attributes["event_type"] == "lease_interrupted"
    assert event.attributes["active_power"] == 25_000
    assert state(hass, "sensor.refu_ess_error_resets") == "3"
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "holds_power_refu")
    assert issue is not None
    assert issue.translation_placeholders == {"name": "REFU ESS", "power": "25000"}
    from homeassistant.setup import async_setup_component  # noqa: PLC0415

    assert await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    flow = await (
        await client.post("/api/repairs/issues/fix", json={"handler": DOMAIN, "issue_id": "holds_power_refu"})
    ).json()
    done = await (await client.post(f"/api/repairs/issues/fix/{flow['flow_id']}", json={})).json()
    assert done["type"] == "create_entry"
    assert written == ZERO
    assert ir.async_get(hass).async_get_issue(DOMAIN, "holds_power_refu") is None


@pytest.mark.parametrize("fault", ["refused", "unloaded"])
async def test_held_power_that_cannot_be_taken_back(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, fault: str
) -> None:
    """A fix that cannot write says so."""
    from custom_components.refu_ess.repairs import async_create_fix_flow  # noqa: PLC0415

    flow = await async_create_fix_flow(hass, "holds_power_refu", {"entry_id": loaded.entry_id, "power": "25000"})
    flow.hass = hass
    if fault == "refused":
        unit.fail_write(0x203, ServerDeviceFailureError())
    else:
        await hass.config_entries.async_unload(loaded.entry_id)
    flow.flow_id, flow.handler = "x", DOMAIN  # type: ignore[assignment]
    result = await flow.async_step_confirm({})  # type: ignore[attr-defined]
    assert result["reason"] == "write_failed"


async def test_memory_while_a_lease_is_held(
    hass: HomeAssistant, ready: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """The lease is on disk while it is held, for a crash to find, and gone afterwards."""
    await set_number(hass, NUMBER, -20_000)
    kept = hass_storage[f"{DOMAIN}.{ready.entry_id}"]["data"]
    assert kept["lease"]["active_power"] == -20_000
    await call(hass, "release")
    await hass.async_block_till_done()
    assert hass_storage[f"{DOMAIN}.{ready.entry_id}"]["data"]["lease"] is None


async def test_work_state_switch(
    hass: HomeAssistant, ready: MockConfigEntry, unit: MockModbusUnit, written: list[object]
) -> None:
    """The switch stops the system at any time and starts it in Standby alone."""
    switch = "switch.refu_ess_work_state"
    assert state(hass, switch) == STATE_ON
    with pytest.raises(ServiceValidationError) as refused:
        await call(hass, "switch.turn_on", entity_id=switch)
    assert refused.value.translation_key == "refused_not_standby"
    await call(hass, "switch.turn_off", entity_id=switch)
    assert written == [(0x200, [0])]
    assert state(hass, switch) == STATE_OFF
    unit.input[0x100] = 3
    await ready.runtime_data.async_refresh()
    await call(hass, "switch.turn_on", entity_id=switch)
    assert written[-1] == (0x200, [1])


@pytest.mark.usefixtures("ready")
async def test_operation_mode(hass: HomeAssistant, written: list[object], unit: MockModbusUnit) -> None:
    """Both modes of the channel table can be chosen; with the second no power is sent."""
    select = "select.refu_ess_operation_mode"
    assert state(hass, select) == "pq_set_point"
    await call(hass, "select.select_option", entity_id=select, option="iac_cos_phi_set_point")
    assert written == [(0x202, [1])]


async def test_error_reset_button(
    hass: HomeAssistant, ready: MockConfigEntry, written: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The button resets once in two hours; the action can force it."""
    monkeypatch.setattr("custom_components.refu_ess.commander.CONTROL_INTERVAL_SECONDS", 0)
    button = {"entity_id": "button.refu_ess_reset_error"}
    await call(hass, "button.press", **button)
    assert written == [(0x201, [1]), (0x201, [0])]
    assert state(hass, "sensor.refu_ess_error_resets") == "1"
    assert state(hass, "sensor.refu_ess_next_error_reset_allowed") not in ("unknown", STATE_UNAVAILABLE)
    with pytest.raises(ServiceValidationError) as refused:
        await call(hass, "button.press", **button)
    assert refused.value.translation_key == "refused_reset_too_soon"
    await call(hass, "reset_error", force=True)
    assert state(hass, "sensor.refu_ess_error_resets") == "2"


@pytest.mark.usefixtures("ready")
async def test_release_button(hass: HomeAssistant, written: list[object]) -> None:
    """The button ends the lease."""
    await set_number(hass, NUMBER, 20_000)
    await call(hass, "button.press", entity_id="button.refu_ess_release_setpoint")
    assert written[-2:] == ZERO


async def test_switches_survive_a_reload(hass: HomeAssistant, ready: MockConfigEntry) -> None:
    """Protection and recovery are off at first, and stay as they were switched."""
    switches = ("switch.refu_ess_state_of_charge_protection", "switch.refu_ess_automatic_fault_recovery")
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
    """Protected, nothing is discharged at the minimum; the numbers move the limits and refuse a wrong order."""
    await call(hass, "switch.turn_on", entity_id="switch.refu_ess_state_of_charge_protection")
    minimum = "number.refu_ess_battery_minimum_soc"
    await set_number(hass, minimum, 70)
    answer = await call(hass, "set_power", respond=True, active_power=20_000)
    assert (answer["applied"]["active_power"], answer["limit"]) == (0, "soc_reserve")
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, minimum, 95)
    assert refused.value.translation_key == "out_of_range_min_soc"
    assert refused.value.translation_placeholders == {"minimum": "0", "maximum": "93"}
    with pytest.raises(ServiceValidationError) as refused:
        await set_number(hass, minimum, 92)
    assert refused.value.translation_key == "out_of_range_max_soc"
    assert refused.value.translation_placeholders == {"minimum": "98", "maximum": "99"}
    assert state(hass, minimum) == "70"


async def test_per_phase(
    hass: HomeAssistant, ready: MockConfigEntry, written: list[object], freezer: FrozenDateTimeFactory
) -> None:
    """With the setpoints per phase there are six numbers, and the totals are never written."""
    hass.config_entries.async_update_entry(ready, options={**QUICK, "setpoint_registers": "per_phase"})
    await hass.config_entries.async_reload(ready.entry_id)
    await hass.async_block_till_done()
    await seconds(hass, freezer, 11)
    assert hass.states.get(NUMBER) is None  # its registers are no longer in use
    await set_number(hass, "number.refu_ess_active_power_setpoint_l2", 5000)
    await set_number(hass, "number.refu_ess_reactive_power_setpoint_l3", -300)
    assert written[-2:] == [(0x204, [0, 50, 0]), (0x208, [0, 0, 0x10000 - 3])]
    answer = await call(hass, "set_power", respond=True, active_power_l1=1000, active_power_l3=-2000)
    assert answer["applied"]["active_power_phases"] == [1000, 0, -2000]
    assert not {address for address, _ in written} & {0x203, 0x207}


async def test_read_only(hass: HomeAssistant, ready: MockConfigEntry, written: list[object]) -> None:
    """Read-only has no control entity, and actions refuse."""
    hass.config_entries.async_update_entry(ready, options={"read_only": True})
    registry = er.async_get(hass)
    await hass.config_entries.async_reload(ready.entry_id)
    await hass.async_block_till_done()
    left = er.async_entries_for_config_entry(registry, ready.entry_id)
    assert {one.domain for one in left} == {"binary_sensor", "number", "sensor"}
    assert not [one.entity_id for one in left if "setpoint" in one.entity_id and one.domain == "number"]
    for action, data in (("set_power", {"active_power": 1000}), ("release", {}), ("reset_error", {})):
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
    written: list[object],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A device that is lost while commanded gets its zero when it is back, and nothing else."""
    await set_number(hass, NUMBER, -20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    await seconds(hass, freezer, 20)
    assert state(hass, LIMIT) == "nothing_asked"
    unit.fail_requests(None)
    written.clear()
    await seconds(hass, freezer, 30)
    assert written == ZERO


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
    """A lease knows who is behind it."""
    assert owner_of(context) == owner


async def test_controls_are_configuration(hass: HomeAssistant, ready: MockConfigEntry) -> None:
    """Every control is of the configuration category, so that voice assistants do not get it by default."""
    controls = [
        one
        for one in er.async_entries_for_config_entry(er.async_get(hass), ready.entry_id)
        if one.domain in ("button", "number", "select", "switch")
    ]
    assert len(controls) == 11
    assert {one.entity_category for one in controls} == {"config"}


async def test_polls_slowly_without_a_lease(
    hass: HomeAssistant, ready: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """A poll a second is for leases only."""
    coordinator = ready.runtime_data
    assert coordinator.update_interval == timedelta(seconds=10)
    await set_number(hass, NUMBER, -20_000)
    assert coordinator.update_interval == timedelta(seconds=1)
    await call(hass, "release")
    assert coordinator.update_interval == timedelta(seconds=10)
    await poll(hass, freezer)
