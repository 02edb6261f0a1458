"""Answers that come late on a line without transaction numbers are never taken for those to other requests."""

import pytest
from modbus_connection import ModbusError, ModbusProtocolError, ModbusTimeoutError, ServerDeviceBusyError
from modbus_connection.mock import MockModbusUnit

from custom_components.refu_ess.ess import RefuEss
from custom_components.refu_ess.ess.link import STRAY_S, GuardedUnit
from tests.registers import ACTIVE_SETPOINT, REACTIVE_SETPOINT, STATUS_BLOCK

from .clock import Clock

LATE = ModbusTimeoutError("late")
GARBLED = ModbusError("cannot be decoded")


async def lose(guarded: GuardedUnit, unit: MockModbusUnit, address: int, count: int, error: ModbusError) -> None:
    """Ask for registers whose answer does not come in time."""
    unit.fail_read(address, error)
    with pytest.raises(type(error)):
        await guarded.read_holding_registers(address, count)
    unit.fail_read(address, None)


@pytest.fixture
def serial(unit: MockModbusUnit, clock: Clock) -> GuardedUnit:
    """The unit on a serial line."""
    return GuardedUnit(unit, clock, numbered=False)


@pytest.mark.parametrize("error", [LATE, GARBLED, ModbusProtocolError("of another function")])
async def test_answer_of_the_same_length_is_not_trusted(
    serial: GuardedUnit, unit: MockModbusUnit, error: ModbusError
) -> None:
    """After a read without a good answer, another read of as many registers is not even sent."""
    await lose(serial, unit, ACTIVE_SETPOINT, 1, error)
    unit.read_events.clear()
    with pytest.raises(ModbusProtocolError, match="another request"):
        await serial.read_holding_registers(REACTIVE_SETPOINT, 1)
    assert unit.read_events == []


async def test_same_request_may_be_repeated(serial: GuardedUnit, unit: MockModbusUnit) -> None:
    """A late answer to the same request is an answer to it, but the next one may still be under way."""
    await lose(serial, unit, ACTIVE_SETPOINT, 1, LATE)
    assert len(await serial.read_holding_registers(ACTIVE_SETPOINT, 1)) == 1
    with pytest.raises(ModbusProtocolError):
        await serial.read_holding_registers(REACTIVE_SETPOINT, 1)


async def test_good_answer_of_another_length_proves_order(serial: GuardedUnit, unit: MockModbusUnit) -> None:
    """Answers come in the order of requests: after one that fits, no earlier one is under way."""
    await lose(serial, unit, ACTIVE_SETPOINT, 1, LATE)
    await serial.read_input_registers(STATUS_BLOCK, 25)
    assert len(await serial.read_holding_registers(REACTIVE_SETPOINT, 1)) == 1


async def test_it_is_over_after_a_while(serial: GuardedUnit, unit: MockModbusUnit, clock: Clock) -> None:
    """An answer that has not come for long does not come any more."""
    await lose(serial, unit, ACTIVE_SETPOINT, 1, LATE)
    clock.now += STRAY_S
    assert len(await serial.read_holding_registers(REACTIVE_SETPOINT, 1)) == 1


async def test_exception_is_an_answer(serial: GuardedUnit, unit: MockModbusUnit) -> None:
    """A request that the device rejects has been answered."""
    await lose(serial, unit, ACTIVE_SETPOINT, 1, ServerDeviceBusyError())
    assert len(await serial.read_holding_registers(REACTIVE_SETPOINT, 1)) == 1


async def test_modbus_tcp_numbers_its_answers(unit: MockModbusUnit, clock: Clock) -> None:
    """Over Modbus TCP each answer names its request, and nothing is held back."""
    guarded = GuardedUnit(unit, clock)
    await lose(guarded, unit, ACTIVE_SETPOINT, 1, LATE)
    assert len(await guarded.read_holding_registers(REACTIVE_SETPOINT, 1)) == 1


async def test_device_passes_it_on(unit: MockModbusUnit, clock: Clock) -> None:
    """On a serial line a silent setting leaves its twin unavailable until the inputs have answered."""
    device = RefuEss(unit, numbered=False, clock=clock)
    await device.async_poll()
    unit.fail_read(ACTIVE_SETPOINT, LATE)
    await device.async_read(("total_setpoints",))
    assert not device.picture.available("set_active_power")
    assert not device.picture.available("set_reactive_power")
    unit.fail_read(ACTIVE_SETPOINT, None)
    clock.now += 1
    await device.async_poll()
    assert device.picture.available("set_reactive_power")


async def test_answer_to_another_request_is_none(device: RefuEss, unit: MockModbusUnit) -> None:
    """An answer of the wrong length loses the poll: what follows on the same line may be as wrong."""
    await device.async_poll()
    unit.fail_read(STATUS_BLOCK, ModbusProtocolError("25 registers instead of 60"), register_type="input")
    with pytest.raises(ModbusProtocolError):
        await device.async_poll()
    assert not device.available(("status",))
    assert not device.available(("battery",))
