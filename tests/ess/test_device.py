"""A device that refuses, falls silent and comes back; and what its alarms add up to."""

import asyncio
import logging
from contextlib import suppress

import pytest
from modbus_connection import (
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import (
    BITS,
    CHANNELS,
    BitEntry,
    InverterStatusLayout,
    RefuEss,
    Site,
    link as link_module,
)
from custom_components.refu_ess.ess.catalogue import SITE_ENTRIES
from tests.registers import (
    ACTIVE_POWER,
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    BATTERY_ALARM_1,
    BATTERY_ALARM_4,
    BATTERY_BLOCK,
    BATTERY_FAULT_7,
    BATTERY_FAULT_9,
    BATTERY_FAULT_10,
    CHARGE_ENERGY,
    COMMUNICATION,
    DISCHARGE_ENERGY,
    ERROR_LOG_1,
    GROUP_CONTROL,
    HIGHEST_TEMPERATURE,
    INVERTER_STATUS,
    LOWEST_TEMPERATURE,
    REACTIVE_SETPOINT,
    REACTIVE_SETPOINT_L1,
    SOC,
    STATUS_BLOCK,
    SYSTEM_ERROR_1,
    WORK_STATE,
    held,
)

from .clock import Clock
from .polled import alarms

CHANNEL = {entry.key: entry for entry in CHANNELS}
BIT = {entry.key: entry for entry in BITS}


async def test_one_refused_block(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A refused block is left alone for five minutes, and the other block stays."""
    unit.fail_read(STATUS_BLOCK, IllegalDataAddressError(), register_type="input")
    await device.async_poll()
    assert not device.available(("status",))
    assert device.available(("battery",))
    unit.read_events.clear()
    clock.now += 299
    await device.async_poll(settings=False)
    assert [event.address for event in unit.read_events] == [BATTERY_BLOCK]
    unit.fail_read(STATUS_BLOCK, None, register_type="input")
    clock.now += 1
    await device.async_poll()
    assert device.available(("status", "battery"))


@pytest.mark.parametrize("refusal", [IllegalDataAddressError(), IllegalFunctionError()])
async def test_refused_settings(device: RefuEss, unit: MockModbusUnit, clock: Clock, refusal: ModbusError) -> None:
    """Settings that the device refuses are left alone for five minutes, and nothing else goes with them."""
    unit.fail_read(ACTIVE_SETPOINT, refusal)
    await device.async_poll()
    assert {name for name, block in device.blocks.items() if not block.available} == {"total_setpoints"}
    unit.read_events.clear()
    clock.now += 299.9
    await device.async_poll()
    assert ACTIVE_SETPOINT not in {event.address for event in unit.read_events}
    assert {WORK_STATE, ACTIVE_SETPOINT_L1, REACTIVE_SETPOINT_L1} <= {event.address for event in unit.read_events}
    clock.now += 0.1
    await device.async_poll()
    assert ACTIVE_SETPOINT in {event.address for event in unit.read_events}


async def test_a_busy_device_is_no_refusal(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A block that was refused and is then only busy is asked at the next poll again."""
    unit.fail_read(BATTERY_BLOCK, IllegalDataAddressError(), register_type="input")
    await device.async_poll()
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    clock.now += 300
    await device.async_poll()
    unit.read_events.clear()
    clock.now += 1
    await device.async_poll()
    assert [event.address for event in unit.read_events] == [STATUS_BLOCK, BATTERY_BLOCK]


async def test_refusal_over_the_fresh_link(
    device: RefuEss, unit: MockModbusUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal at the second try counts like any other."""
    await device.async_poll()
    read, errors = unit.read_input_registers, [IllegalDataAddressError(), ModbusTimeoutError("late")]

    async def fail_twice(address: int, count: int) -> list[int]:
        if errors:
            raise errors.pop()
        return await read(address, count)

    monkeypatch.setattr(unit, "read_input_registers", fail_twice)
    await device.async_poll()
    assert device.blocks["status"].refused
    assert not device.available(("status",))
    assert device.available(("battery",))


async def test_silence_after_a_good_block(device: RefuEss, unit: MockModbusUnit) -> None:
    """A device that falls silent in the middle of a poll is silent: no half of a poll is shown."""
    unit.fail_read(BATTERY_BLOCK, ModbusTimeoutError("late"), register_type="input")
    with pytest.raises(ModbusTimeoutError, match="late"):
        await device.async_poll()
    assert not any(block.available for block in device.blocks.values())
    assert [event.address for event in unit.read_events] == [STATUS_BLOCK, BATTERY_BLOCK]


async def test_silence_is_tried_once_more_only_at_first(device: RefuEss, unit: MockModbusUnit) -> None:
    """While the device stays silent a poll is one request."""
    await device.async_poll()
    unit.fail_requests(ModbusTimeoutError("late"))
    asked = []
    for _ in range(3):
        unit.read_events.clear()
        with pytest.raises(ModbusTimeoutError):
            await device.async_poll()
        asked.append([event.address for event in unit.read_events])
    assert asked == [[STATUS_BLOCK, STATUS_BLOCK], [STATUS_BLOCK], [STATUS_BLOCK]]
    unit.fail_requests(None)
    await device.async_poll()
    assert all(block.available for block in device.blocks.values())


async def test_busy_block_is_asked_at_the_next_poll(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Any other exception is no refusal."""
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    assert device.picture.values["stored_energy"] is None
    unit.fail_read(BATTERY_BLOCK, None, register_type="input")
    clock.now += 1
    await device.async_poll()
    assert device.picture.values["stored_energy"] == 65.0


async def test_failed_settings_are_asked_at_the_next_poll(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Settings that failed do not wait for their minute."""
    unit.fail_read(WORK_STATE, ServerDeviceBusyError())
    await device.async_poll()
    assert not device.available(("commands",))
    unit.fail_read(WORK_STATE, None)
    clock.now += 1
    await device.async_poll()
    assert device.available(("commands",))


async def test_both_input_blocks_refused(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A device that refuses everything is an error, not an empty success, and is asked for all at the next poll."""
    await device.async_poll()
    for address in (STATUS_BLOCK, BATTERY_BLOCK):
        unit.fail_read(address, IllegalDataAddressError(), register_type="input")
    unit.fail_read(ACTIVE_SETPOINT, IllegalDataAddressError())
    clock.now += 60
    with pytest.raises(IllegalDataAddressError):
        await device.async_poll()
    for address in (STATUS_BLOCK, BATTERY_BLOCK):
        unit.fail_read(address, None, register_type="input")
    unit.fail_read(ACTIVE_SETPOINT, None)
    clock.now += 1
    await device.async_poll()
    assert all(block.available for block in device.blocks.values())


@pytest.mark.parametrize("error", [ModbusConnectionError("gone"), ModbusTimeoutError("late")])
async def test_silence(device: RefuEss, unit: MockModbusUnit, error: ModbusError) -> None:
    """Silence marks every block at once and keeps the words for the diagnostics."""
    await device.async_poll()
    unit.fail_requests(error)
    with pytest.raises(type(error)):
        await device.async_poll()
    assert not any(block.available for block in device.blocks.values())
    assert device.picture.words["battery"][SOC] == 50
    assert device.unit.statistics.errors[type(error).__name__] == 2  # once more over a fresh link


async def test_before_the_first_poll(device: RefuEss) -> None:
    """Nothing was read, so nothing is known but what is configured."""
    picture = device.picture
    known = {key for key, value in picture.values.items() if value is not None}
    assert known == {*(entry.key for entry in SITE_ENTRIES), "battery_groups"}
    assert picture.values.keys() - picture.unavailable == known
    assert not any(picture.words.values())
    assert picture.alarms == ()


@pytest.mark.parametrize("shared", [False, True])
async def test_dropped_link_is_tried_once_more(
    unit: MockModbusUnit, connection: MockModbusConnection, monkeypatch: pytest.MonkeyPatch, clock: Clock, shared: bool
) -> None:
    """A block that was well is read again over a fresh link, so a drop costs no poll."""
    device = RefuEss(unit, shared_link=shared, clock=clock)
    await device.async_poll()
    connection.simulate_connection_lost()
    read, failures = unit.read_input_registers, [ModbusConnectionError("dropped")]

    async def fail_once(address: int, count: int) -> list[int]:
        if failures:
            raise failures.pop()
        return await read(address, count)

    monkeypatch.setattr(unit, "read_input_registers", fail_once)
    await device.async_poll()
    assert device.available(("status", "battery"))
    assert device.unit.statistics.reconnects == 1


@pytest.mark.parametrize(("shared", "recycled"), [(False, [True] * 4), (True, [False, False, True, False])])
async def test_silent_link_is_replaced(
    unit: MockModbusUnit, connection: MockModbusConnection, clock: Clock, shared: bool, recycled: list[bool]
) -> None:
    """A private link is replaced at once, a shared one at every third silent poll: others may be using it."""
    device = RefuEss(unit, shared_link=shared, clock=clock)
    unit.fail_requests(ModbusTimeoutError("late"))
    found = []
    for _ in range(4):
        with pytest.raises(ModbusTimeoutError):
            await device.async_poll()
        found.append(not connection.connected)
    assert found == recycled


@pytest.mark.parametrize(("shared", "dropped"), [(False, 1), (True, 0)])
async def test_second_try_drops_a_private_link_only(
    unit: MockModbusUnit, clock: Clock, monkeypatch: pytest.MonkeyPatch, shared: bool, dropped: int
) -> None:
    """The second try opens a new private link; a shared one is not taken from the others."""
    device = RefuEss(unit, shared_link=shared, clock=clock)
    await device.async_poll()
    read, failures = unit.read_input_registers, [ModbusTimeoutError("late")]
    drops: list[None] = []

    async def fail_once(address: int, count: int) -> list[int]:
        if failures:
            raise failures.pop()
        return await read(address, count)

    async def disconnect() -> None:
        drops.append(None)

    monkeypatch.setattr(unit, "read_input_registers", fail_once)
    monkeypatch.setattr(unit, "disconnect", disconnect)
    await device.async_poll()
    assert len(drops) == dropped


async def test_an_answer_ends_the_count_of_silent_polls(
    unit: MockModbusUnit, connection: MockModbusConnection, clock: Clock
) -> None:
    """A shared link is replaced after three silent polls in a row, not after three in all."""
    device = RefuEss(unit, shared_link=True, clock=clock)
    found = []
    for silent in (True, True, False, True, True, True):
        unit.fail_requests(ModbusTimeoutError("late") if silent else None)
        with suppress(ModbusTimeoutError):
            await device.async_poll()
        found.append(connection.connected)
    assert found == [True] * 5 + [False]


async def test_a_link_is_private_unless_it_is_said_to_be_shared(
    device: RefuEss, unit: MockModbusUnit, connection: MockModbusConnection
) -> None:
    """Without a word about it the link is our own, and one silent poll replaces it."""
    unit.fail_requests(ModbusTimeoutError("late"))
    with pytest.raises(ModbusTimeoutError):
        await device.async_poll()
    assert not connection.connected


async def test_link_that_cannot_be_closed(
    device: RefuEss, unit: MockModbusUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old link that cannot be closed properly hides no error."""

    async def fail() -> None:
        raise ModbusConnectionError("cannot close")

    monkeypatch.setattr(unit, "disconnect", fail)
    unit.fail_requests(ModbusTimeoutError("late"))
    with pytest.raises(ModbusTimeoutError, match="late"):
        await device.async_poll()


async def test_deadline(device: RefuEss, unit: MockModbusUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that the link holds on to ends at our own deadline, which is 5 s."""
    assert link_module.DEADLINE_SECONDS == 5
    monkeypatch.setattr(link_module, "DEADLINE_SECONDS", 0.01)

    let_go = asyncio.Event()

    async def hang(address: int, count: int) -> list[int]:
        await let_go.wait()
        return []

    monkeypatch.setattr(unit, "read_input_registers", hang)
    with pytest.raises(ModbusTimeoutError, match=r"0\.01 s"):
        await device.async_poll()
    assert device.unit.statistics.errors == {"ModbusTimeoutError": 1}
    assert device.unit.statistics.requests == 1
    let_go.set()  # a read that waited for the link to open is not cancelled
    await asyncio.sleep(0)


async def test_statistics(device: RefuEss, unit: MockModbusUnit, connection: MockModbusConnection) -> None:
    """Every request is counted, every error by its name, and every return of a link that was up before."""
    statistics = device.unit.statistics
    unit.fail_requests(ModbusConnectionError("refused"))
    with pytest.raises(ModbusConnectionError):
        await device.async_poll()
    unit.fail_requests(None)
    unit.fail_read(REACTIVE_SETPOINT_L1, ServerDeviceBusyError())
    await device.async_poll()
    assert (statistics.requests, statistics.reconnects) == (1 + 7, 0)  # opened for the first time is no return
    connection.simulate_connection_lost()
    await device.async_poll(settings=False)
    await device.async_poll(settings=False)
    assert (statistics.requests, statistics.reconnects) == (1 + 7 + 2 + 2, 1)
    assert statistics.errors == {"ModbusConnectionError": 1, "ServerDeviceBusyError": 1}


async def test_connected(device: RefuEss) -> None:
    """The link comes up with the first request."""
    assert not device.unit.connected
    await device.async_poll()
    assert device.unit.connected


async def test_unknown_bits(device: RefuEss, unit: MockModbusUnit, caplog: pytest.LogCaptureFixture) -> None:
    """An undeclared bit is logged once and remembered."""
    caplog.set_level(logging.WARNING)
    unit.input[BATTERY_FAULT_9] = 0b1 | 1 << 5
    await device.async_poll()
    await device.async_poll()
    unit.input[BATTERY_FAULT_9] = 1 << 7
    await device.async_poll()
    assert device.unknown_bits == {"battery_fault_9": 0b1 | 1 << 5 | 1 << 7}
    assert caplog.text.count("battery_fault_9") == 2


async def test_words_without_labels_have_no_unknown_bits(device: RefuEss, unit: MockModbusUnit) -> None:
    """A word without labels is a number, not a set of bits."""
    unit.input.update({BATTERY_FAULT_7: 0xFFFF, GROUP_CONTROL: 0xFFFF, ERROR_LOG_1: 0xFFFF})
    await device.async_poll()
    assert device.unknown_bits == {}
    assert device.picture.alarms == ()


async def test_alarms_by_severity(device: RefuEss, unit: MockModbusUnit) -> None:
    """Faults come before warnings, and what is not ready comes last."""
    unit.input.update({BATTERY_ALARM_1: 1 << 6, BATTERY_FAULT_10: 1 << 8, SYSTEM_ERROR_1: 1 << 10})
    await device.async_poll()
    assert alarms(device) == ("fuse_fault", "normal_high_temperature", "bms_ready")


CONDITION_OF = {
    "battery": "battery_problem",
    "temperature": "temperature_problem",
    "insulation": "insulation_problem",
    "contactors": "contactor_problem",
    "communication": "communication_problem",
    "inverter": "inverter_problem",
    "dcdc": "dcdc_problem",
}


def category_by_text(entry: BitEntry) -> str:
    """Return what an alarm is about by the words of its name alone; what names nothing else is about the battery."""
    text = entry.bit.full_name.lower()
    if entry.word.channel.table_name in {"InverterStatus", "DCDCStatus"}:
        return "inverter" if entry.word.channel.table_name == "InverterStatus" else "dcdc"
    for category, words in {
        "inverter": ("trex",),
        "temperature": ("temperature", "smoke"),
        "insulation": ("insulation",),
        "contactors": ("contactor", "disconnector", "pre-charge", "fuse"),
        "communication": ("can ", "communication", "gateway", "modbus", "connection error", "link fault"),
    }.items():
        if any(word in text for word in words):
            return category
    return "battery"


@pytest.mark.parametrize("entry", BITS, ids=lambda entry: entry.key)
async def test_each_bit_raises_what_it_is_about(device: RefuEss, unit: MockModbusUnit, entry: BitEntry) -> None:
    """A bit alone raises its severity and its category and nothing else; one that only informs raises nothing."""
    unit.input.update({SYSTEM_ERROR_1: 0x600, COMMUNICATION: 0x17, INVERTER_STATUS: 0})
    address, mask = entry.field.address, entry.field.mask
    unit.input[address] = held(unit.input, address) ^ mask
    await device.async_poll()
    raised = {key for key in CONDITION_OF.values() if device.picture.values[key]}
    severity = entry.bit.severity.value
    if severity == "info":
        assert alarms(device) == ()
        assert not raised
        assert (device.picture.values["fault"], device.picture.values["warning"]) == (False, False)
        return
    assert alarms(device) == (entry.key,)
    assert raised == {CONDITION_OF[category_by_text(entry)]}
    assert (device.picture.values["fault"], device.picture.values["warning"]) == (
        severity == "fault",
        severity != "fault",
    )
    assert device.picture.values["active_alarms"] == 1
    assert device.picture.values["most_severe_alarm"] == entry.key


async def test_groups_that_are_not_installed(unit: MockModbusUnit) -> None:
    """A bit of a battery group that is not installed is no alarm."""
    unit.input[BATTERY_ALARM_4] = 0b1111
    device = RefuEss(unit, Site(battery_groups=2))
    await device.async_poll()
    assert alarms(device) == ("group_1_isolation_switch_open", "group_2_isolation_switch_open")
    assert device.picture.values["group_3_isolation_switch_open"] is True
    unit.input[BATTERY_ALARM_4] = 0b1100
    await device.async_poll()
    assert device.picture.values["contactor_problem"] is False


async def test_incomplete_alarms(device: RefuEss, unit: MockModbusUnit) -> None:
    """Known alarms count; a missing block turns False into unknown."""

    def shown(*keys: str) -> list[object]:
        return [device.picture.values[key] for key in keys]

    unit.input[SYSTEM_ERROR_1] = held(unit.input, SYSTEM_ERROR_1) | 1
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    assert shown("fault", "warning") == [True, None]
    assert shown("active_alarms", "most_severe_alarm") == [None, "bms_in_error"]
    unit.input[SYSTEM_ERROR_1] = 0x600
    await device.async_poll()
    assert shown("fault", "most_severe_alarm") == [None, None]


async def test_incomplete_alarms_of_the_other_block(device: RefuEss, unit: MockModbusUnit) -> None:
    """A fault in the battery's words is a fault, though the inverter's words were refused."""
    unit.input[BATTERY_FAULT_10] = 1 << 8
    unit.fail_read(STATUS_BLOCK, IllegalDataAddressError(), register_type="input")
    await device.async_poll()
    assert device.picture.values["fault"] is True
    assert device.picture.values["contactor_problem"] is True
    assert device.picture.values["insulation_problem"] is False  # none of its alarms is in the other block
    for key in ("warning", "battery_problem", "inverter_problem", "dcdc_problem", "charging"):
        assert device.picture.values[key] is None, key


async def test_alarms_of_a_failed_block_are_not_kept(device: RefuEss, unit: MockModbusUnit) -> None:
    """An alarm is not active on the word of an earlier poll."""
    unit.input[BATTERY_FAULT_10] = 1 << 8
    await device.async_poll()
    assert alarms(device) == ("fuse_fault",)
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    assert alarms(device) == ()
    assert device.picture.values["fault"] is None


async def test_number_of_a_failed_block(device: RefuEss, unit: MockModbusUnit) -> None:
    """A number is unknown as soon as its block fails, and so is what is computed from it."""
    unit.input.update({CHARGE_ENERGY: 2000, DISCHARGE_ENERGY: 1800, HIGHEST_TEMPERATURE: 30, LOWEST_TEMPERATURE: 20})
    await device.async_poll()
    assert device.picture.values["battery_charge_energy"] == 2000
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    for key in ("soc", "battery_charge_energy", "battery_discharge_energy"):
        assert device.picture.values[key] is None, key
    for key in ("stored_energy", "time_to_empty", "temperature_spread", "full_cycles", "round_trip_efficiency"):
        assert device.picture.values[key] is None, key


async def test_held_counter_of_a_failed_block(device: RefuEss, unit: MockModbusUnit) -> None:
    """A counter that is held is as unknown as any other number once its block fails."""
    unit.input.update({CHARGE_ENERGY: 2000, DISCHARGE_ENERGY: 1800})
    await device.async_poll()
    unit.input[CHARGE_ENERGY] = 0
    await device.async_poll()
    assert device.picture.values["battery_charge_energy"] == 2000
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    assert device.picture.values["battery_charge_energy"] is None


async def test_conditions_of_a_disproved_layout(device: RefuEss, unit: MockModbusUnit) -> None:
    """While the place of "Inverter warning" is disproved, that there is no warning is not known."""
    unit.input.update({INVERTER_STATUS: 1 << 13 | 1 << 8, ACTIVE_POWER: 250})
    for _ in range(3):
        await device.async_poll()
    assert device.picture.values["inverter_warning"] is None
    assert device.picture.values["warning"] is None
    assert device.picture.values["inverter_problem"] is None
    assert device.picture.values["active_alarms"] is None
    assert device.picture.values["fault"] is False  # no fault is in doubt


async def test_silent_settings(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A device that answers for its readings but not for a setpoint still shows its readings."""
    unit.fail_read(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    for _ in range(3):
        with suppress(ModbusTimeoutError):
            await device.async_poll()
        clock.now += 10
    assert device.available(("status", "battery"))
    assert not device.available(("total_setpoints",))


@pytest.mark.parametrize(
    ("refused", "other"),
    [
        (ACTIVE_SETPOINT, REACTIVE_SETPOINT),
        (REACTIVE_SETPOINT, ACTIVE_SETPOINT),
        (ACTIVE_SETPOINT_L1, REACTIVE_SETPOINT_L1),
        (REACTIVE_SETPOINT_L1, ACTIVE_SETPOINT_L1),
    ],
)
async def test_one_piece_refused(device: RefuEss, unit: MockModbusUnit, refused: int, other: int) -> None:
    """A device that refuses one of the five pieces of the settings still answers the other four."""
    unit.holding[other] = 7
    unit.fail_read(refused, IllegalDataAddressError())
    await device.async_poll()
    (key,) = (one.key for one in CHANNELS if one.field is not None and one.field.address == other)
    assert device.picture.available(key)
    assert device.picture.values[key] == 700
    assert not device.blocks[
        "total_setpoints" if other in {ACTIVE_SETPOINT, REACTIVE_SETPOINT} else "phase_setpoints"
    ].available


async def test_shifted_layout(unit: MockModbusUnit) -> None:
    """In the shifted layout the doubtful bits are read one place lower, the others where they were."""
    unit.input[INVERTER_STATUS] = 1 << 7 | 1 << 3
    device = RefuEss(unit, Site(inverter_status_layout=InverterStatusLayout.SHIFTED))
    await device.async_poll()
    assert device.picture.values["inverter_warning"] is True
    assert device.picture.values["inverter_fault"] is True
    assert device.picture.values["inverter_voltage_current_mode"] is False


async def test_site_values(unit: MockModbusUnit) -> None:
    """Charge SoC is two below the minimum unless it is set, and never below zero."""
    assert RefuEss(unit, Site(min_soc=20)).picture.values["charge_soc"] == 18
    assert RefuEss(unit, Site(min_soc=1)).picture.values["charge_soc"] == 0
    assert RefuEss(unit, Site(charge_soc=5)).picture.values["charge_soc"] == 5
    assert RefuEss(unit, Site()).picture.values["max_soc"] == 100
    assert Site().battery_groups == 4
    assert RefuEss(unit, Site(alias="Barn")).picture.values["alias"] == "Barn"
