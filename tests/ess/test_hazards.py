"""The hazards of control, each with the rule that keeps it from happening."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
    ServerDeviceFailureError,
)
from modbus_connection.mock import MockModbusUnit, WriteEvent

from custom_components.refu_ess.ess import (
    Decision,
    End,
    EventKind,
    Limit,
    OutOfRangeError,
    Power,
    Record,
    Refusal,
    RefusedError,
    SocSettings,
    WorkState,
    WriteFailedError,
    lease,
)
from custom_components.refu_ess.ess.moment import Moment
from custom_components.refu_ess.ess.record import OwedZero
from custom_components.refu_ess.ess.setpoint import Envelope
from custom_components.refu_ess.ess.soc_protection import SocState
from tests.registers import (
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    BATTERY_BLOCK,
    BATTERY_FAULT_10,
    ERROR_CODE,
    ERROR_RESET,
    FAULT,
    REACTIVE_SETPOINT,
    RUNNING,
    SETTING_BLOCKS,
    SMOKE,
    SOC,
    STANDBY,
    SYSTEM_STATE,
    WORK_STATE,
    held,
    word,
)

from .bench import ZERO, Bench, MakeBench
from .clock import Clock
from .good import GOOD

START, STOP = (WORK_STATE, [1]), (WORK_STATE, [0])
RESET = (ERROR_RESET, [1])
OWED = OwedZero(ours=Envelope((-20_000.0, 0.0), (0.0, 0.0)), owner="user", taken_at=1_800_000_000.0)


class FakeGuard:
    """A scripted guard."""

    def __init__(self) -> None:
        """Begin asleep."""
        self.acted: object | None = None
        self.starts = True
        self.log: list[str] = []

    async def async_start(self) -> bool:
        """Start, unless it cannot."""
        self.log.append("start")
        return self.starts

    def beat(self) -> None:
        """Be fed."""

    async def async_paid(self) -> None:
        """End."""
        self.acted = None
        self.log.append("paid")

    def abandon(self) -> None:
        """Take over."""
        self.log.append("abandon")


def show_late(made: Bench, unit: MockModbusUnit, seconds: float) -> None:
    """Let the device show a setpoint so many seconds after it was written."""
    shown = held(unit.holding, ACTIVE_SETPOINT)
    pending: list[tuple[float, int]] = []

    def late() -> int:
        nonlocal shown
        while pending and pending[0][0] <= made.clock.now:
            shown = pending.pop(0)[1]
        return shown

    def written(event: WriteEvent) -> None:
        if event.address == ACTIVE_SETPOINT:
            pending.append((made.clock.now + seconds, int(event.values[0])))
            unit.holding[ACTIVE_SETPOINT] = late

    unit.on_write(written)


def write_every_second(made: Bench, unit: MockModbusUnit, watts: float) -> None:
    """Let another system have the last word on the setpoint."""
    unit.on_write(lambda _: unit.holding.update({ACTIVE_SETPOINT: word(watts)}))
    unit.holding[ACTIVE_SETPOINT] = word(watts)


# H1: a lease ends although nothing polls


async def test_h1_busy_while_power_is_held(bench: MakeBench) -> None:
    """A lease needs looking after until its zero is read back."""
    made = await bench()
    assert not made.busy()
    await made.power(20_000)
    assert made.busy()
    await made.controller.async_release()
    await made.poll(15)
    assert not made.busy()


async def test_h1_busy_while_zero_is_owed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A zero that could not be written needs looking after."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    with suppress(WriteFailedError):
        await made.controller.async_release()
    assert made.busy()
    unit.fail_requests(None)
    await made.poll(15)
    assert not made.busy()


async def test_h1_busy_while_an_error_is_reset(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The 1 needs its 0."""
    made = await bench()
    unit.input[ERROR_CODE] = 7
    await made.poll()
    await made.controller.async_begin_reset(forced=True)
    assert made.busy()
    await made.poll(5)
    assert not made.busy()


