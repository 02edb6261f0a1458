"""The link statistics for the diagnostics: writes without their repeats, failures and response times."""

import pytest
from modbus_connection import ModbusTimeoutError, ServerDeviceFailureError
from modbus_connection.mock import MockModbusConnection

from custom_components.refu_ess.ess.link import WRITES_REMEMBERED, AnswerTimes, GuardedUnit, LinkStatistics


async def test_repeats_are_one_write(connection: MockModbusConnection) -> None:
    """An equal write to the same registers counts on, also with writes to others in between; any other is a new one."""
    mock, now = connection.for_unit(1), 0.0
    unit = GuardedUnit(mock, clock=lambda: now)
    for address, value in ((0x203, 1), (0x207, 0), (0x203, 1), (0x207, 0), (0x203, 2), (0x203, 1)):
        await unit.write_registers(address, [value])
        now += 1
    mock.fail_write(0x203, ServerDeviceFailureError())
    for _ in range(2):
        with pytest.raises(ServerDeviceFailureError):
            await unit.write_registers(0x203, [1])
        now += 1
    found = [(one.address, one.words, one.outcome, one.first_at, one.last_at, one.count) for one in unit.writes]
    assert found == [
        (0x203, (1,), "done", 0, 2, 2),
        (0x207, (0,), "done", 1, 3, 2),
        (0x203, (2,), "done", 4, 4, 1),
        (0x203, (1,), "done", 5, 5, 1),
        (0x203, (1,), "failed", 6, 7, 2),
    ]


async def test_times_of_failures(connection: MockModbusConnection) -> None:
    """The last failed request and the last reconnect have their time, failed ones are counted by kind."""
    mock, now = connection.for_unit(1), 10.0
    unit = GuardedUnit(mock, clock=lambda: now)
    statistics = unit.statistics
    assert (statistics.since, statistics.failed_at, statistics.reconnected_at) == (10, None, None)
    await unit.read_holding_registers(0x203, 1)
    now = 11
    mock.fail_requests(ModbusTimeoutError("silent"))
    with pytest.raises(ModbusTimeoutError):
        await unit.read_holding_registers(0x203, 1)
    now = 12
    mock.fail_requests(None)
    await unit.disconnect()
    await unit.read_holding_registers(0x203, 1)
    assert (statistics.since, statistics.failed_at, statistics.reconnected_at) == (10, 11, 12)
    assert (dict(statistics.errors), statistics.reconnects, statistics.requests) == ({"ModbusTimeoutError": 1}, 1, 3)


async def test_a_held_setpoint_pushes_nothing_out(connection: MockModbusConnection) -> None:
    """Writes before a setpoint that is held for long can still be seen."""
    unit = GuardedUnit(connection.for_unit(1))
    await unit.write_registers(0x200, [1])
    for _ in range(2 * WRITES_REMEMBERED):
        await unit.write_registers(0x203, [200])
    assert [(one.address, one.count) for one in unit.writes] == [(0x200, 1), (0x203, 2 * WRITES_REMEMBERED)]
    for value in range(WRITES_REMEMBERED):
        await unit.write_registers(0x203, [value])
    assert len(unit.writes) == WRITES_REMEMBERED


def summary(*times: float) -> AnswerTimes | None:
    """Return what is said of these answer times."""
    statistics = LinkStatistics(since=0)
    statistics.answer_times_s.extend(times)
    return statistics.answer_times


def test_answer_times() -> None:
    """Median, 95 % and longest, and nothing before the first answer."""
    assert summary() is None
    assert summary(0.5) == AnswerTimes(count=1, median_s=0.5, percentile_95_s=0.5, longest_s=0.5)
    assert summary(*range(101)) == AnswerTimes(count=101, median_s=50, percentile_95_s=95, longest_s=100)
