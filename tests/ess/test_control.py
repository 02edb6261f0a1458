"""The controller: leases, their ends, and everything that is written, over a device in memory."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from modbus_connection import (
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
    ServerDeviceFailureError,
)
from modbus_connection.mock import MockModbusUnit

from custom_components.refu_ess.ess import (
    ControlSettings,
    Decision,
    End,
    EventKind,
    Failure,
    Limit,
    OperationMode,
    Power,
    Record,
    RefuEss,
    Refusal,
    RefusedError,
    ResetOutcome,
    SocSettings,
    WorkState,
    WriteFailedError,
    lease,
)
from custom_components.refu_ess.ess.moment import Moment
from custom_components.refu_ess.ess.reading import Reading, observe
from custom_components.refu_ess.ess.record import OwedZero
from custom_components.refu_ess.ess.setpoint import Envelope
from custom_components.refu_ess.ess.soc_protection import SocState
from tests.registers import (
    ACTIVE_POWER,
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    ACTIVE_SETPOINT_L2,
    ALL_READY,
    BATTERY_FAULT,
    BATTERY_FAULT_9,
    BATTERY_FAULT_10,
    BATTERY_MODE,
    BATTERY_STATE,
    BATTERY_STOPPED,
    ERROR_CODE,
    ERROR_RESET,
    FAULT,
    FIRST_SETTING,
    INIT,
    INVERTER_STATUS,
    OPERATION_MODE,
    PERMITTING,
    REACTIVE_SETPOINT,
    REACTIVE_SETPOINT_L1,
    RUNNING,
    SEVERE_FAULT,
    SOC,
    STANDBY,
    STOP_REQUEST,
    SYSTEM_ERROR_1,
    SYSTEM_STATE,
    WORK_STATE,
    word,
)

from .bench import ZERO, Bench, MakeBench
from .clock import Clock
from .good import GOOD

# A lease


async def test_nothing_is_written_unasked(bench: MakeBench) -> None:
    """Polling writes nothing, however long."""
    made = await bench()
    await made.poll(200)
    assert made.written == []
    assert made.store.saves == 0
    assert not made.controller.closed
    assert made.limit() is Limit.NOTHING_ASKED
    assert not made.busy()


async def test_control_rests_while_nothing_changes(
    bench: MakeBench, unit: MockModbusUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle looks at the readings after a change, a loss of the link, new settings or a command, else not at all."""
    made = await bench()
    await made.controller.async_switch_soc_protection(SocSettings())
    await made.poll(5)
    looks: list[float] = []

    def look(device: RefuEss, phases: int, now: float) -> Reading:
        looks.append(now)
        return observe(device, phases, now)

    monkeypatch.setattr("custom_components.refu_ess.ess.carrier.observe", look)

    async def looked(polls: int) -> int:
        looks.clear()
        await made.poll(polls)
        return len(looks)

    assert await looked(10) == 0
    assert 1 <= await looked(60) <= 6, "the settings are read once a minute"
    unit.input[SOC] = 9
    assert await looked(1) == 1
    assert made.controller.soc_state is SocState.MIN_SOC
    assert await looked(5) <= 2
    assert await looked(5) == 0
    unit.fail_requests(ModbusTimeoutError("no answer"))
    assert await looked(1) == 1
    await made.poll(10)
    assert await looked(3) == 3, "old readings are looked at each time"
    unit.fail_requests(None)
    await made.poll(5)
    assert await looked(5) == 0
    await made.power(-5_500)
    assert await looked(5) >= 5


async def test_system_that_was_out_of_sight_is_looked_at_again(bench: MakeBench) -> None:
    """Also if it reads as before: power is permitted only to a system that is seen running."""
    made = await bench()
    await made.poll(5)
    made.clock.now += 20
    for _ in range(3):
        await made.controller.async_cycle()
    await made.poll(2)
    await made.power(20_000)
    assert made.holds(20_000)