async def test_h1_busy_while_recovering(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Recovery needs looking after during a fault, not while the system runs."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    await made.poll()
    assert not made.busy()
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll()
    assert made.busy()


async def test_h1_lease_without_cycles_has_lost_its_control(bench: MakeBench) -> None:
    """A process that hung for 10 s does not go on as if nothing had been."""
    made = await bench()
    await made.power(20_000)
    made.clock.now += 10
    await made.poll()
    assert made.controller.lease.last_end is End.INTERRUPTED
    assert made.holds(0)


def test_h1_lease_needs_looking_after_before_anything_is_sent() -> None:
    """It is settled only when it is over."""
    wanted = lease.Lease(asked=Power.total(20_000, 0, 1), owner="user", ends=Moment(1000, 1000))
    state = lease.take(lease.idle(1), wanted, lease.nothing(1), Moment(0, 0))
    assert not state.attempts
    assert not state.settled


# H2: our own setpoint is ours until proven otherwise


@pytest.mark.parametrize("seconds", [1, 2, 3])
async def test_h2_late_setpoint_is_ours(bench: MakeBench, unit: MockModbusUnit, seconds: float) -> None:
    """A device that shows a write some seconds later is no other system, and ends at zero."""
    made = await bench()
    show_late(made, unit, seconds)
    for watts in (20_000, -20_000, 5000, 20_000):
        await made.power(watts)
        await made.poll(2)
    await made.controller.async_release()
    await made.poll(20)
    assert made.told(EventKind.FOREIGN_WRITER) == []
    assert made.holds(0) or unit.holding[ACTIVE_SETPOINT]() == 0  # type: ignore[operator]
    assert not made.busy()


async def test_h2_write_without_an_answer_is_ours(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A write that may have arrived is reverted."""
    made = await bench()
    unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("no answer"))
    with pytest.raises(WriteFailedError):
        await made.power(20_000)
    unit.holding[ACTIVE_SETPOINT] = word(20_000)  # it had arrived
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.poll(3)
    assert made.holds(0)
    assert made.told(EventKind.FOREIGN_WRITER) == []


async def test_h2_clamped_setpoint_is_a_limit_with_a_name(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A device that holds less than it was sent reduces power; the lease goes on."""
    made = await bench()
    unit.on_write(lambda _: unit.holding.update({ACTIVE_SETPOINT: min(int(unit.holding[ACTIVE_SETPOINT]), 150)}))  # type: ignore[arg-type]
    await made.power(20_000)
    await made.poll(10)
    assert made.limit() is Limit.REDUCED_BY_DEVICE
    assert made.told(EventKind.NOT_DELIVERED)[0]["reason"] == "reduced_by_device"
    assert made.controller.lease.lease is not None
    await made.see_release()


async def test_h2_setpoint_rounded_up_by_one_step_is_ours(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Also at the next start."""
    made = await bench()
    await made.power(20_000)
    unit.holding[ACTIVE_SETPOINT] = word(20_100)
    made.restart()
    await made.poll(2)
    assert made.holds(0)


async def test_h2_another_system_is_one_after_5_s(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Then control lets go and writes nothing."""
    made = await bench()
    await made.power(20_000)
    write_every_second(made, unit, -50_000)
    await made.poll(5)
    assert made.controller.lease.lease is not None
    await made.poll(2)
    assert made.controller.lease.last_end is End.FOREIGN_WRITER
    assert made.told(EventKind.FOREIGN_WRITER) == [{"held": -50_000, "sent": 20_000}]
    assert made.told(EventKind.LEASE_ENDED) == [{"reason": "foreign_writer", "owner": "user"}]
    made.taken()
    await made.poll(20)
    assert made.written == []


@pytest.mark.parametrize(
    ("count", "seconds", "proven"),
    [
        pytest.param(3, 5, True, id="three over 5 s"),
        pytest.param(2, 60, False, id="two"),
        pytest.param(60, 4.9, False, id="many in less than 5 s"),
    ],
)
def test_h2_proof_of_another_system(count: int, seconds: float, *, proven: bool) -> None:
    """Three readings over 5 s: single ones may be torn or late."""
    assert lease.Sightings(first=100, last=100 + seconds, count=count).proven is proven


def under_a_lease() -> lease.State:
    """A lease on 20 kW since 0 s."""
    wanted = lease.Lease(asked=Power.total(20_000, 0, 1), owner="user", ends=Moment(1000, 1000))
    state = lease.take(lease.idle(1), wanted, Decision(wanted.asked, Limit.NONE), Moment(0, 0))
    return lease.attempted(state, wanted.asked, 0)


def see(state: lease.State, watts: float, at: float) -> lease.State:
    """Go on with a setpoint that was read then."""
    reading = replace(GOOD, reachable=True, held=Power.total(watts, 0, 1), held_asked_at=at)
    decision = None if state.lease is None else state.decision
    state, _ = lease.tick(replace(state, ticked_at=Moment(at, at)), reading, decision, Moment(at, at))
    return state


def test_h2_reading_counts_once_however_often_it_is_judged() -> None:
    """A cycle without a new poll sees nothing new."""
    state = under_a_lease()
    for at in (1, 1, 6, 6):
        state = see(state, -50_000, at)
    assert state.sightings == lease.Sightings(first=1, last=6, count=2)


@pytest.mark.parametrize(
    ("seconds", "last_end"),
    [pytest.param(10, End.FOREIGN_WRITER, id="10 s"), pytest.param(10.1, None, id="more than 10 s")],
)
def test_h2_sightings_that_lie_apart_are_no_proof(seconds: float, last_end: End | None) -> None:
    """Another system that writes does so more often."""
    state = under_a_lease()
    for count in range(3):
        state = see(state, -50_000, 1 + count * seconds)
    assert state.last_end is last_end


def test_h2_sightings_between_our_own_values_are_proof() -> None:
    """Two systems that write in turn show each other's values in turn."""
    state = under_a_lease()
    for at in range(1, 6, 2):
        state = see(see(state, -50_000, at), 20_000, at + 1)
    assert state.last_end is None
    assert see(state, -50_000, 7).last_end is End.FOREIGN_WRITER


def test_h2_sightings_before_a_lease_count_for_nothing() -> None:
    """Without one there is nothing to fight about."""
    state = see(replace(lease.idle(1), sightings=lease.Sightings(first=1, last=6, count=9)), -50_000, 7)
    assert state.sightings is None


async def test_h2_end_of_a_lease_begins_the_watch_for_another_system_again(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """The zero has the same time to be shown as power has."""
    made = await bench()
    await made.power(20_000, duration_s=5)
    write_every_second(made, unit, -50_000)
    await made.poll(8)
    assert made.controller.lease.last_end is End.EXPIRED
    assert made.told(EventKind.FOREIGN_WRITER) == []
    await made.poll(5)
    assert len(made.told(EventKind.FOREIGN_WRITER)) == 1


async def test_h2_another_system_is_no_news_once_zero_is_paid(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It may do what it likes with a device that we have released."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_release()
    await made.poll()
    assert made.controller.lease.debt is None
    made.taken()
    write_every_second(made, unit, -50_000)
    await made.poll(20)
    assert made.written == []
    assert made.told(EventKind.FOREIGN_WRITER) == []


async def test_h2_another_system_is_reported_once_although_our_zero_does_not_arrive(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """The zero for what it does not write stays owed; that it was let go is no news."""
    made = await bench()
    await made.power(20_000, 5000)
    write_every_second(made, unit, -50_000)
    unit.fail_write(REACTIVE_SETPOINT, ModbusTimeoutError("late"))
    await made.poll(30)
    assert made.holds(-50_000, 5000)
    assert len(made.told(EventKind.FOREIGN_WRITER)) == 1
    unit.fail_write(REACTIVE_SETPOINT, None)
    await made.poll(3)
    assert made.holds(-50_000, 0)


async def test_h2_another_system_is_noticed_by_an_automation_that_commands_every_second(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """A new command does not begin the count again."""
    made = await bench()
    await made.power(20_000)
    write_every_second(made, unit, -50_000)
    for second in range(8):
        with suppress(RefusedError):
            await made.change(watts=20_000 + 100 * second)
        await made.poll()
    assert made.told(EventKind.FOREIGN_WRITER)


async def test_h2_what_another_system_does_not_write_is_zeroed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It takes over active power; our reactive power would stay on for good."""
    made = await bench()
    await made.power(20_000, 5000)
    write_every_second(made, unit, -50_000)
    await made.poll(12)
    assert made.controller.lease.last_end is End.FOREIGN_WRITER
    assert made.holds(-50_000, 0)
    assert len(made.told(EventKind.FOREIGN_WRITER)) == 1
    made.taken()
    await made.poll(20)
    assert made.written == []
    assert not made.busy()


async def test_h2_phases_that_another_system_does_not_write_are_zeroed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The same on three phases."""
    made = await bench(per_phase=True)
    await made.power(30_000)
    unit.on_write(lambda _: unit.holding.update({ACTIVE_SETPOINT_L1: word(-30_000)}))
    unit.holding[ACTIVE_SETPOINT_L1] = word(-30_000)
    await made.poll(20)
    assert [unit.holding[ACTIVE_SETPOINT_L1 + phase] for phase in range(3)] == [word(-30_000), 0, 0]
    assert not made.busy()


async def test_h2_release_is_one_zero_and_no_fight(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Another system that writes every second has the last word, though its values could be ours."""
    made = await bench()
    made.device._clock = lambda: made.clock.now + 0.001  # a request takes time
    await made.power(20_000)
    await made.controller.async_release()
    made.taken()
    for _ in range(20):
        unit.holding[ACTIVE_SETPOINT] = word(10_000)
        await made.poll()
    assert made.written == ZERO  # one more, since it could have been a late value of ours
    assert not made.busy()


def test_h2_late_values_are_watched_for_ten_seconds() -> None:
    """After that a device shows none of our writes any longer."""
    zero = Power.zero(1)
    state = lease.acknowledged(lease.attempted(lease.idle(1), zero, 100), zero, 100)
    assert not lease.tick(state, GOOD, None, Moment(109.9, 109.9))[0].settled
    assert lease.tick(state, GOOD, None, Moment(110, 110))[0].settled


async def test_h2_setpoint_that_a_user_released_is_zeroed_whoever_set_it(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """A device that goes on showing it for a while is no proof of another system that is writing."""
    unit.holding[ACTIVE_SETPOINT] = word(30_000)
    made = await bench()
    show_late(made, unit, 8)
    await made.controller.async_release()
    await made.poll(20)
    assert unit.holding[ACTIVE_SETPOINT]() == 0  # type: ignore[operator]
    assert made.told(EventKind.FOREIGN_WRITER) == []
    assert not made.busy()


async def test_h2_setpoint_of_another_system_after_the_zero_is_left_alone(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """The zero arrived, and what has taken its place was never ours."""
    made = await bench()
    await made.power(20_000)
    unit.fail_read(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    await made.controller.async_release()
    unit.fail_read(ACTIVE_SETPOINT, None)
    write_every_second(made, unit, -50_000)
    made.taken()
    await made.poll(20)
    assert made.written == []
    assert len(made.told(EventKind.FOREIGN_WRITER)) == 1
    assert not made.busy()


async def test_h2_power_that_a_debt_is_owed_for_stays_ours_under_a_new_lease(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """The old setpoint is no other system's."""
    made = await bench()
    await made.power(-20_000)
    unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    with pytest.raises(WriteFailedError):
        await made.controller.async_release()
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.power(5000)
    unit.on_write(lambda _: unit.holding.update({ACTIVE_SETPOINT: word(-20_000)}))  # which ignores the new one
    await made.poll(8)
    assert made.controller.lease.lease is not None
    assert made.limit() is Limit.NONE
    assert made.told(EventKind.FOREIGN_WRITER) == []


async def test_h2_power_of_an_earlier_run_stays_ours_under_a_new_lease(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A device that goes on showing it is no other system."""
    unit.holding[ACTIVE_SETPOINT] = word(-20_000)
    unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    made = await bench(record=Record(zero=OWED))
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.power(5000)
    write_every_second(made, unit, -20_000)
    await made.poll(8)
    assert made.controller.lease.lease is not None
    assert made.told(EventKind.FOREIGN_WRITER) == []


def test_h2_acknowledged_power_is_no_acknowledged_zero() -> None:
    """Nor is nothing at all."""
    power = Power.total(20_000, 0, 1)
    assert not lease.idle(1).zero_acknowledged
    assert not lease.acknowledged(lease.attempted(lease.idle(1), power, 1), power, 2).zero_acknowledged


def test_h2_setpoint_that_is_sent_again_is_one_attempt() -> None:
    """It lasts from the first time to the last, and waits for its acknowledgement again."""
    power = Power.total(20_000, 0, 1)
    state = lease.acknowledged(lease.attempted(lease.idle(1), power, 1), power, 2)
    state = lease.attempted(state, power, 3)
    assert state.attempts == (lease.Attempt(power=power, first=1, last=3),)


@pytest.mark.parametrize(
    ("earlier", "kept"),
    [
        pytest.param([(20_000, 1, None), (10_000, 2, None)], [20_000, 10_000, 5000], id="none acknowledged"),
        pytest.param([(20_000, 1, 1), (10_000, 2, None)], [20_000, 10_000, 5000], id="first acknowledged"),
        pytest.param([(20_000, 1, 1), (10_000, 2, 2)], [10_000, 5000], id="both acknowledged"),
        pytest.param([(20_000, 90.1, 90.1), (10_000, 91, 91)], [20_000, 10_000, 5000], id="less than 10 s old"),
        pytest.param([(20_000, 90, 90), (10_000, 91, 91)], [10_000, 5000], id="10 s old"),
    ],
)
def test_h2_attempts_that_the_device_may_still_show_stay_ours(
    earlier: list[tuple[float, float, float | None]], kept: list[float]
) -> None:
    """That are the last one that was acknowledged, all after it, and all of the last 10 s."""
    attempts = tuple(
        lease.Attempt(power=Power.total(watts, 0, 1), first=at, last=at, acknowledged_at=acknowledged_at)
        for watts, at, acknowledged_at in earlier
    )
    state = lease.attempted(replace(lease.idle(1), attempts=attempts), Power.total(5000, 0, 1), 100)
    assert [one.power.total_active_w for one in state.attempts] == kept


def test_h2_late_acknowledgement_of_power_is_none_of_the_zero() -> None:
    """On the way out a command under way may be answered after the zero was sent."""
    zero, power = Power.zero(1), Power.total(20_000, 0, 1)
    state = lease.attempted(lease.attempted(lease.idle(1), power, 1), zero, 2)
    assert not lease.acknowledged(state, power, 3).zero_acknowledged
    assert lease.acknowledged(state, zero, 3).zero_acknowledged


async def test_h2_single_foreign_write_is_overwritten(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Once is no other system at work."""
    made = await bench()
    await made.power(20_000)
    unit.holding[ACTIVE_SETPOINT] = word(-50_000)
    await made.poll(20)
    assert made.holds(20_000)
    assert made.told(EventKind.FOREIGN_WRITER) == []


async def test_h2_our_late_setpoint_after_letting_go_is_zeroed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The other system stops, and the last value of ours shows up after that."""
    made = await bench()
    await made.power(20_000)
    write_every_second(made, unit, -50_000)
    await made.poll(8)
    assert made.controller.lease.last_end is End.FOREIGN_WRITER
    unit._write_callbacks.pop()
    unit.holding[ACTIVE_SETPOINT] = word(20_000)
    await made.poll(3)
    assert made.holds(0)


async def test_h2_late_setpoint_after_the_zero_is_zeroed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A zero that was read back is watched for a while."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_release()
    await made.poll(2)
    assert made.controller.lease.debt is None
    unit.holding[ACTIVE_SETPOINT] = word(20_000)
    await made.poll(2)
    assert made.holds(0)


async def test_h2_late_setpoint_after_a_second_release_is_zeroed_too(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Each release is watched for as long."""
    made = await bench()
    await made.power(20_000)
    for _ in range(2):
        await made.controller.async_release()
        await made.poll(2)
        unit.holding[ACTIVE_SETPOINT] = word(20_000)
        await made.poll(2)
        assert made.holds(0)


PAID, UNPAID = (), (lease.Send(Power.zero(1)),)


@pytest.mark.parametrize(
    ("change", "actions"),
    [
        pytest.param({"held": Power.zero(1), "held_asked_at": 6}, PAID, id="zero reads back"),
        pytest.param({"held": Power.zero(1), "held_asked_at": 5.9}, UNPAID, id="zero of a reading before"),
        pytest.param({"held": Power.total(10_000, 0, 1), "held_asked_at": 7}, UNPAID, id="ours reads back"),
        pytest.param({"held_unreadable": True}, PAID, id="unreadable"),
        pytest.param({"held_unreadable": True, "reachable": False}, UNPAID, id="link lost"),
        pytest.param({}, UNPAID, id="not read yet"),
    ],
)
def test_h2_acknowledged_zero_is_paid_once_it_reads_back(
    change: dict[str, Any], actions: tuple[lease.Action, ...]
) -> None:
    """Or cannot be read although the device answers; until then it is sent again, and afterwards it is no news."""
    zero = Power.zero(1)
    state, _ = lease.end(under_a_lease(), End.EXPIRED)
    state = lease.acknowledged(lease.attempted(state, zero, 5), zero, 6)
    state, found = lease.tick(state, replace(GOOD, **change), None, Moment(8, 8))
    assert found == actions
    assert (state.debt is None) is (actions == PAID)


def test_h2_zero_that_was_never_sent_is_not_paid() -> None:
    """A reading of zero may be older than our power shows."""
    state = lease.acknowledged(under_a_lease(), Power.total(20_000, 0, 1), 1)
    state, _ = lease.end(state, End.EXPIRED)
    reading = replace(GOOD, held=Power.zero(1), held_asked_at=7)
    assert lease.tick(state, reading, None, Moment(8, 8))[1] == UNPAID


def test_h2_zero_is_owed_until_it_is_acknowledged() -> None:
    """After that only its reading back is awaited."""
    zero = Power.zero(1)
    state, _ = lease.end(under_a_lease(), End.EXPIRED)
    state = lease.attempted(state, zero, 5)
    assert lease.sure_limit(state) is Limit.ZERO_OWED
    state = lease.acknowledged(state, zero, 6)
    assert state.debt is not None
    assert lease.sure_limit(state) is Limit.NOTHING_ASKED
    assert lease.limit_of(state, GOOD, 7) is Limit.NOTHING_ASKED


# H3: the zero is a debt


async def test_h3_record_is_written_before_power(bench: MakeBench) -> None:
    """And erased when zero has been delivered."""
    made = await bench()
    made.unit.on_write(lambda _: recorded.append(made.store.record.zero is not None))
    recorded: list[bool] = []
    await made.power(20_000)
    assert recorded == [True, True]
    await made.controller.async_release()
    await made.poll(2)
    assert made.store.record.zero is None


async def test_h3_no_record_no_power(bench: MakeBench) -> None:
    """A disk that fails is a refusal, and zero needs none."""
    made = await bench()
    made.store.error = OSError("no space left on device")
    with pytest.raises(WriteFailedError, match="not_recorded"):
        await made.power(20_000)
    assert made.written == []
    await made.controller.async_release()
    assert made.written == ZERO


@pytest.mark.parametrize("lost", [1, 3])
async def test_h3_way_out_tries_again(bench: MakeBench, unit: MockModbusUnit, lost: int) -> None:
    """A link that drops the first requests costs some tries, not the zero."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(ModbusTimeoutError("late"))
    pauses = 0

    async def sleep(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        made.clock.now += seconds
        if pauses == lost:
            unit.fail_requests(None)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncio, "sleep", sleep)
        await made.controller.async_shut_down()
    assert made.holds(0)
    assert made.told(EventKind.ZERO_UNPAID) == []
    await made.controller.async_cycle()
    assert made.store.record.zero is None


async def test_h3_zero_that_could_not_be_paid_is_paid_at_the_next_start(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Before anything else, and the event says so."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    await made.shut_down()
    assert made.told(EventKind.ZERO_UNPAID)
    assert made.store.record.zero is not None
    assert not made.store.record.unknown_zero
    unit.fail_requests(None)
    made.restart()
    made.taken()
    await made.poll(3)
    assert made.written == ZERO
    assert made.told(EventKind.ZERO_PAID) == [{"found": "ours"}]
    assert made.store.record.zero is None


async def test_h3_release_that_failed_is_recorded_with_what_it_was_for(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A user wanted zero, whoever set the power; the next start goes on with it."""
    unit.holding[ACTIVE_SETPOINT] = word(30_000)
    made = await bench()
    unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    with pytest.raises(WriteFailedError):
        await made.controller.async_release()
    await made.poll()
    assert made.store.record.zero is not None
    assert made.store.record.zero.ours.upper == (30_000, 0)


async def test_h3_zero_that_is_there_already_is_not_written(bench: MakeBench) -> None:
    """The device may have been switched off meanwhile."""
    made = await bench(record=Record(zero=OWED))
    await made.poll(12)
    assert made.written == []
    assert made.told(EventKind.ZERO_PAID) == [{"found": "zero"}]
    assert made.store.record.zero is None


async def test_h3_start_without_a_link_waits_for_it(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Nothing is written before the setpoint was compared."""
    unit.holding[ACTIVE_SETPOINT] = word(-20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    made = await bench(record=Record(zero=OWED))
    await made.poll(10)
    assert made.busy()
    assert made.limit() is Limit.ZERO_OWED
    assert made.store.record == Record(zero=OWED)
    unit.fail_requests(None)
    await made.poll(3)
    assert made.written == ZERO
    assert made.told(EventKind.ZERO_PAID) == [{"found": "ours"}]


@pytest.mark.parametrize(
    ("unreadable", "reachable", "actions"),
    [(True, True, UNPAID), (True, False, PAID), (False, True, PAID), (False, False, PAID)],
)
def test_h3_zero_of_an_earlier_run_is_written_unseen_only_where_it_cannot_be_read(
    actions: tuple[lease.Action, ...], *, unreadable: bool, reachable: bool
) -> None:
    """A link that is not there yet is waited for."""
    state = lease.restore(lease.idle(1), OWED.ours)
    reading = replace(GOOD, held_unreadable=unreadable, reachable=reachable)
    state, found = lease.tick(state, reading, None, Moment(8, 8))
    assert found == actions
    assert state.debt is not None


def test_h3_zero_that_is_there_already_is_watched_for_a_while() -> None:
    """The last write of the earlier run shows within 4 s, or not at all."""
    state = lease.restore(lease.idle(1), OWED.ours)
    for at in (100, 103.9):
        state = see(state, 0, at)
        assert state.debt is not None
    assert see(state, 0, 104).debt is None


async def test_h3_way_out_looks_at_the_debt_of_an_earlier_run(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It could not be compared before."""
    unit.holding[ACTIVE_SETPOINT] = word(-20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    made = await bench(record=Record(zero=OWED))
    unit.fail_requests(None)
    await made.shut_down()
    assert made.holds(0)
    assert made.store.record == Record()


async def test_h3_way_out_leaves_another_system_alone(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A debt of an earlier run is compared first, also if the link comes back on the way out."""
    unit.holding[ACTIVE_SETPOINT] = word(30_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    made = await bench(record=Record(zero=OWED))

    async def sleep(seconds: float) -> None:
        made.clock.now += seconds
        unit.fail_requests(None)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncio, "sleep", sleep)
        await made.controller.async_shut_down()
    assert made.written == []


async def test_h3_way_out_asks_nothing_if_nothing_is_owed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Home Assistant need not wait for a device that is not there."""
    made = await bench()
    asked: list[object] = []

    async def read(names: object) -> None:
        asked.append(names)

    made.device.async_read = read  # type: ignore[method-assign]
    await made.shut_down()
    assert asked == []


async def test_h3_way_out_says_what_the_device_holds(bench: MakeBench, unit: MockModbusUnit) -> None:
    """If zero could not be written."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(ACTIVE_SETPOINT, ServerDeviceFailureError())
    await made.shut_down()
    assert made.told(EventKind.ZERO_UNPAID) == [{"held": 20_000}]


async def test_h3_debt_of_an_earlier_run_stays_one_although_its_zero_is_rejected(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """The event says what was found once it is paid."""
    unit.holding[ACTIVE_SETPOINT] = word(-20_000)
    unit.fail_write(ACTIVE_SETPOINT, ServerDeviceFailureError())
    made = await bench(record=Record(zero=OWED))
    await made.poll(3)
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.poll(2)
    assert made.told(EventKind.ZERO_PAID) == [{"found": "ours"}]
    assert made.told(EventKind.LEASE_ENDED) == []


async def test_h3_late_setpoint_of_the_earlier_run_is_zeroed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A first zero may be older than the last write before the crash."""
    made = await bench(record=Record(zero=OWED))
    unit.holding[ACTIVE_SETPOINT] = word(-20_000)
    await made.poll(3)
    assert made.holds(0)
    assert made.told(EventKind.ZERO_PAID) == [{"found": "ours"}]


async def test_h3_setpoint_of_the_earlier_run_stays_ours_until_zero_arrives(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """However long the writes fail."""
    unit.holding[ACTIVE_SETPOINT] = word(-20_000)
    unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    made = await bench(record=Record(zero=OWED))
    await made.poll(30)
    assert made.limit() is Limit.ZERO_OWED
    assert made.told(EventKind.FOREIGN_WRITER) == []
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.poll(2)
    assert made.holds(0)


async def test_h3_setpoint_of_another_system_is_left_alone_at_a_start(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A setpoint outside the record is not ours."""
    unit.holding[ACTIVE_SETPOINT] = word(30_000)
    made = await bench(record=Record(zero=OWED))
    await made.poll(12)
    assert made.written == []
    assert made.told(EventKind.FOREIGN_WRITER)
    assert made.store.record.zero is None


async def test_h3_unreadable_setpoints_are_zeroed_at_a_start(bench: MakeBench, unit: MockModbusUnit) -> None:
    """In doubt, zero is written."""
    unit.fail_read(ACTIVE_SETPOINT, ServerDeviceFailureError())
    made = await bench(record=Record(zero=OWED))
    await made.poll(12)
    assert {address for address, words in made.written if words == [0]} == {ACTIVE_SETPOINT, REACTIVE_SETPOINT}
    assert made.store.record.zero is None


@pytest.mark.parametrize("per_phase", [False, True])
async def test_h3_zero_is_paid_where_it_is_owed(bench: MakeBench, unit: MockModbusUnit, *, per_phase: bool) -> None:
    """Also if the setpoints of the other kind are in use since; commands wait for it."""
    made = await bench(per_phase=per_phase)
    await made.power(20_000)
    made.restart(per_phase=not per_phase)
    with pytest.raises(RefusedError, match=Refusal.ZERO_OWED):
        await made.power(10_000)
    await made.poll(15)
    first = ACTIVE_SETPOINT_L1 if per_phase else ACTIVE_SETPOINT
    assert unit.holding[first] == 0
    assert not made.busy()
    await made.power(20_000)
    assert made.controller.lease.lease is not None


async def test_h3_reset_that_a_crash_left_at_one_goes_back_to_zero(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It is owed like a zero."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    await made.controller.async_begin_reset(forced=False)
    assert made.store.record.reset_owed
    made.restart()
    made.taken()
    await made.poll(3)
    assert made.written == [(ERROR_RESET, [0])]
    assert not made.store.record.reset_owed


async def test_h3_no_record_no_reset(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The 0 that would be owed could be forgotten; what was not sent does not count."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    made.store.error = OSError("no space left on device")
    with pytest.raises(WriteFailedError, match="not_recorded"):
        await made.controller.async_begin_reset(forced=False)
    assert made.written == []
    assert made.controller.resetting.settled
    assert made.controller.resetting.resets.count == 0


async def test_h3_way_out_ends_a_reset(bench: MakeBench, unit: MockModbusUnit) -> None:
    """0 is written before the integration stops."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    await made.controller.async_begin_reset(forced=False)
    await made.shut_down()
    assert unit.holding[ERROR_RESET] == 0
    assert made.controller.resetting.settled


async def test_h3_reset_that_cannot_be_ended_stays_owed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The log says so, and the next start pays it."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    await made.controller.async_begin_reset(forced=False)
    unit.fail_requests(ModbusConnectionError("gone"))
    await made.shut_down()
    assert made.store.record.reset_owed
    assert made.told(EventKind.ZERO_UNPAID) == []


async def test_h3_way_out_does_not_wait_for_a_command_that_hangs(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Home Assistant would not wait either; the command sends no power after that."""
    made = await bench()
    held = asyncio.Event()
    save = made.store.keep

    async def keep(record: Record) -> None:
        held.set()
        await asyncio.sleep(3)
        await save(record)

    made.controller.ledger._keep = keep
    command = asyncio.create_task(made.power(20_000))
    await held.wait()
    await made.controller.async_shut_down()
    with pytest.raises(RefusedError, match=Refusal.SHUTTING_DOWN):
        await command
    assert not [one for one in made.written if one[1] != [0]]
    await made.controller.async_cycle()


async def test_h3_way_out_survives_whatever_fails(bench: MakeBench) -> None:
    """It never raises."""
    made = await bench()
    await made.power(20_000)

    async def broken() -> bool:
        raise RuntimeError

    made.controller._paid_on_the_way_out = broken  # type: ignore[method-assign]
    await made.shut_down()
    with pytest.raises(RefusedError, match=Refusal.SHUTTING_DOWN):
        await made.power(20_000)


# H4: a user's STOP stands


async def recovering(made: Bench) -> None:
    """Bring the system into Fault under the recovery."""
    await made.controller.async_switch_recovery(on=True)
    await made.poll(2)
    made.unit.input[SYSTEM_STATE] = FAULT
    await made.poll(3)


@pytest.mark.parametrize("state", [RUNNING, FAULT, 1])
async def test_h4_stop_before_and_during_a_recovery_stands(bench: MakeBench, unit: MockModbusUnit, state: int) -> None:
    """A system that the user stopped stays stopped when the fault is over."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    await made.poll(2)
    if state == RUNNING:
        await made.controller.async_set_work_state(WorkState.STOP)
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll(3)
    unit.input[SYSTEM_STATE] = FAULT if state == RUNNING else state
    await made.poll(2)
    if state != RUNNING:
        await made.controller.async_set_work_state(WorkState.STOP)
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(60)
    assert START not in made.written


async def see_no_start_after_a_fault(made: Bench) -> None:
    """A fault comes and goes, and the system stays in Standby."""
    await made.poll(2)
    made.unit.input[SYSTEM_STATE] = FAULT
    await made.poll(3)
    made.unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(60)
    assert START not in made.written


async def test_h4_stop_stands_over_a_restart(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It is in the record."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    await made.controller.async_set_work_state(WorkState.STOP)
    made.restart()
    await see_no_start_after_a_fault(made)


async def test_h4_stop_stands_although_the_recovery_was_off(bench: MakeBench, unit: MockModbusUnit) -> None:
    """And is switched on before the system has stopped."""
    made = await bench()
    await made.controller.async_set_work_state(WorkState.STOP)
    await made.controller.async_switch_recovery(on=True)
    await see_no_start_after_a_fault(made)


async def test_h4_stop_that_could_not_be_written_stands(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The user wanted it all the same."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    unit.fail_write(WORK_STATE, ModbusTimeoutError("late"))
    with pytest.raises(WriteFailedError):
        await made.controller.async_set_work_state(WorkState.STOP)
    assert made.store.record.stopped


async def test_h4_smoke_is_latched_over_a_restart(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Until a user acts, there is neither reset nor start."""
    made = await bench()
    await recovering(made)
    unit.input[BATTERY_FAULT_10] = SMOKE
    await made.poll(2)
    unit.input[BATTERY_FAULT_10] = 0
    await made.poll(100)
    assert made.store.record.smoke
    made.restart()
    unit.input[SYSTEM_STATE] = RUNNING
    await made.poll(3)
    unit.input[SYSTEM_STATE] = FAULT
    await made.poll(100)
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(60)
    assert not {START[0], RESET[0]} & {address for address, words in made.written if words == [1]}
    await made.controller.async_set_work_state(WorkState.START)
    assert not made.store.record.smoke


async def test_h4_error_reset_of_a_user_takes_back_the_latch_of_smoke(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A user has looked."""
    made = await bench(record=Record(smoke=True))
    unit.input[ERROR_CODE] = 7
    await made.poll()
    await made.controller.async_begin_reset(forced=True)
    await made.poll()
    assert not made.store.record.smoke


async def test_h4_start_is_written_once_where_the_register_cannot_be_read(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """Whatever reads back."""
    unit.fail_read(WORK_STATE, ServerDeviceFailureError())
    made = await bench()
    await recovering(made)
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(120)
    assert made.written.count(START) == 1
    assert made.told(EventKind.RECOVERY)[-1]["step"] == "no_effect"


async def test_h4_old_readings_reset_nothing(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A fault that was seen 30 s ago may be over."""
    made = await bench()
    await recovering(made)
    for _ in range(40):
        made.clock.now += 1
        await made.controller.async_cycle()
    assert RESET not in made.written


async def test_h4_ten_minutes_of_blindness_end_the_intent(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Nobody knows what happened meanwhile."""
    made = await bench()
    await recovering(made)
    unit.fail_requests(ModbusConnectionError("gone"))
    await made.poll(620)
    unit.fail_requests(None)
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(60)
    assert START not in made.written


async def test_h4_broken_disk_keeps_the_recovery_from_nothing(bench: MakeBench) -> None:
    """STOP is written although nothing can be recorded."""
    made = await bench()
    await made.controller.async_switch_recovery(on=True)
    await made.poll(2)
    made.store.error = OSError("no space left on device")
    made.unit.input[SYSTEM_STATE] = FAULT
    await made.poll(2)
    assert STOP in made.written


async def test_h4_switching_on_twice_changes_nothing(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A recovery under way goes on."""
    made = await bench()
    await recovering(made)
    before = made.controller.recovery
    await made.controller.async_switch_recovery(on=True)
    assert made.controller.recovery is before
    for _ in range(2):
        await made.controller.async_switch_recovery(on=False)
        assert made.controller.recovery is None


# H5: START never meets a leftover setpoint


@pytest.mark.parametrize("address", [ACTIVE_SETPOINT, REACTIVE_SETPOINT, ACTIVE_SETPOINT_L1])
async def test_h5_start_of_a_user_is_refused(bench: MakeBench, unit: MockModbusUnit, address: int) -> None:
    """While any setpoint reads other than zero."""
    made = await bench()
    made.clock.now += 2
    unit.input[SYSTEM_STATE] = STANDBY
    unit.holding[address] = word(25_000)
    with pytest.raises(RefusedError, match=Refusal.LEFTOVER_SETPOINT):
        await made.controller.async_set_work_state(WorkState.START)
    assert made.written == []


async def test_h5_start_is_refused_while_zero_is_owed(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Or may still show late."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_release()
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll(2)
    with pytest.raises(RefusedError, match=Refusal.ZERO_OWED):
        await made.controller.async_set_work_state(WorkState.START)
    await made.poll(12)
    await made.controller.async_set_work_state(WorkState.START)


async def test_h5_recovery_does_not_start_over_a_leftover(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Not even over one that appeared since the last poll."""
    made = await bench()
    await recovering(made)
    unit.input[SYSTEM_STATE] = STANDBY
    made.clock.now += 1
    await made.device.async_poll(also=made.controller.blocks_to_read)
    await made.controller.async_cycle()
    unit.holding[ACTIVE_SETPOINT_L1] = word(25_000)
    await made.controller.async_cycle()
    await made.poll(5)
    assert START not in made.written
    unit.holding[ACTIVE_SETPOINT_L1] = 0
    await made.poll(12)
    assert made.written.count(START) == 1


async def test_h5_zero_comes_before_start_where_setpoints_cannot_be_read(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """And has time to take effect."""
    unit.fail_read(ACTIVE_SETPOINT, ServerDeviceFailureError())
    made = await bench()
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll()
    began = made.clock.now
    with made.clock.pauses():
        await made.controller.async_set_work_state(WorkState.START)
    assert made.written == [(ACTIVE_SETPOINT, [0]), (REACTIVE_SETPOINT, [0]), START]
    assert made.clock.now - began >= 4


async def test_h5_start_is_not_written_if_the_system_changed_while_zero_took_effect(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """It is looked at again."""
    unit.fail_read(ACTIVE_SETPOINT, ServerDeviceFailureError())
    made = await bench()
    unit.input[SYSTEM_STATE] = STANDBY
    await made.poll()
    unit.on_write(lambda _: unit.input.update({SYSTEM_STATE: FAULT}))
    with made.clock.pauses(), pytest.raises(RefusedError, match=Refusal.FAULT):
        await made.controller.async_set_work_state(WorkState.START)
    assert START not in made.written


# H6: changing one thing changes nothing else


@pytest.mark.parametrize("var", [3000, 0])
async def test_h6_change_without_a_lease_leaves_another_system_alone(
    bench: MakeBench, unit: MockModbusUnit, var: float
) -> None:
    """Also a change to 0, which would otherwise be a release."""
    made = await bench()
    unit.holding[ACTIVE_SETPOINT] = word(30_000)
    made.clock.now += 11
    with pytest.raises(RefusedError, match=Refusal.FOREIGN_SETPOINT):
        await made.change(var=var)
    assert made.written == []


async def test_h6_change_under_a_lease_is_not_refused_for_a_foreign_value(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """Once is no other system at work, and the setpoint is ours."""
    made = await bench()
    await made.power(20_000)
    unit.holding[ACTIVE_SETPOINT] = word(-50_000)
    await made.device.async_read(("total_setpoints",))
    await made.change(watts=10_000)
    assert made.holds(10_000)


async def test_h6_change_to_zero_without_anything_is_a_release(bench: MakeBench) -> None:
    """Nothing else could be meant."""
    made = await bench()
    await made.change(watts=0)
    assert made.written == ZERO


# H7: a silent setting block is only itself


async def test_h7_stop_setpoints_and_release_work_where_nothing_can_be_read(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """Only the input blocks have to answer."""
    for address in (WORK_STATE, ACTIVE_SETPOINT, ACTIVE_SETPOINT_L1):
        unit.fail_read(address, ServerDeviceFailureError())
    made = await bench()
    await made.power(20_000)
    await made.poll(3)
    assert made.holds(20_000)
    await made.controller.async_release()
    await made.controller.async_set_work_state(WorkState.STOP)
    assert made.holds(0)
    assert made.written[-1] == STOP
    await made.poll(12)
    assert not made.busy()


async def test_h7_reset_ends_by_time_where_nothing_can_be_read(bench: MakeBench, unit: MockModbusUnit) -> None:
    """No reading changes meanwhile, and the cycle goes on all the same."""
    for address in SETTING_BLOCKS:
        unit.fail_read(address, IllegalDataAddressError())
    unit.input[ERROR_CODE] = 7
    made = await bench()
    await made.controller.async_begin_reset(forced=False)
    await made.poll(25)
    assert made.written == [RESET, (ERROR_RESET, [0])]
    assert made.controller.resetting.settled


async def test_h7_setpoints_that_cannot_be_read_refuse_no_change(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It is unknown whether another system set them."""
    unit.fail_read(ACTIVE_SETPOINT, ServerDeviceFailureError())
    made = await bench()
    await made.change(watts=20_000)
    assert made.holds(20_000)


async def test_h7_failed_input_block_does_not_keep_a_zero_from_being_delivered(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """The setpoints say whether it is."""
    made = await bench()
    await made.power(20_000)
    unit.fail_read(BATTERY_BLOCK, ServerDeviceFailureError(), register_type="input")
    await made.poll(20)
    assert made.controller.lease.last_end is End.STALE_DATA
    assert made.holds(0)
    assert not made.busy()


# H8: no exception leaves a debt unpaid or unsaid


async def test_h8_unexpected_error_in_a_write(
    bench: MakeBench, unit: MockModbusUnit, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends the lease, zero is owed, and the log says so."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(ACTIVE_SETPOINT, RuntimeError("unexpected"))
    await made.poll()
    assert made.controller.lease.last_end is End.WRITE_FAILED
    assert "RuntimeError: unexpected" in caplog.text
    assert made.controller.lease.debt is not None
    unit.fail_write(ACTIVE_SETPOINT, None)
    await made.poll(2)
    assert made.holds(0)


async def test_h8_unexpected_error_in_planning(bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    """Power does not stay on because nothing can be decided, and the log says why it ended."""
    made = await bench()
    await made.power(20_000)

    def broken(*_: object) -> None:
        raise RuntimeError

    made.controller._plan = broken  # type: ignore[assignment]
    await made.poll(2)
    assert made.holds(0)
    assert made.controller.lease.last_end is End.WRITE_FAILED
    assert "Unexpected error in control" in caplog.text


async def test_h8_listener_that_raises(bench: MakeBench) -> None:
    """It changes nothing."""
    made = await bench()

    def deaf(_: object) -> None:
        raise RuntimeError

    made.controller.report = deaf
    await made.power(20_000)
    await made.see_release()


@pytest.mark.parametrize("awaits", range(12))
async def test_h8_cancelled_command(bench: MakeBench, awaits: int) -> None:
    """At any await: there is a lease with a record, or there is neither, and no power without one."""
    made = await bench()
    command = asyncio.create_task(made.power(20_000))
    for _ in range(awaits):
        await asyncio.sleep(0)
    command.cancel()
    await asyncio.gather(command, return_exceptions=True)
    held = made.controller.lease.lease is not None
    await made.poll(3)
    assert made.holds(20_000 if held else 0)
    assert (made.store.record.zero is not None) is held


@pytest.mark.parametrize("awaits", range(12))
async def test_h8_cancelled_reset(bench: MakeBench, unit: MockModbusUnit, awaits: int) -> None:
    """At any await: it was not begun, or goes on to 0."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    command = asyncio.create_task(made.controller.async_begin_reset(forced=False))
    for _ in range(awaits):
        await asyncio.sleep(0)
    command.cancel()
    await asyncio.gather(command, return_exceptions=True)
    await made.poll(5)
    count = made.controller.resetting.resets.count
    assert made.taken() == [RESET, (ERROR_RESET, [0])] * count
    assert made.store.record == Record(last_reset=made.store.record.last_reset, resets=count)


# H9: the record is right at every await


async def test_h9_renewed_lease_costs_no_write_of_the_file(bench: MakeBench) -> None:
    """Nor does one with less power."""
    made = await bench()
    await made.power(20_000)
    saves = made.store.saves
    for watts in (20_000, 10_000, 15_000):
        await made.power(watts)
        await made.poll(2)
    assert made.store.saves == saves


async def test_h9_refused_replacement_is_not_recorded(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Nor is its owner."""
    made = await bench()
    await made.power(20_000, owner="first")
    unit.input[SYSTEM_STATE] = STANDBY
    made.clock.now += 2
    with pytest.raises(RefusedError):
        await made.power(30_000, owner="second")
    assert made.store.record.zero is not None
    assert made.store.record.zero.owner == "first"
    assert made.store.record.zero.ours.upper == (20_000, 0)


async def test_h9_replacement_that_cannot_be_recorded_leaves_the_lease(bench: MakeBench) -> None:
    """The one in force goes on under its owner."""
    made = await bench()
    await made.power(20_000, owner="first")
    made.store.error = OSError("no space left on device")
    with pytest.raises(WriteFailedError, match="not_recorded"):
        await made.power(30_000, owner="second")
    made.store.error = None
    await made.poll(2)
    assert made.holds(20_000)
    assert made.store.record.zero is not None
    assert made.store.record.zero.owner == "first"


FULL_RECORD = Record(
    zero=OWED,
    unknown_zero=True,
    reset_owed=True,
    last_reset=1_800_000_000.0,
    resets=2,
    fault_recovery=True,
    stopped=True,
    smoke=True,
    soc_protection=True,
    soc_state=SocState.FULL,
)


def test_h9_record_survives_its_file() -> None:
    """All of it; and a file that says nothing is an empty one."""
    assert Record.from_dict(json.loads(json.dumps(FULL_RECORD.as_dict()))) == FULL_RECORD
    assert Record.from_dict({}) == Record()


def test_h9_unknown_keys_are_kept() -> None:
    """A newer file survives an older release."""
    stored = FULL_RECORD.as_dict() | {"of_the_future": [1, 2]}
    assert Record.from_dict(stored).as_dict() == stored


@pytest.mark.parametrize(
    "stored",
    [
        {"zero": 5},
        {"zero": {"lower": [0], "upper": [0], "owner": "", "taken_at": 0}},
        {"zero": {"lower": [0, "x"], "upper": [0, 0], "owner": "", "taken_at": 0}},
        {"zero": {"lower": [0, math.nan], "upper": [0, 0], "owner": "", "taken_at": 0}},
        {"zero": {"lower": [0, True], "upper": [0, 0], "owner": "", "taken_at": 0}},
        {"reset_owed": "yes"},
        {"soc_state": "unheard_of"},
        {"unknown_zero": True},
    ],
)
def test_h9_broken_record_means_an_unknown_debt(stored: dict[str, object]) -> None:
    """Also after it was stored again."""
    record = Record.from_dict(stored)
    assert record.unknown_zero
    assert Record.from_dict(record.as_dict()).unknown_zero


def test_h9_record_of_the_first_release() -> None:
    """Its lease becomes an owed zero, once."""
    record = Record.from_dict({"lease": {"active_power": -5000, "reactive_power": 300, "owner": "user"}})
    assert record == Record(zero=OwedZero(ours=Envelope((-5000, 0), (0, 300)), owner="user", taken_at=0))
    assert record.zero is not None
    assert record.zero.phases == 1
    assert record.as_dict().keys() == Record().as_dict().keys()


@pytest.mark.parametrize(("held", "told"), [(0, EventKind.ZERO_PAID), (20_000, EventKind.ZERO_UNPAID)])
async def test_h9_unknown_debt_is_compared_and_reported(
    bench: MakeBench, unit: MockModbusUnit, held: float, told: EventKind
) -> None:
    """Nothing is written: the origin of the setpoint is unknown."""
    unit.holding[ACTIVE_SETPOINT] = word(held)
    made = await bench(record=Record(unknown_zero=True))
    await made.poll(12)
    assert made.written == []
    assert made.told(told) == [{"held": held} if held else {"found": "zero"}]
    assert made.store.record == Record()


async def test_h9_record_of_a_command_that_failed_is_written_again(bench: MakeBench) -> None:
    """Nobody knows how much of it the disk has."""
    made = await bench()
    made.store.error = OSError("no space left on device")
    with pytest.raises(WriteFailedError, match="not_recorded"):
        await made.power(20_000)
    assert made.busy()
    made.store.error = None
    await made.poll()
    assert made.store.saves == 1
    assert not made.busy()


async def test_h9_debt_keeps_the_time_at_which_it_was_taken(bench: MakeBench) -> None:
    """However often it grows."""
    made = await bench()
    began = made.clock.moment().wall
    await made.power(10_000)
    await made.poll(5)
    await made.power(20_000)
    assert made.store.record.zero is not None
    assert made.store.record.zero.taken_at == began
    made.unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    made.unit.holding[ACTIVE_SETPOINT] = word(-30_000)
    await made.device.async_read(("total_setpoints",))
    with pytest.raises(WriteFailedError):
        await made.controller.async_release()
    await made.poll()
    assert (made.store.record.zero.taken_at, made.store.record.zero.ours.lower) == (began, (-30_000, 0))


async def test_h9_user_may_release_while_an_unknown_debt_is_open(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Before the setpoints could be compared."""
    unit.holding[ACTIVE_SETPOINT] = word(20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    made = await bench(record=Record(unknown_zero=True))
    unit.fail_requests(None)
    await made.controller.async_release()
    assert made.holds(0)
    await made.poll()
    assert made.store.record == Record()


async def test_h9_failed_record_is_written_again(bench: MakeBench) -> None:
    """Until it is right."""
    made = await bench()
    await made.power(20_000)
    made.store.error = OSError("no space left on device")
    await made.controller.async_release()
    await made.poll(20)
    assert made.store.record.zero is not None
    assert made.busy()
    made.store.error = None
    await made.poll()
    assert made.store.record == Record()
    assert not made.busy()


# H10: both clocks count


async def test_h10_clock_on_the_wall_does_not_hasten_a_reset(bench: MakeBench) -> None:
    """The 30 s and the two hours are counted on the monotonic clock too."""
    made = await bench()
    await recovering(made)
    made.clock.ahead += 7200
    await made.poll(20)
    assert RESET not in made.written


async def test_h10_two_hours_between_resets_on_both_clocks(bench: MakeBench) -> None:
    """A clock that is set forward permits no second one."""
    made = await bench()
    await recovering(made)
    await made.poll(60)
    assert made.written.count(RESET) == 1
    made.clock.ahead += 7300
    await made.poll(60)
    assert made.written.count(RESET) == 1


async def test_h10_lease_ends_in_time_although_the_computer_slept(bench: MakeBench) -> None:
    """The clock on the wall counts for its end."""
    made = await bench()
    await made.power(20_000, duration_s=30)
    made.clock.ahead += 60
    await made.poll()
    assert made.controller.lease.last_end is End.EXPIRED


async def test_h10_sleep_interrupts_a_lease(bench: MakeBench) -> None:
    """Nobody has looked after the device meanwhile."""
    made = await bench()
    await made.power(20_000)
    made.clock.ahead += 60
    await made.poll()
    assert made.controller.lease.last_end is End.INTERRUPTED


# H11: what is asked together falls together


async def test_h11_no_reactive_power_where_active_power_is_forced_to_zero(
    bench: MakeBench, unit: MockModbusUnit
) -> None:
    """A reserve that is reached takes both."""
    made = await bench()
    await made.controller.async_switch_soc_protection(SocSettings())
    unit.input[SOC] = 10
    await made.poll()
    await made.power(20_000, 50_000)
    assert made.holds(0, 0)


async def test_h11_unknown_state_of_charge_permits_no_power(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Neither a discharge nor a charge can be judged."""
    made = await bench()
    await made.controller.async_switch_soc_protection(SocSettings())
    unit.input[SOC] = 65_535
    await made.poll()
    for watts in (20_000, -20_000):
        await made.power(watts)
        assert made.controller.decision.limit is Limit.SOC_UNKNOWN
        assert made.holds(0)


async def test_h11_protection_keeps_its_state_over_a_restart(bench: MakeBench, unit: MockModbusUnit) -> None:
    """12 % after 10 % is not discharged again."""
    made = await bench()
    await made.controller.async_switch_soc_protection(SocSettings())
    unit.input[SOC] = 10
    await made.poll(2)
    made.restart()
    made.controller.soc_settings = SocSettings()
    unit.input[SOC] = 12
    await made.poll(2)
    await made.power(20_000)
    assert made.controller.decision.limit is Limit.SOC_RESERVE


async def test_h11_reactive_power_alone_charges_nothing(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Not even below the charge limit."""
    made = await bench()
    await made.controller.async_switch_soc_protection(SocSettings())
    unit.input[SOC] = 5
    await made.poll(3)
    await made.power(0, 500)
    assert made.holds(0, 500)


# H12: small ones


async def test_h12_reset_without_effect_blocks_no_other(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A device that was busy has reset nothing."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    unit.fail_write(ERROR_RESET, ServerDeviceBusyError())
    with pytest.raises(WriteFailedError):
        await made.controller.async_begin_reset(forced=False)
    assert made.controller.resetting.settled
    unit.fail_write(ERROR_RESET, None)
    await made.controller.async_begin_reset(forced=False)


async def test_h12_timeout_of_a_gateway_is_an_unanswered_write(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The 1 may have arrived, so 0 is owed although the next try was rejected."""
    unit.input[ERROR_CODE] = 7
    made = await bench()
    unit.fail_write(ERROR_RESET, GatewayTargetError())
    with pytest.raises(WriteFailedError, match="unreachable"):
        await made.controller.async_begin_reset(forced=False)
    unit.holding[ERROR_RESET] = 1
    unit.fail_write(ERROR_RESET, ServerDeviceBusyError())
    await made.poll()
    unit.fail_write(ERROR_RESET, None)
    await made.poll(3)
    assert unit.holding[ERROR_RESET] == 0
    assert made.controller.resetting.resets.count == 1


async def test_h12_leftover_of_reactive_power_counts(bench: MakeBench, unit: MockModbusUnit) -> None:
    """It is a setpoint like the other."""
    made = await bench()
    unit.holding[REACTIVE_SETPOINT] = word(5000)
    made.clock.now += 11
    with pytest.raises(RefusedError, match=Refusal.FOREIGN_SETPOINT):
        await made.change(watts=1000)


@pytest.mark.parametrize("seconds", [0.3, 0.85])
async def test_h12_slow_link_ends_no_lease(
    bench: MakeBench, unit: MockModbusUnit, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Each request takes that long; the readings that a cycle decides on are its last requests."""
    made = await bench()

    def slowed(send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def slow(*args: Any) -> Any:
            clock.now += seconds
            return await send(*args)

        return slow

    for name in ("read_input_registers", "read_holding_registers", "write_registers"):
        monkeypatch.setattr(unit, name, slowed(getattr(unit, name)))
    await made.power(20_000)
    await made.poll(60)
    assert made.controller.lease.lease is not None
    assert made.holds(20_000)


async def test_h12_every_setpoint_has_an_end(bench: MakeBench) -> None:
    """The longest hold; a longer duration is refused."""
    made = await bench(settings=replace((await bench()).controller.settings, longest_hold_s=600))
    for wrong in (0.0, 601.0, math.nan):
        with pytest.raises(OutOfRangeError, match="duration"):
            await made.power(20_000, duration_s=wrong)
    assert made.written == []
    await made.power(20_000)
    await made.poll(600)
    assert made.controller.lease.last_end is End.EXPIRED


# The guard


async def test_guard_is_started_before_power_and_ended_when_zero_is_paid(bench: MakeBench) -> None:
    """Not for a zero."""
    guard = FakeGuard()
    made = await bench(guard=guard)
    guard.log.clear()
    await made.power(0)
    assert guard.log == []
    await made.poll(2)
    guard.log.clear()
    made.unit.on_write(lambda _: guard.log.append("write"))
    await made.power(20_000)
    assert guard.log == ["start", "write"]
    await made.poll(3)
    assert "paid" not in guard.log
    made.unit.fail_write(ACTIVE_SETPOINT, ModbusTimeoutError("late"))
    with pytest.raises(WriteFailedError):
        await made.controller.async_release()
    await made.poll(3)
    assert "paid" not in guard.log
    made.unit.fail_write(ACTIVE_SETPOINT, None)
    await made.poll(2)
    assert "paid" in guard.log


async def test_guard_hears_of_us_before_and_after_what_may_take_time(bench: MakeBench) -> None:
    """In every cycle, and at every step of the way out."""
    guard = FakeGuard()
    made = await bench(guard=guard)
    await made.power(20_000)
    guard.beat = lambda: guard.log.append("beat")  # type: ignore[method-assign]
    made.unit.on_write(lambda _: guard.log.append("write"))
    guard.log.clear()
    await made.poll()
    assert guard.log == ["beat", "start", "write", "beat"]
    guard.log.clear()
    await made.shut_down()
    assert "beat" in guard.log


async def test_guard_that_cannot_be_started_is_reported_once(bench: MakeBench) -> None:
    """The lease is taken all the same."""
    guard = FakeGuard()
    guard.starts = False
    made = await bench(guard=guard)
    await made.power(20_000)
    await made.poll(3)
    assert made.holds(20_000)
    assert guard.log.count("start") == 1
    await made.poll(60)
    assert guard.log.count("start") == 2, "it is tried again after a minute"
    assert made.told(EventKind.GUARD_MISSING) == [{}]
    guard.starts = True
    await made.poll(60)
    guard.starts = False
    await made.poll()
    assert len(made.told(EventKind.GUARD_MISSING)) == 2


async def test_guard_that_acted_ends_the_lease(bench: MakeBench) -> None:
    """Also if a command comes first."""
    guard = FakeGuard()
    made = await bench(guard=guard)
    await made.power(20_000)
    guard.acted = "report"
    with pytest.raises(RefusedError, match=Refusal.ZERO_OWED):
        await made.power(10_000)
    await made.poll()
    assert made.controller.lease.last_end is End.GUARD_ACTED
    assert made.holds(0)
    await made.poll(2)
    await made.power(10_000)


async def test_guard_that_acts_before_the_write_stops_it(bench: MakeBench) -> None:
    """In the middle of a command."""
    guard = FakeGuard()
    made = await bench(guard=guard)

    async def keep(record: Record) -> None:
        guard.acted = "report"

    made.controller.ledger._keep = keep
    with pytest.raises(RefusedError, match=Refusal.ZERO_OWED):
        await made.power(20_000)
    assert not [one for one in made.written if one[1] != [0]]


async def test_guard_takes_over_what_the_way_out_could_not_pay(bench: MakeBench, unit: MockModbusUnit) -> None:
    """And ends otherwise."""
    guard = FakeGuard()
    made = await bench(guard=guard)
    await made.power(20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    guard.log.clear()
    await made.shut_down()
    assert guard.log == ["abandon"]


async def test_dry_run_of_power_that_is_no_number(bench: MakeBench) -> None:
    """It is an error, as it is for a command."""
    made = await bench()
    with pytest.raises(ValueError, match="finite"):
        made.controller.plan(Power.total(math.nan, 0, 1))
