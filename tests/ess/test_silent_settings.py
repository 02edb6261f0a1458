"""Settings that bring no answer are only themselves, and cost the readings no time."""

import pytest
from modbus_connection import ModbusConnectionError, ModbusError, ModbusTimeoutError, ServerDeviceBusyError
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import Controller, Moment, RefuEss
from tests.registers import (
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    ALLOWED_CHARGE,
    ALLOWED_DISCHARGE,
    BATTERY_ADDRESSES,
    BATTERY_BLOCK,
    CHARGE_ENERGY,
    DISCHARGE_ENERGY,
    PCS_ALLOWED_CHARGE,
    PCS_ALLOWED_DISCHARGE,
    REACTIVE_SETPOINT,
    REACTIVE_SETPOINT_L1,
    SETTING_BLOCKS,
    SOC,
    STATUS_BLOCK,
    SYSTEM_STATE,
    WORK_STATE,
)

from .clock import Clock

LATE = ModbusTimeoutError("late")


async def asked(device: RefuEss, unit: MockModbusUnit, also: tuple[str, ...] = ()) -> list[int]:
    """Poll, and return the addresses that were asked for, in order."""
    unit.read_events.clear()
    await device.async_poll(also=dict.fromkeys(also, 0.0))
    return [event.address for event in unit.read_events]


def fail(unit: MockModbusUnit, *addresses: int, error: ModbusError | None = LATE) -> None:
    """Let these settings fail."""
    for address in addresses:
        unit.fail_read(address, error)


