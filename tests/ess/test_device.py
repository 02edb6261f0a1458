"""A device that refuses, falls silent and comes back; and what its alarms add up to."""

import asyncio
import logging

import pytest
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import BITS, CHANNELS, InverterStatusLayout, RefuEss, Site, link as link_module

from .conftest import Clock

CHANNEL = {entry.key: entry for entry in CHANNELS}
BIT = {entry.key: entry for entry in BITS}


async def test_one_refused_block(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A refused block is left alone for five minutes, and the other block stays."""
    unit.fail_read(0x100, IllegalDataAddressError(), register_type="input")
    await device.async_poll()
    assert not device.available(("status",))
    assert device.available(("battery",))
    unit.read_events.clear()
    clock.now += 299
    await device.async_poll(settings=False)
    assert [event.address for event in unit.read_events] == [0x11A]
    unit.fail_read(0x100, None, register_type="input")
    clock.now += 1
    await device.async_poll()
    assert device.available(("status", "battery"))


async def test_busy_block_is_asked_at_the_next_poll(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Any other exception is no refusal."""
    unit.fail_read(0x11A, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    assert device.value(CHANNEL["stored_energy"]) is None
    unit.fail_read(0x11A, None, register_type="input")
    clock.now += 1
    await device.async_poll()
    assert device.value(CHANNEL["stored_energy"]) == 65.0


async def test_failed_settings_are_asked_at_the_next_poll(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Settings that failed do not wait for their minute."""
    unit.fail_read(0x200, ServerDeviceBusyError())
    await device.async_poll()
    assert not device.available(("commands",))
    unit.fail_read(0x200, None)
    clock.now += 1
    await device.async_poll()
    assert device.available(("commands",))


async def test_both_input_blocks_refused(device: RefuEss, unit: MockModbusUnit) -> None:
    """A device that refuses everything is an error, not an empty success."""
    unit.fail_read(0x100, IllegalDataAddressError(), register_type="input")
    unit.fail_read(0x11A, IllegalDataAddressError(), register_type="input")
    with pytest.raises(IllegalDataAddressError):
        await device.async_poll()


@pytest.mark.parametrize("error", [ModbusConnectionError("gone"), ModbusTimeoutError("late")])
async def test_silence(device: RefuEss, unit: MockModbusUnit, error: ModbusError) -> None:
    """Silence marks every block at once and keeps the words for the diagnostics."""
    await device.async_poll()
    unit.fail_requests(error)
    with pytest.raises(type(error)):
        await device.async_poll()
    assert not any(block.available for block in device.blocks.values())
    assert device.words(CHANNEL["soc"]) == [50]
    assert device.unit.statistics.errors[type(error).__name__] == 2  # once more over a fresh link


async def test_words_before_the_first_poll(device: RefuEss) -> None:
    """Nothing was read, so nothing is known."""
    assert device.words(CHANNEL["soc"]) == []
    assert device.words(CHANNEL["alias"]) == []
    assert device.value(CHANNEL["soc"]) is None
    assert device.number("soc") is None
    assert device.condition("fault") is None
    assert not device.available(("status",))
    with pytest.raises(KeyError):
        device.number("nonsense")


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
    """A request that the link holds on to ends at our own deadline."""
    monkeypatch.setattr(link_module, "DEADLINE_SECONDS", 0.01)

    async def hang(address: int, count: int) -> list[int]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(unit, "read_input_registers", hang)
    with pytest.raises(ModbusTimeoutError, match=r"0\.01 s"):
        await device.async_poll()
    assert device.unit.statistics.errors == {"ModbusTimeoutError": 1}
    assert device.unit.statistics.requests == 1


async def test_connected(device: RefuEss) -> None:
    """The link comes up with the first request."""
    assert not device.unit.connected
    await device.async_poll()
    assert device.unit.connected


async def test_unknown_bits(device: RefuEss, unit: MockModbusUnit, caplog: pytest.LogCaptureFixture) -> None:
    """A bit that nobody declared is told once and remembered."""
    caplog.set_level(logging.WARNING)
    unit.input[0x13F] = 0b1 | 1 << 5
    await device.async_poll()
    await device.async_poll()
    unit.input[0x13F] = 1 << 7
    await device.async_poll()
    assert device.unknown_bits == {"battery_fault_9": 0b1 | 1 << 5 | 1 << 7}
    assert caplog.text.count("battery_fault_9") == 2


async def test_words_without_labels_have_no_unknown_bits(device: RefuEss, unit: MockModbusUnit) -> None:
    """What no source labels is a number, not a set of bits."""
    unit.input.update({0x13D: 0xFFFF, 0x145: 0xFFFF, 0x146: 0xFFFF})
    await device.async_poll()
    assert device.unknown_bits == {}
    assert device.active_alarms == ()


async def test_alarms_by_severity(device: RefuEss, unit: MockModbusUnit) -> None:
    """Faults come before warnings, and what is not ready comes last."""
    unit.input.update({0x130: 1 << 6, 0x140: 1 << 8, 0x101: 1 << 10})
    await device.async_poll()
    assert device.alarms() == ("fuse_fault", "normal_high_temperature", "bms_ready")


async def test_groups_that_are_not_installed(unit: MockModbusUnit) -> None:
    """A bit of a battery group that is not installed is no alarm."""
    unit.input[0x133] = 0b1111
    device = RefuEss(unit, Site(battery_groups=2))
    await device.async_poll()
    assert device.alarms() == ("group_1_isolation_switch_open", "group_2_isolation_switch_open")


async def test_incomplete_alarms(device: RefuEss, unit: MockModbusUnit) -> None:
    """What is seen counts; what is not seen makes a no unknown."""
    unit.input[0x101] |= 1
    unit.fail_read(0x11A, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    assert device.condition("fault") is True
    assert device.condition("warning") is None
    assert device.value(CHANNEL["active_alarms"]) is None
    assert device.value(CHANNEL["most_severe_alarm"]) == "bms_in_error"
    unit.input[0x101] = 0x600
    await device.async_poll()
    assert device.condition("fault") is None
    assert device.value(CHANNEL["most_severe_alarm"]) is None


async def test_shifted_layout(unit: MockModbusUnit) -> None:
    """In the shifted layout the doubtful bits are read one place lower, the others where they were."""
    unit.input[0x103] = 1 << 7 | 1 << 3
    device = RefuEss(unit, Site(inverter_status_layout=InverterStatusLayout.SHIFTED))
    await device.async_poll()
    assert device.bit(BIT["inverter_warning"]) is True
    assert device.bit(BIT["inverter_fault"]) is True
    assert device.bit(BIT["inverter_voltage_current_mode"]) is False


async def test_site_values(unit: MockModbusUnit) -> None:
    """Charge SoC is two below the minimum unless it is set, and never below zero."""
    assert RefuEss(unit, Site(min_soc=20)).value(CHANNEL["charge_soc"]) == 18
    assert RefuEss(unit, Site(min_soc=1)).value(CHANNEL["charge_soc"]) == 0
    assert RefuEss(unit, Site(charge_soc=5)).value(CHANNEL["charge_soc"]) == 5
    assert RefuEss(unit, Site(alias="Barn")).value(CHANNEL["alias"]) == "Barn"