async def test_register_of_the_error_reset_is_read_every_second_while_it_matters(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """During a reset, and while the recovery is at work; the setpoints that are in use always are."""
    made = await bench()
    unit.input[ERROR_CODE] = 7
    await made.poll()
    assert made.controller.blocks_to_read == {}
    await made.controller.async_begin_reset(forced=True)
    assert made.controller.blocks_to_read == {"total_setpoints": 0, "phase_setpoints": 10, "commands": 0}
    await made.poll(5)
    assert made.controller.blocks_to_read == {}
    await made.controller.async_switch_recovery(on=True)
    await made.poll()
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll()
    assert made.controller.blocks_to_read == {"total_setpoints": 0, "phase_setpoints": 10, "commands": 0}


async def test_setpoint_is_sent_at_once_and_every_second(bench: MakeBench) -> None:
    """Charging at 20 kW writes 0xFF38 to 0x203; reactive power sent as zero that reads zero is not repeated."""
    made = await bench()
    await made.power(-20_000)
    assert made.written == [(ACTIVE_SETPOINT, [0xFF38]), (REACTIVE_SETPOINT, [0])]
    await made.poll(3)
    assert made.written[2:] == [(ACTIVE_SETPOINT, [0xFF38])] * 3
    assert made.controller.blocks_to_read == {"total_setpoints": 0, "phase_setpoints": 10, "commands": 10}
    assert made.told(EventKind.LEASE_TAKEN) == [{"owner": "user", "asked": -20_000, "applied": -20_000}]


async def test_reactive_zero_is_repeated_until_it_is_acknowledged(bench: MakeBench, unit: MockModbusUnit) -> None:
    """An earlier acknowledgement says nothing about it."""
    made = await bench()
    await made.power(-20_000)
    unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    await made.poll()
    unit.fail_write(ACTIVE_SETPOINT, None)
    made.taken()
    await made.poll(2)
    assert made.written == [(ACTIVE_SETPOINT, [0xFF38]), (REACTIVE_SETPOINT, [0]), (ACTIVE_SETPOINT, [0xFF38])]


async def test_reactive_power_is_sent_and_taken_back(bench: MakeBench) -> None:
    """Reactive power goes to 0x207, and its zero too, for as long as the device may still hold it."""
    made = await bench()
    await made.power(20_000, 5000)
    assert made.taken() == [(ACTIVE_SETPOINT, [200]), (REACTIVE_SETPOINT, [50])]
    await made.controller.async_release()
    assert made.taken() == [(ACTIVE_SETPOINT, [0]), (REACTIVE_SETPOINT, [0])]


async def test_reactive_power_that_may_still_show_is_taken_back(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Although it reads zero: the write may come late."""
    made = await bench()
    await made.power(20_000, 5000)
    unit.holding[REACTIVE_SETPOINT] = 0
    await made.poll()
    unit.holding[REACTIVE_SETPOINT] = 0
    await made.device.async_read(("total_setpoints",))
    made.taken()
    await made.change(var=0)
    assert made.written == [(ACTIVE_SETPOINT, [200]), (REACTIVE_SETPOINT, [0])]


async def test_reactive_power_that_reads_back_is_overwritten(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Although we never sent any."""
    made = await bench()
    await made.power(20_000)
    unit.holding[REACTIVE_SETPOINT] = word(5000)
    await made.poll()
    assert made.holds(20_000, 0)


async def test_per_phase(bench: MakeBench) -> None:
    """Per phase, 0x204 and 0x208 are written, three at a time; the total registers are never written."""
    made = await bench(per_phase=True)
    assert made.controller.per_phase
    await made.power(20_000, 300)
    await made.controller.async_release()
    assert made.written == [
        (ACTIVE_SETPOINT_L1, [67, 67, 66]),
        (REACTIVE_SETPOINT_L1, [1, 1, 1]),
        (ACTIVE_SETPOINT_L1, [0, 0, 0]),
        (REACTIVE_SETPOINT_L1, [0, 0, 0]),
    ]


@pytest.mark.parametrize("way", ["release", "zero"])
async def test_release(bench: MakeBench, way: str) -> None:
    """Releasing, and asking for zero, write zero once, and nothing after that."""
    made = await bench()
    await made.power(20_000)
    made.taken()
    await (made.controller.async_release() if way == "release" else made.power(0))
    await made.poll(20)
    assert made.written == ZERO
    assert made.told(EventKind.LEASE_ENDED) == [{"reason": "released", "owner": "user"}]
    assert made.controller.decision == Decision(Power.zero(1), Limit.NOTHING_ASKED)
    assert not made.busy()


async def test_release_writes_zero_to_a_setpoint_of_another_system(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A user who releases wants no power, whoever set it."""
    unit.holding[ACTIVE_SETPOINT] = word(30_000)
    made = await bench()
    await made.controller.async_release()
    assert made.taken() == ZERO


async def test_duration(bench: MakeBench) -> None:
    """A lease ends on its own, with zero."""
    made = await bench()
    await made.power(20_000, duration_s=10)
    await made.poll(9)
    assert made.controller.lease.lease is not None
    await made.poll()
    assert made.controller.lease.last_end is End.EXPIRED
    assert made.holds(0)
    await made.poll(20)
    assert made.controller.lease.last_end is End.EXPIRED, "it shows until the next one"


async def test_shortest_duration(bench: MakeBench) -> None:
    """One second is one."""
    made = await bench()
    await made.power(20_000, duration_s=1)
    await made.poll()
    assert made.controller.lease.last_end is End.EXPIRED


@pytest.mark.parametrize("duration_s", [math.nan, 0, -1, 0.99])
async def test_duration_that_is_no_time(bench: MakeBench, duration_s: float) -> None:
    """Such a lease could never end, or has ended already."""
    made = await bench()
    with pytest.raises(ValueError, match="duration"):
        await made.power(20_000, duration_s=duration_s)
    assert made.written == []


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ({SYSTEM_ERROR_1: ALL_READY | 1}, End.FAULT),
        ({BATTERY_FAULT_10: SEVERE_FAULT}, End.FAULT),
        ({SYSTEM_STATE: FAULT}, End.FAULT),
        ({BATTERY_STATE: BATTERY_FAULT}, End.FAULT),
        ({SYSTEM_STATE: STANDBY}, End.SYSTEM_STATE),
        ({SYSTEM_STATE: 77}, End.SYSTEM_STATE),
    ],
)
async def test_what_ends_a_lease_does_not_bring_it_back(
    bench: MakeBench, unit: MockModbusUnit, words: dict[int, int], end: End
) -> None:
    """A fault, and a system that no longer runs, end the lease; power stays off when they are over."""
    made = await bench()
    await made.power(20_000)
    before = {address: unit.input.get(address, 0) for address in words}
    unit.input.update(words)
    await made.poll()
    assert made.controller.lease.last_end is end
    assert made.holds(0)
    unit.input.update(before)
    made.taken()
    await made.poll(60)
    assert made.written == []


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ({BATTERY_STATE: BATTERY_STOPPED}, Limit.BATTERY_STATE),
        ({BATTERY_MODE: 1}, Limit.BATTERY_MODE),
        ({STOP_REQUEST: 1}, Limit.STOP_REQUEST),
        ({SYSTEM_ERROR_1: 0x400}, Limit.NOT_READY),
    ],
)
async def test_lease_holds_zero_meanwhile(
    bench: MakeBench, unit: MockModbusUnit, words: dict[int, int], limit: Limit
) -> None:
    """Temporary limits keep the lease at zero and are reported."""
    made = await bench()
    await made.power(20_000)
    before = {address: unit.input.get(address, 0) for address in words}
    unit.input.update(words)
    await made.poll(3)
    assert made.holds(0)
    assert made.limit() is limit
    unit.input.update(before)
    await made.poll()
    assert made.holds(20_000)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({SYSTEM_STATE: STANDBY}, Limit.SYSTEM_STATE),
        ({SYSTEM_ERROR_1: ALL_READY | 1}, Limit.FAULT),
        ({BATTERY_STATE: BATTERY_STOPPED}, Limit.BATTERY_STATE),
        ({BATTERY_MODE: 1}, Limit.BATTERY_MODE),
        ({STOP_REQUEST: 1}, Limit.STOP_REQUEST),
        ({SYSTEM_ERROR_1: 0}, Limit.NOT_READY),
        ({OPERATION_MODE: 1}, Limit.OPERATION_MODE),
        ({ACTIVE_SETPOINT_L2: 10}, Limit.OTHER_SETPOINTS),
    ],
)
async def test_command_that_could_deliver_nothing_is_refused(
    bench: MakeBench, unit: MockModbusUnit, words: dict[int, int], reason: Limit
) -> None:
    """Nothing is written, and the reason has a name."""
    made = await bench()
    for address, value in words.items():
        (unit.holding if address >= FIRST_SETTING else unit.input)[address] = value
    made.clock.now += 11
    with pytest.raises(RefusedError) as refused:
        await made.power(20_000)
    assert refused.value.reason == reason
    assert made.written == []
    assert made.controller.lease.settled


async def test_mains(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Mains not OK refuses only once its bit position is confirmed."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_release()
    for _ in range(2):
        await made.poll()
    unit.input[INVERTER_STATUS] = 0x3C07
    await made.poll()
    with pytest.raises(RefusedError, match=Limit.MAINS):
        await made.power(20_000)


async def test_mains_before_its_bit_position_is_confirmed(unit: MockModbusUnit, clock: Clock) -> None:
    """It refuses nothing: the bit may be another one."""
    unit.input.update(PERMITTING | {INVERTER_STATUS: 0x3C07})
    made = Bench(unit, clock)
    await made.poll(2)
    await made.power(20_000)
    assert made.holds(20_000)


async def test_unreadable_operation_mode_refuses_nothing(bench: MakeBench, unit: MockModbusUnit) -> None:
    """If the register cannot be read, the mode is assumed to be P/Q."""
    unit.fail_read(WORK_STATE, ServerDeviceFailureError())
    made = await bench()
    await made.power(20_000)
    assert made.holds(20_000)


async def test_old_data_is_read_again_before_a_command(bench: MakeBench) -> None:
    """A command after a long pause decides on fresh readings."""
    made = await bench()
    made.clock.now += 60
    made.unit.input[SYSTEM_STATE] = STANDBY
    with pytest.raises(RefusedError, match=Limit.SYSTEM_STATE):
        await made.power(20_000)


async def test_command_without_a_link_is_refused(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Readings older than 5 s command nothing."""
    made = await bench()
    made.clock.now += 6
    unit.fail_requests(ModbusTimeoutError("late"))
    with pytest.raises(RefusedError, match=Limit.STALE_DATA):
        await made.power(20_000)


async def test_one_part_changes_and_the_end_stays(bench: MakeBench) -> None:
    """Without a duration of its own a change keeps that of the lease."""
    made = await bench()
    await made.power(20_000, duration_s=600, owner="automation")
    assert made.controller.lease.lease is not None
    ends = made.controller.lease.lease.ends
    await made.poll(5)
    await made.change(var=3000)
    assert (made.controller.lease.lease.ends, made.controller.lease.lease.owner) == (ends, "user")
    assert made.holds(20_000, 3000)
    await made.change(watts=0)
    assert made.holds(0, 3000)
    await made.change(var=0)
    assert made.controller.lease.last_end is End.RELEASED


async def test_change_without_a_lease_lasts_as_long_as_permitted(bench: MakeBench) -> None:
    """A setpoint of a number has an end too."""
    made = await bench(settings=ControlSettings(start_delay_s=0, ramp_w_per_s=1_000_000, longest_hold_s=600))
    await made.change(watts=20_000)
    await made.poll(599)
    assert made.holds(20_000)
    await made.poll(1)
    assert made.controller.lease.last_end is End.EXPIRED


# The link


@pytest.mark.parametrize("error", [ModbusConnectionError("gone"), ModbusTimeoutError("late")])
async def test_lost_device_ends_the_lease(bench: MakeBench, unit: MockModbusUnit, error: ModbusError) -> None:
    """After 5 s without data the lease is over; zero is written as soon as the device answers, and nothing else."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(error)
    await made.poll(5)
    assert made.controller.lease.lease is not None
    await made.poll(1)
    assert made.controller.lease.last_end is End.STALE_DATA
    assert made.busy()
    assert made.limit() is Limit.ZERO_OWED
    unit.fail_requests(None)
    made.taken()
    await made.poll(20)
    assert made.written == ZERO
    assert not made.busy()


async def test_short_loss_of_the_link(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A device that is back within 5 s resumes the lease; nothing is sent while it is lost."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(ModbusTimeoutError("late"))
    made.taken()
    await made.poll(3)
    assert made.written == []
    unit.fail_requests(None)
    await made.poll(1)
    assert made.written == [(ACTIVE_SETPOINT, [200])]


async def test_lost_write_ends_no_lease_unless_a_user_waits_for_it(bench: MakeBench, unit: MockModbusUnit) -> None:
    """In a cycle the loss of the link has a timeout of its own; a command says at once that it failed."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    await made.poll()
    assert made.controller.lease.lease is not None
    with pytest.raises(WriteFailedError, match=Failure.NO_CONNECTION):
        await made.power(10_000)
    assert made.controller.lease.last_end is End.WRITE_FAILED
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.poll(2)
    assert made.holds(0)
    assert made.controller.lease.debt is None


async def test_command_that_fails_halfway_takes_back_at_once_what_it_has_sent(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """Active power was written, reactive power is rejected."""
    made = await bench()
    unit.fail_write(REACTIVE_SETPOINT, ServerDeviceFailureError())
    with pytest.raises(WriteFailedError):
        await made.power(20_000, 5000)
    assert made.written == [(ACTIVE_SETPOINT, [200]), (ACTIVE_SETPOINT, [0])]
    assert made.told(EventKind.LEASE_ENDED) == [{"reason": "write_failed", "owner": "user"}]


async def test_setpoint_reads_back_at_once(bench: MakeBench) -> None:
    """A command does not wait for the next poll to show."""
    made = await bench()
    await made.power(20_000)
    assert made.controller.held == Power.total(20_000, 0, 1)
    await made.controller.async_release()
    assert made.controller.held == Power.zero(1)


async def test_rejected_write_ends_the_lease(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A write that the device rejects is reported and ends the lease; zero stays owed."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(ACTIVE_SETPOINT, ServerDeviceFailureError())
    await made.poll()
    assert made.controller.lease.last_end is End.WRITE_FAILED
    assert made.told(EventKind.WRITE_FAILED)
    with pytest.raises(WriteFailedError):
        await made.controller.async_release()
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.poll(2)
    assert made.holds(0)
    assert made.controller.lease.debt is None


async def test_second_release_that_fails_is_an_error_too(bench: MakeBench, unit: MockModbusUnit) -> None:
    """An acknowledgement of an earlier zero says nothing about this one."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_release()
    unit.fail_write(ACTIVE_SETPOINT, ServerDeviceFailureError())
    with pytest.raises(WriteFailedError):
        await made.controller.async_release()


async def test_unreadable_setpoints_are_commanded_without_reading_back(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The acknowledgement of zero has to do for its delivery."""
    unit.fail_read(ACTIVE_SETPOINT, ServerDeviceFailureError())
    made = await bench()
    await made.power(20_000)
    await made.poll(5)
    assert made.controller.reading().held is None
    assert made.controller.lease.lease is not None
    await made.see_release()


async def test_writes_are_remembered(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The latest writes are kept for the diagnostics, including failed ones."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(ACTIVE_SETPOINT, ServerDeviceFailureError())
    await made.poll()
    assert [(write.address, write.outcome) for write in made.device.unit.writes][:3] == [
        (ACTIVE_SETPOINT, "done"),
        (REACTIVE_SETPOINT, "done"),
        (ACTIVE_SETPOINT, "failed"),
    ]


async def test_reading_a_block_that_fails(device: RefuEss, unit: MockModbusUnit) -> None:
    """A failed read of a single block is recorded."""
    unit.fail_read(WORK_STATE, ModbusTimeoutError("late"))
    await device.async_read(("commands",))
    assert device.work_state is None
    assert device.operation_mode is None


# Delivery


async def test_power_that_does_not_follow(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Power that differs from the setpoint for 15 s is reported as a limit until it recovers."""
    made = await bench()
    await made.power(20_000)
    unit.input[ACTIVE_POWER] = 200
    await made.poll(20)
    assert made.limit() is Limit.NONE
    unit.input[ACTIVE_POWER] = 0
    await made.poll(15)
    assert made.limit() is Limit.NONE
    await made.poll(3)
    assert made.limit() is Limit.NOT_DELIVERED
    assert made.told(EventKind.NOT_DELIVERED) == [{"reason": "not_delivered", "sent": 20_000, "measured": 0}]
    unit.input[ACTIVE_POWER] = 185
    await made.poll()
    assert made.limit() is Limit.NONE


def sent(watts: float, at: float) -> lease.State:
    """A lease on this power, that was sent then."""
    asked, now = Power.total(watts, 0, 1), Moment(at, at)
    wanted = lease.Lease(asked=asked, owner="user", ends=Moment(1e6, 1e6))
    return lease.attempted(lease.take(lease.idle(1), wanted, Decision(asked, Limit.NONE), now), asked, at)


@pytest.mark.parametrize(
    ("watts", "measured", "delivered"),
    [
        pytest.param(5000, 3000, True, id="2 kW less"),
        pytest.param(5000, 2999, False, id="more than 2 kW less"),
        pytest.param(5000, 7001, False, id="more than 2 kW more"),
        pytest.param(50_000, 45_000, True, id="a tenth less"),
        pytest.param(50_000, 44_999, False, id="more than a tenth less"),
        pytest.param(-50_000, -45_000, True, id="a tenth less charge"),
        pytest.param(-50_000, None, True, id="not measured"),
    ],
)
def test_power_that_is_delivered(watts: float, measured: float | None, *, delivered: bool) -> None:
    """It may differ by 2 kW or a tenth, whichever is more."""
    state = sent(watts, 0)
    reading = replace(GOOD, active_power_w=measured)
    state, _ = lease.tick(state, reading, state.decision, Moment(1, 1))
    assert (state.deviating_since is None) is delivered


@pytest.mark.parametrize(
    ("now", "limit"),
    [pytest.param(116, Limit.NONE, id="15 s"), pytest.param(116.1, Limit.NOT_DELIVERED, id="more than 15 s")],
)
def test_power_has_fifteen_seconds_to_follow(now: float, limit: Limit) -> None:
    """Inverters and batteries need some."""
    assert lease.limit_of(replace(sent(20_000, 100), deviating_since=101), GOOD, now) is limit


@pytest.mark.parametrize(
    ("held", "at", "limit"),
    [
        pytest.param(10_000, 104, Limit.NONE, id="within 4 s"),
        pytest.param(10_000, 104.1, Limit.REDUCED_BY_DEVICE, id="after 4 s"),
        pytest.param(0, 104.1, Limit.REDUCED_BY_DEVICE, id="zero"),
        pytest.param(19_900, 104.1, Limit.NONE, id="a step of rounding"),
        pytest.param(19_800, 104.1, Limit.REDUCED_BY_DEVICE, id="more than a step of rounding"),
        pytest.param(-10_000, 104.1, Limit.NONE, id="another direction"),
        pytest.param(30_000, 104.1, Limit.NONE, id="more"),
    ],
)
def test_setpoint_that_reads_back_smaller(held: float, at: float, limit: Limit) -> None:
    """A device that holds less than it was sent reduces it; a late reading and a foreign value are something else."""
    reading = replace(GOOD, held=Power.total(held, 0, 1), held_asked_at=at)
    assert lease.limit_of(sent(20_000, 100), reading, 105) is limit


async def test_new_command_has_time_to_be_delivered(bench: MakeBench) -> None:
    """The 15 s begin with it, and it is reported again if it does not follow either."""
    made = await bench()
    await made.power(20_000)
    await made.poll(20)
    assert len(made.told(EventKind.NOT_DELIVERED)) == 1
    await made.power(10_000)
    await made.poll(15)
    assert made.limit() is Limit.NONE
    await made.poll(5)
    assert [event["sent"] for event in made.told(EventKind.NOT_DELIVERED)] == [20_000, 10_000]


async def test_ramp_begins_when_the_start_is_seen(unit: MockModbusUnit, clock: Clock) -> None:
    """30 s after the system was first seen running, power rises by 1 kW a second."""
    unit.input.update(PERMITTING)
    made = Bench(unit, clock, settings=ControlSettings())
    await made.poll()
    await made.power(5000)
    assert made.limit() is Limit.RAMP
    await made.poll(33)
    sent = [words[0] for address, words in made.written if address == ACTIVE_SETPOINT]
    assert sent == [0] * 31 + [10, 20, 30]


@pytest.mark.parametrize("way", ["start", "sight"])
async def test_ramp_begins_again_after_each(bench: MakeBench, unit: MockModbusUnit, way: str) -> None:
    """Start of the system, and loss of sight: nobody knows what it did meanwhile."""
    made = await bench(settings=ControlSettings())
    await made.poll(60)
    if way == "start":
        unit.input[SYSTEM_STATE] = STANDBY
        await made.poll()
        unit.input[SYSTEM_STATE] = RUNNING
    else:
        unit.fail_requests(ModbusTimeoutError("late"))
        await made.poll(10)
        unit.fail_requests(None)
    await made.poll()
    await made.power(5000)
    assert made.limit() is Limit.RAMP
    await made.poll(40)
    assert made.holds(5000)


async def test_dry_run_and_command_agree(bench: MakeBench) -> None:
    """A plan matches what the command then does, and writes nothing."""
    made = await bench()
    asked = Power.total(95_000, 0, 1)
    plan = made.controller.plan(asked)
    assert made.written == []
    assert await made.controller.async_set_power(asked, owner="user") == plan
    assert (plan.power.total_active_w, plan.limit) == (80_000, Limit.BATTERY_DISCHARGE)


async def test_soc_protection(bench: MakeBench, unit: MockModbusUnit) -> None:
    """At the minimum nothing is discharged, below the charge limit a fifth is charged, until the minimum is passed."""
    made = await bench()
    await made.controller.async_switch_soc_protection(SocSettings())
    await made.power(20_000)
    found = []
    for soc in (50, 10, 9, 7, 9, 11, 14, 15):
        unit.input[SOC] = soc
        await made.poll(2)
        found.append((made.controller.decision.power.total_active_w, made.limit().value))
    assert found == [
        (20_000, "none"),
        (0, "soc_reserve"),
        (0, "soc_reserve"),
        (-18_000, "soc_charge"),
        (-18_000, "soc_charge"),
        (0, "soc_reserve"),
        (0, "soc_reserve"),
        (20_000, "none"),
    ]


# Other commands


async def test_read_only_refuses_every_command(bench: MakeBench) -> None:
    """Nothing is written either."""
    made = await bench(read_only=True)
    for command in (
        made.power(20_000),
        made.change(var=100),
        made.controller.async_release(),
        made.controller.async_set_work_state(WorkState.STOP),
        made.controller.async_set_operation_mode(OperationMode.PQ_SET_POINT),
        made.controller.async_begin_reset(forced=True),
        made.controller.async_switch_recovery(on=True),
    ):
        with pytest.raises(RefusedError, match=Refusal.READ_ONLY):
            await command
    await made.poll(10)
    await made.shut_down()
    assert made.written == []
    assert not made.busy()


COMMANDS = [
    pytest.param(lambda made: made.power(20_000), id="power"),
    pytest.param(lambda made: made.change(var=100), id="change"),
    pytest.param(lambda made: made.controller.async_release(), id="release"),
    pytest.param(lambda made: made.controller.async_set_work_state(WorkState.STOP), id="stop"),
    pytest.param(lambda made: made.controller.async_set_operation_mode(OperationMode.PQ_SET_POINT), id="mode"),
    pytest.param(lambda made: made.controller.async_begin_reset(forced=True), id="reset"),
    pytest.param(lambda made: made.controller.async_switch_recovery(on=True), id="recovery"),
]
type Command = Callable[[Bench], Awaitable[object]]


@pytest.mark.parametrize("command", COMMANDS)
async def test_commands_wait_for_their_turn(bench: MakeBench, unit: MockModbusUnit, command: Command) -> None:
    """No write of one is overtaken by another's, or by the cycle's."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    async with made.controller._lock:
        turn = asyncio.ensure_future(command(made))
        for _ in range(20):
            await asyncio.sleep(0)
        assert made.written == []
        assert not turn.done()
    await turn


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_command_is_taken_after_the_way_out(bench: MakeBench, unit: MockModbusUnit, command: Command) -> None:
    """Nobody would look after it."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    await made.shut_down()
    assert made.controller.closed
    with pytest.raises(RefusedError, match=Refusal.SHUTTING_DOWN):
        await command(made)
    assert made.written == []


async def test_nothing_is_looked_after_by_those_that_may_not_write(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Read-only control polls no faster for a zero that it cannot write, and neither does one that has stopped."""
    owed = Record(zero=OwedZero(ours=Envelope((-20_000.0, 0.0), (0.0, 0.0)), owner="user", taken_at=0))
    unit.holding[ACTIVE_SETPOINT] = word(-20_000)
    made = await bench(read_only=True, record=owed)
    await made.poll(20)
    assert made.written == []
    assert made.controller.lease.debt is not None
    assert not made.busy()
    assert made.controller.blocks_to_read == {}
    await made.shut_down()
    assert made.written == []
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    await made.shut_down()
    assert made.controller.lease.debt is not None
    assert not made.busy()


async def test_start_only_from_standby(bench: MakeBench, unit: MockModbusUnit) -> None:
    """START is refused in every other state."""
    made = await bench()
    with pytest.raises(RefusedError, match=Refusal.NOT_STANDBY):
        await made.controller.async_set_work_state(WorkState.START)
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll()
    await made.controller.async_set_work_state(WorkState.START)
    assert made.written == [(WORK_STATE, [1])]


async def test_stop_ends_the_lease_before_it_is_written(bench: MakeBench) -> None:
    """The system stops without power."""
    made = await bench()
    await made.power(20_000)
    made.taken()
    await made.controller.async_set_work_state(WorkState.STOP)
    assert made.written == [*ZERO, (WORK_STATE, [0])]
    assert made.controller.lease.last_end is End.STOPPED


async def test_stop_without_a_lease_writes_nothing_else(bench: MakeBench) -> None:
    """There is no power of ours to take back."""
    made = await bench()
    await made.controller.async_set_work_state(WorkState.STOP)
    assert made.written == [(WORK_STATE, [0])]
    assert made.device.work_state is WorkState.STOP


async def test_unlabelled_fault_bit_refuses_start(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A bit of a fault word that has no label counts as a fault for starting."""
    made = await bench()
    unit.input.update({SYSTEM_STATE: STANDBY, BATTERY_FAULT_9: 1})
    await made.poll()
    with pytest.raises(RefusedError, match=Refusal.FAULT):
        await made.controller.async_set_work_state(WorkState.START)


async def test_operation_mode_without_a_lease_writes_nothing_else(bench: MakeBench) -> None:
    """And it shows at once."""
    made = await bench()
    await made.controller.async_set_operation_mode(OperationMode.IAC_COS_PHI_SET_POINT)
    assert made.written == [(OPERATION_MODE, [1])]
    assert made.device.operation_mode is OperationMode.IAC_COS_PHI_SET_POINT


async def test_another_operation_mode_ends_the_lease_first(bench: MakeBench) -> None:
    """P/Q does not."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_set_operation_mode(OperationMode.PQ_SET_POINT)
    assert made.controller.lease.lease is not None
    made.taken()
    await made.controller.async_set_operation_mode(OperationMode.IAC_COS_PHI_SET_POINT)
    assert made.written == [*ZERO, (OPERATION_MODE, [1])]
    assert made.controller.lease.last_end is End.OPERATION_MODE


async def test_error_reset_is_written_read_back_and_cleared(bench: MakeBench, unit: MockModbusUnit) -> None:
    """1 is written, and after it has read back 0; a second reset within two hours is refused unless forced."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    controller = made.controller
    await controller.async_begin_reset(forced=False)
    with pytest.raises(RefusedError, match=Refusal.RESET_UNDER_WAY):
        await controller.async_begin_reset(forced=True)
    await made.poll(2)
    assert made.taken() == [(ERROR_RESET, [1]), (ERROR_RESET, [0])]
    assert controller.resetting.outcome is ResetOutcome.DONE
    assert controller.resetting.resets.next_allowed == pytest.approx(made.clock.moment().wall + 7200, abs=5)
    with pytest.raises(RefusedError, match=Refusal.RESET_TOO_SOON):
        await controller.async_begin_reset(forced=False)
    await controller.async_begin_reset(forced=True)
    await made.poll(2)
    assert controller.resetting.resets.count == 2
    assert made.told(EventKind.ERROR_RESET) == [{"count": 1}, {"count": 2}]


async def test_error_reset_that_is_not_taken(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A 1 that does not read back within 10 s is followed by 0."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    unit.on_write(lambda _: unit.holding.update({ERROR_RESET: 0}))
    await made.controller.async_begin_reset(forced=False)
    await made.poll(12)
    assert made.controller.resetting.outcome is ResetOutcome.NOT_TAKEN
    assert made.taken() == [(ERROR_RESET, [1]), (ERROR_RESET, [0])]


async def test_error_reset_after_an_idle_minute(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The readings behind a decision are refreshed first, however rarely the system is polled."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    made.clock.now += 60
    await made.controller.async_begin_reset(forced=False)
    assert made.taken() == [(ERROR_RESET, [1])]


async def test_error_reset_without_a_link(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It fails at once, and does not count."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    made.clock.now += 60
    unit.fail_requests(ModbusConnectionError("gone"))
    with pytest.raises(WriteFailedError, match=Failure.NO_CONNECTION):
        await made.controller.async_begin_reset(forced=False)
    assert made.controller.resetting.resets.count == 0


async def test_recovery_from_a_fault(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A fault brings zero and STOP, after 30 s one reset, then START from Standby; a second fault waits two hours."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    unit.holding[WORK_STATE] = 1
    await made.poll(2)
    await made.power(20_000)
    made.taken()
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll(3)
    assert [one for one in made.taken() if one not in ZERO] == [(WORK_STATE, [0])]
    await made.poll(35)
    assert made.taken() == [(ERROR_RESET, [1]), (ERROR_RESET, [0])]
    unit.input[SYSTEM_STATE] = INIT
    await made.poll(3)
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(3)
    assert made.taken() == [(WORK_STATE, [1])]
    unit.input[SYSTEM_STATE] = RUNNING
    await made.poll(3)
    assert not made.busy()
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll(3600)
    assert [address for address, _ in made.taken()] == [ACTIVE_SETPOINT, REACTIVE_SETPOINT, WORK_STATE]
    assert made.controller.resetting.resets.count == 1
    assert [event["step"] for event in made.told(EventKind.RECOVERY)] == ["stop", "start", "stop"]


async def test_recovery_goes_on_when_it_cannot_write(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A rejected STOP does not stop the recovery."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    await made.poll(2)
    unit.fail_write(WORK_STATE, ServerDeviceFailureError())
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll(40)
    assert (ERROR_RESET, [1]) in made.written


async def test_stop_that_the_device_does_not_take_is_written_again(bench: MakeBench, unit: MockModbusUnit) -> None:
    """For as long as it reads START."""
    unit.holding[WORK_STATE] = 1
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    await made.poll(2)
    unit.on_write(lambda _: unit.holding.update({WORK_STATE: 1}))
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll(5)
    assert made.written.count((WORK_STATE, [0])) == 5


async def test_start_without_effect_is_reported(bench: MakeBench, unit: MockModbusUnit) -> None:
    """START is written once; 60 s later the recovery gives up and says so."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    await made.poll(2)
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll(5)
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(200)
    assert made.taken().count((WORK_STATE, [1])) == 1
    assert made.told(EventKind.RECOVERY)[-1] == {"step": "no_effect"}


async def test_settings_are_kept_over_a_restart(bench: MakeBench) -> None:
    """Recovery, protection and the count of resets are in the record."""
    made = await bench(record=Record(resets=3))
    await made.controller.async_switch_recovery(on=True)
    await made.controller.async_switch_soc_protection(SocSettings())
    await made.shut_down()
    made.restart()
    assert made.controller.recovery is not None
    assert made.controller.resetting.resets.count == 3
    assert made.store.record.soc_protection
    await made.controller.async_switch_recovery(on=False)
    assert not made.store.record.fault_recovery


async def test_busy_rejection_of_a_reset_does_not_count(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A device that says it is busy has not reset anything."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    unit.fail_write(ERROR_RESET, ServerDeviceBusyError())
    with pytest.raises(WriteFailedError):
        await made.controller.async_begin_reset(forced=False)
    assert made.controller.resetting.resets.count == 0
    await made.poll()
    assert made.store.record == Record()
    unit.fail_write(ERROR_RESET, None)
    await made.controller.async_begin_reset(forced=False)