async def test_the_wait_doubles(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A silent setting is asked after 1 s, 2 s, 4 s and so on, up to five minutes; the inputs at every poll."""
    fail(unit, ACTIVE_SETPOINT)
    await device.async_poll()
    times = []
    for second in range(1, 1200):
        clock.now += 1
        polled = await asked(device, unit)
        assert {STATUS_BLOCK, BATTERY_BLOCK} <= set(polled)
        if ACTIVE_SETPOINT in polled:
            times.append(second)
    gaps = [after - before for before, after in zip([0, *times], times, strict=False)]
    assert gaps[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(gaps[9:]) == {300}
    fail(unit, ACTIVE_SETPOINT, error=None)
    clock.now += 300
    await device.async_poll()
    fail(unit, ACTIVE_SETPOINT)
    clock.now += 60
    await device.async_poll()
    clock.now += 1
    assert ACTIVE_SETPOINT in await asked(device, unit)  # from the start again


async def test_all_settings_silent(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Not more than one silent request a poll, each in its turn, and always after the inputs."""
    fail(unit, *SETTING_BLOCKS)
    seen = []
    for _ in range(5):
        polled = await asked(device, unit)
        assert polled[:2] == [STATUS_BLOCK, BATTERY_BLOCK]
        seen += polled[2:]
        clock.now += 1
    assert seen == SETTING_BLOCKS
    assert device.available(("status", "battery"))
    assert {name for name, block in device.blocks.items() if block.available} == {"status", "battery"}


async def test_what_answers_comes_first(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Settings that answered are read before the inputs, so that control decides on the freshest readings."""
    fail(unit, ACTIVE_SETPOINT_L1)
    assert await asked(device, unit) == [STATUS_BLOCK, BATTERY_BLOCK, *SETTING_BLOCKS[:4]]
    clock.now += 60
    assert await asked(device, unit) == [
        *SETTING_BLOCKS[:3],
        *(STATUS_BLOCK, BATTERY_BLOCK),
        *(REACTIVE_SETPOINT_L1, ACTIVE_SETPOINT_L1),
    ]


async def test_it_falls_silent(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A setting that was well and falls silent is asked once more after the inputs, and the rest after it."""
    await device.async_poll()
    fail(unit, ACTIVE_SETPOINT)
    clock.now += 60
    assert await asked(device, unit) == [WORK_STATE, ACTIVE_SETPOINT, STATUS_BLOCK, BATTERY_BLOCK, ACTIVE_SETPOINT]
    assert not device.picture.available("set_active_power")
    assert device.picture.available("set_reactive_power")
    clock.now += 1
    assert await asked(device, unit) == [*SETTING_BLOCKS[2:], STATUS_BLOCK, BATTERY_BLOCK, ACTIVE_SETPOINT]


async def test_a_dropped_link_costs_no_setting(
    device: RefuEss, unit: MockModbusUnit, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that drops at a setting is opened again by the inputs, and the setting is read in the same poll."""
    await device.async_poll()
    read, errors = unit.read_holding_registers, [ModbusConnectionError("dropped")]

    async def fail_once(address: int, count: int) -> list[int]:
        if errors:
            raise errors.pop()
        return await read(address, count)

    monkeypatch.setattr(unit, "read_holding_registers", fail_once)
    clock.now += 60
    await device.async_poll()
    assert device.picture.unavailable == frozenset()


async def test_a_silent_device_costs_one_request(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """While nothing answers the settings are not asked, and when it is back they are read at once."""
    await device.async_poll()
    unit.fail_requests(LATE)
    for _ in range(3):
        clock.now += 60
        with pytest.raises(ModbusTimeoutError):
            await asked(device, unit)
    assert [event.address for event in unit.read_events] == [STATUS_BLOCK]
    unit.fail_requests(None)
    assert await asked(device, unit) == [STATUS_BLOCK, BATTERY_BLOCK, *SETTING_BLOCKS]


async def test_a_command_does_not_wait_for_silence(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Readbacks for a command or a lease are left to the poll, even when the wait is over."""
    fail(unit, ACTIVE_SETPOINT)
    await device.async_poll()
    assert ACTIVE_SETPOINT not in await asked(device, unit, also=("total_setpoints",))
    unit.read_events.clear()
    await device.async_read(("total_setpoints", "commands"))
    assert [event.address for event in unit.read_events] == [REACTIVE_SETPOINT, WORK_STATE]
    clock.now += 1
    unit.read_events.clear()
    await device.async_read(("total_setpoints",))
    assert [event.address for event in unit.read_events] == [REACTIVE_SETPOINT]
    assert ACTIVE_SETPOINT in await asked(device, unit)
    assert device.blocks["total_setpoints"].pieces[0].retry_s == 2


async def test_a_busy_setting_is_not_silent(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """An exception is an answer: the setting is asked at the next poll."""
    fail(unit, ACTIVE_SETPOINT, error=ServerDeviceBusyError())
    await device.async_poll()
    clock.now += 1
    assert ACTIVE_SETPOINT in await asked(device, unit)


async def test_an_answer_that_is_too_short(
    device: RefuEss, unit: MockModbusUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer registers than were asked for are no reading."""
    await device.async_poll()

    async def short(address: int, count: int) -> list[int]:
        return [0] * (count - 1)

    monkeypatch.setattr(unit, "read_input_registers", short)
    with pytest.raises(ModbusError, match="24 registers instead of 25"):
        await device.async_poll()
    assert not device.available(("status",))


async def test_answer_times(device: RefuEss) -> None:
    """Response times are kept."""
    await device.async_poll()
    times = device.unit.statistics.answer_times_s
    assert len(times) == 7
    assert all(0 <= time < 1 for time in times)
    assert times.maxlen == 1000


async def test_words_by_address(connection: MockModbusConnection) -> None:
    """The words of a block are found by their address, those in several pieces too, and no others."""
    unit = connection.for_unit(1)
    unit.input.update({SYSTEM_STATE: 4, SOC: 50})
    unit.holding.update({ACTIVE_SETPOINT: 1, REACTIVE_SETPOINT: 2})
    device = RefuEss(unit)
    await device.async_poll()
    assert dict(device.picture.words["total_setpoints"]) == {ACTIVE_SETPOINT: 1, REACTIVE_SETPOINT: 2}
    assert len(device.picture.words["battery"]) == len(BATTERY_ADDRESSES)
    with pytest.raises(KeyError):
        device.picture.words["total_setpoints"][ACTIVE_SETPOINT_L1]


@pytest.mark.parametrize(
    ("address", "word", "value"),
    [
        (ALLOWED_CHARGE, 0xFFFF, None),
        (ALLOWED_CHARGE, 5000, -500_000),  # five times the nominal power of 100 kVA
        (ALLOWED_CHARGE, 5001, None),
        (ALLOWED_DISCHARGE, 0xFFFF, None),
        (ALLOWED_DISCHARGE, 5000, 500_000),
        (PCS_ALLOWED_CHARGE, 0x7FFF, None),
        (PCS_ALLOWED_DISCHARGE, 0x8000, None),
        (PCS_ALLOWED_DISCHARGE, 0, 0),
    ],
)
async def test_limits_beyond_belief(
    device: RefuEss, unit: MockModbusUnit, address: int, word: int, value: int | None
) -> None:
    """A power limit of megawatts is unknown, and counted as a doubt."""
    key = {
        ALLOWED_CHARGE: "allowed_charge",
        ALLOWED_DISCHARGE: "allowed_discharge",
        PCS_ALLOWED_CHARGE: "pcs_allowed_charge",
        PCS_ALLOWED_DISCHARGE: "pcs_allowed_discharge",
    }[address]
    unit.input.update({address: word, CHARGE_ENERGY: 1, DISCHARGE_ENERGY: 1})
    await device.async_poll()
    assert device.picture.values[key] == value
    assert device.plausibility.doubts == ({key: 1} if value is None else {})
    unit.input[address] = 1000
    await device.async_poll()
    assert device.picture.values[key] is not None


async def test_command_reads_the_inputs_last(
    device: RefuEss, unit: MockModbusUnit, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that bring no answer take their timeouts, and the inputs are fresh all the same."""
    controller = Controller(device, clock=lambda: Moment(clock.now, clock.now))
    fail(unit, *SETTING_BLOCKS)
    await device.async_poll()
    read = device.unit.read_holding_registers

    async def wait_for(address: int, count: int) -> list[int]:
        clock.now += 2
        return await read(address, count)

    monkeypatch.setattr(device.unit, "read_holding_registers", wait_for)
    began = clock.now
    await controller.async_freshen()
    assert clock.now - began == 2 * (len(SETTING_BLOCKS) - 1)  # the first was found silent by the poll
    assert controller.reading().age_s == 0
    began = clock.now
    await controller.async_freshen()
    assert clock.now == began  # they are left to the poll now
