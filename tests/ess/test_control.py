"""The controller: leases, their ends, and everything that is written, over a device in memory."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from modbus_connection import ModbusConnectionError, ModbusError, ModbusTimeoutError, ServerDeviceFailureError
from modbus_connection.mock import MockModbusUnit, WriteEvent

from custom_components.refu_ess.ess import (
    Controller,
    ControlSettings,
    Event,
    Limit,
    OperationMode,
    Power,
    Recovery,
    RefuEss,
    RefusedError,
    Resets,
    SocSettings,
    WorkState,
    WriteFailedError,
)
from custom_components.refu_ess.ess.control import End

from .conftest import Clock

RUNNING = {0x11A: 1000, 0x11B: 1000, 0x11E: 7680, 0x124: 900, 0x125: 800}
SHORT = ControlSettings(start_delay_s=0, ramp_w_per_s=1_000_000)


class Bench:
    """A controller on a device in memory, polled every second."""

    def __init__(
        self,
        unit: MockModbusUnit,
        clock: Clock,
        *,
        settings: ControlSettings = SHORT,
        per_phase: bool = False,
        read_only: bool = False,
        resets: Resets | None = None,
    ) -> None:
        """Read once, so that everything is known."""
        self.unit = unit
        self.clock = clock
        self.written: list[tuple[int, list[int]]] = []
        self.events: list[Event] = []
        unit.on_write(self._note)
        self.device = RefuEss(unit, clock=clock)
        self.controller = Controller(
            self.device,
            clock=clock,
            wall_clock=clock,
            settings=settings,
            per_phase=per_phase,
            read_only=read_only,
            resets=resets,
            report=self.events.append,
        )

    def _note(self, event: WriteEvent) -> None:
        assert event.function_code == 16
        self.written.append((event.address, [int(value) for value in event.values]))

    async def poll(self, times: int = 1) -> None:
        """Poll every second, as the coordinator does."""
        for _ in range(times):
            self.clock.now += 1
            with suppress(ModbusError):
                await self.device.async_poll(also=self.controller.blocks_to_read)
            await self.controller.async_cycle()

    async def power(self, watts: float, var: float = 0, duration_s: float | None = None) -> None:
        """Ask for a total."""
        asked = Power.total(watts, var, self.controller.phases)
        await self.controller.async_set_power(asked, owner="person", duration_s=duration_s)

    def told(self, kind: str) -> list[dict[str, object]]:
        """Return the details of the events of a kind."""
        return [event.details for event in self.events if event.kind == kind]


type MakeBench = Callable[..., Awaitable[Bench]]


@pytest.fixture
def bench(unit: MockModbusUnit, clock: Clock) -> MakeBench:
    """Make a bench whose system runs and was seen running."""

    async def make(**options: object) -> Bench:
        unit.input.update(RUNNING)
        made = Bench(unit, clock, **options)  # type: ignore[arg-type]
        await made.poll(2)
        return made

    return make


async def test_nothing_is_written_unasked(bench: MakeBench) -> None:
    """Polling writes nothing, however long."""
    made = await bench()
    await made.poll(200)
    assert made.written == []
    assert made.controller.decision.limit is Limit.NOTHING_ASKED


async def test_lease_is_sent_at_once_and_every_second(bench: MakeBench) -> None:
    """20 kW of charging are 0xFF38 in 0x203, and 0 in 0x207, at once and at every cycle."""
    made = await bench()
    await made.power(-20_000)
    assert made.written == [(0x203, [0xFF38]), (0x207, [0])]
    await made.poll(3)
    assert made.written == [(0x203, [0xFF38]), (0x207, [0])] * 4
    assert made.controller.blocks_to_read == ("commands", "total_setpoints", "phase_setpoints")
    assert made.told("lease_taken") == [{"owner": "person", "asked": -20_000, "applied": -20_000}]


async def test_per_phase(bench: MakeBench) -> None:
    """With the setpoints per phase 0x204 and 0x208 are written, three at a time, and the totals never."""
    made = await bench(per_phase=True)
    await made.power(20_000, 300)
    await made.controller.async_release()
    assert made.written == [(0x204, [67, 67, 66]), (0x208, [1, 1, 1]), (0x204, [0, 0, 0]), (0x208, [0, 0, 0])]


@pytest.mark.parametrize("way", ["release", "zero"])
async def test_release(bench: MakeBench, way: str) -> None:
    """Releasing, and asking for zero, write zero once, and nothing after that."""
    made = await bench()
    await made.power(20_000)
    made.written.clear()
    await (made.controller.async_release() if way == "release" else made.power(0))
    await made.poll(20)
    assert made.written == [(0x203, [0]), (0x207, [0])]
    assert made.controller.last_end is End.RELEASED
    assert not made.controller.busy


async def test_duration(bench: MakeBench) -> None:
    """A lease ends by itself, with zero."""
    made = await bench()
    await made.power(20_000, duration_s=10)
    await made.poll(9)
    assert made.controller.lease is not None
    await made.poll()
    assert made.controller.last_end is End.EXPIRED
    assert made.written[-2:] == [(0x203, [0]), (0x207, [0])]


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ({0x101: 0x601}, End.FAULT),
        ({0x140: 1 << 8}, End.FAULT),
        ({0x100: 5}, End.FAULT),
        ({0x11C: 5}, End.FAULT),
        ({0x100: 3}, End.SYSTEM_STATE),
        ({0x100: 77}, End.SYSTEM_STATE),
    ],
)
async def test_ends_by_itself(bench: MakeBench, unit: MockModbusUnit, words: dict[int, int], end: End) -> None:
    """A fault, and a system that no longer runs, end the lease; it does not come back with them gone."""
    made = await bench()
    await made.power(20_000)
    before = {address: unit.input.get(address, 0) for address in words}
    unit.input.update(words)
    await made.poll()
    assert made.controller.last_end is end
    unit.input.update(before)
    made.written.clear()
    await made.poll(60)
    assert made.written == []


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ({0x11C: 1}, Limit.BATTERY_STATE),
        ({0x11D: 1}, Limit.BATTERY_MODE),
        ({0x12F: 1}, Limit.STOP_REQUEST),
        ({0x101: 0x400}, Limit.NOT_READY),
    ],
)
async def test_holds_zero_meanwhile(
    bench: MakeBench, unit: MockModbusUnit, words: dict[int, int], limit: Limit
) -> None:
    """What may pass keeps the lease at zero and says why."""
    made = await bench()
    await made.power(20_000)
    before = {address: unit.input.get(address, 0) for address in words}
    unit.input.update(words)
    await made.poll(3)
    assert made.written[-2:] == [(0x203, [0]), (0x207, [0])]
    assert made.controller.limit is limit
    unit.input.update(before)
    await made.poll()
    assert made.written[-2] == (0x203, [200])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({0x100: 3}, "system_state"),
        ({0x101: 0x601}, "fault"),
        ({0x11C: 1}, "battery_state"),
        ({0x11D: 1}, "battery_mode"),
        ({0x12F: 1}, "stop_request"),
        ({0x101: 0}, "not_ready"),
        ({0x202: 1}, "operation_mode"),
        ({0x205: 10}, "other_setpoints"),
    ],
)
async def test_refused_aloud(bench: MakeBench, unit: MockModbusUnit, words: dict[int, int], reason: str) -> None:
    """Where nothing could be delivered a command is refused, and nothing is written."""
    made = await bench()
    for address, word in words.items():
        (unit.holding if address >= 0x200 else unit.input)[address] = word
    await made.device.async_poll(also=("commands", "phase_setpoints"))
    with pytest.raises(RefusedError) as refused:
        await made.power(20_000)
    assert refused.value.reason == reason
    assert made.written == []
    assert made.controller.lease is None


async def test_mains(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Mains not OK refuses only once the place of its bit is proven."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_release()
    for _ in range(2):
        await made.poll()
    unit.input[0x103] = 0x3C07
    await made.poll()
    with pytest.raises(RefusedError, match="mains"):
        await made.power(20_000)


async def test_old_data_is_refused(bench: MakeBench, clock: Clock) -> None:
    """What was read more than 5 s ago commands nothing."""
    made = await bench()
    clock.now += 6
    with pytest.raises(RefusedError, match="stale_data"):
        await made.power(20_000)


@pytest.mark.parametrize("error", [ModbusConnectionError("gone"), ModbusTimeoutError("late")])
async def test_lost_device(bench: MakeBench, unit: MockModbusUnit, error: ModbusError) -> None:
    """After 5 s without data the lease is over; zero is written as soon as the device answers, and nothing else."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(error)
    await made.poll(5)
    assert made.controller.lease is not None
    await made.poll(1)
    assert made.controller.last_end is End.STALE_DATA
    assert made.controller.busy
    assert not made.told("write_failed")
    unit.fail_requests(None)
    made.written.clear()
    await made.poll(20)
    assert made.written == [(0x203, [0]), (0x207, [0])]
    assert not made.controller.busy


async def test_short_loss(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A device that is back within 5 s goes on with what it was told; nothing is sent while it is out of sight."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(ModbusTimeoutError("late"))
    made.written.clear()
    await made.poll(3)
    assert made.written == []
    unit.fail_requests(None)
    await made.poll(1)
    assert made.written == [(0x203, [200]), (0x207, [0])]


async def test_write_that_gets_lost(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A write that gets no answer ends no lease by itself; asked by a person it is an error."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(0x207, ModbusTimeoutError("late"))
    await made.poll()
    assert made.controller.lease is not None
    with pytest.raises(WriteFailedError, match="no_connection"):
        await made.power(10_000)
    assert made.controller.lease is None


async def test_lost_device_that_somebody_else_took(bench: MakeBench, unit: MockModbusUnit) -> None:
    """If the setpoint is somebody else's when the device is back, it is left alone."""
    made = await bench()
    await made.power(20_000)
    unit.fail_requests(ModbusConnectionError("gone"))
    await made.poll(10)
    unit.fail_requests(None)
    unit.holding[0x203] = 77
    made.written.clear()
    await made.poll(20)
    assert made.written == []
    assert len(made.told("foreign_writer")) == 1


async def test_foreign_writer(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A setpoint that reads back different twice is somebody else's: let go, tell, write nothing."""
    made = await bench()
    await made.power(20_000)
    await made.poll(2)
    unit.on_write(lambda _: unit.holding.update({0x203: 50}))
    unit.holding[0x203] = 50
    await made.poll(1)
    assert made.controller.lease is not None
    await made.poll(1)
    assert made.controller.last_end is End.FOREIGN_WRITER
    assert made.told("foreign_writer") == [{"held": 5000}]
    made.written.clear()
    await made.poll(20)
    assert made.written == []


async def test_unreadable_setpoints_go_on_without(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A device that does not tell its setpoints is commanded without reading back."""
    unit.fail_read(0x203, ServerDeviceFailureError())
    made = await bench()
    await made.power(20_000)
    await made.poll(5)
    assert made.controller.held() is None
    assert made.controller.lease is not None


async def test_refused_write(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A write that the device refuses is told and ends the lease; zero stays owed."""
    made = await bench()
    unit.fail_write(0x203, ServerDeviceFailureError())
    with pytest.raises(WriteFailedError):
        await made.power(20_000)
    assert made.controller.last_end is End.WRITE_FAILED
    assert made.told("write_failed")
    with pytest.raises(WriteFailedError):
        await made.controller.async_release()
    unit.fail_write(0x203, None)
    await made.poll()
    assert made.written[-2:] == [(0x203, [0]), (0x207, [0])]
    assert not made.controller.busy


async def test_write_refused_in_a_cycle(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The same in the middle of a lease."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(0x207, ServerDeviceFailureError())
    await made.poll()
    assert made.controller.last_end is End.WRITE_FAILED


async def test_not_delivered(bench: MakeBench, unit: MockModbusUnit) -> None:
    """Power that stays away from what is sent for 15 s is a reason of its own, and back it is none."""
    made = await bench()
    await made.power(20_000)
    unit.input[0x10D] = 200
    await made.poll(20)
    assert made.controller.limit is Limit.NONE
    unit.input[0x10D] = 0
    await made.poll(15)
    assert made.controller.limit is Limit.NONE
    await made.poll(2)
    assert made.controller.limit is Limit.NOT_DELIVERED
    unit.input[0x10D] = 185
    await made.poll()
    assert made.controller.limit is Limit.NONE


async def test_ramp_begins_when_the_start_is_seen(unit: MockModbusUnit, clock: Clock) -> None:
    """30 s after the system was first seen running power rises by 1 kW a second."""
    unit.input.update(RUNNING)
    made = Bench(unit, clock, settings=ControlSettings())
    await made.poll()
    await made.power(5000)
    assert made.controller.limit is Limit.RAMP
    await made.poll(33)
    sent = [words[0] for address, words in made.written if address == 0x203]
    assert sent == [0] * 31 + [10, 20, 30]


@pytest.mark.parametrize("failing", [False, True])
async def test_shut_down(bench: MakeBench, unit: MockModbusUnit, failing: bool) -> None:
    """Shutting down writes zero, takes no command any more, and never raises."""
    made = await bench()
    await made.power(20_000)
    made.written.clear()
    if failing:
        unit.fail_requests(ModbusConnectionError("gone"))
    await made.controller.async_shut_down()
    assert made.written == ([] if failing else [(0x203, [0]), (0x207, [0])])
    with pytest.raises(RefusedError, match="shutting_down"):
        await made.power(20_000)
    unit.fail_requests(None)
    made.written.clear()
    await made.poll(10)
    await made.controller.async_shut_down()
    assert made.written == ([(0x203, [0]), (0x207, [0])] if failing else [])


async def test_shut_down_without_a_lease(bench: MakeBench) -> None:
    """Where nothing is held nothing is written."""
    made = await bench()
    await made.controller.async_shut_down()
    assert made.written == []


async def test_read_only(bench: MakeBench) -> None:
    """Read-only refuses every command and writes nothing."""
    made = await bench(read_only=True)
    made.controller.recovery = Recovery()

    async def never() -> None:
        raise AssertionError

    for command in (
        made.power(20_000),
        made.controller.async_release(),
        made.controller.async_set_work_state(WorkState.STOP),
        made.controller.async_set_operation_mode(OperationMode.PQ_SET_POINT),
        made.controller.async_reset_error(never, forced=True),
    ):
        with pytest.raises(RefusedError, match="read_only"):
            await command
    await made.poll(10)
    assert made.written == []


async def test_start_and_stop(bench: MakeBench, unit: MockModbusUnit) -> None:
    """START is written in Standby alone, STOP always, and STOP ends the lease first."""
    made = await bench()
    with pytest.raises(RefusedError, match="not_standby"):
        await made.controller.async_set_work_state(WorkState.START)
    await made.power(20_000)
    made.written.clear()
    await made.controller.async_set_work_state(WorkState.STOP)
    assert made.written == [(0x203, [0]), (0x207, [0]), (0x200, [0])]
    unit.input[0x100] = 3
    await made.poll()
    await made.controller.async_set_work_state(WorkState.START)
    assert made.written[-1] == (0x200, [1])
    await made.controller.async_set_work_state(WorkState.STOP)
    assert made.written[-2:] == [(0x200, [1]), (0x200, [0])]
    unit.input[0x13F] = 1  # a bit that nobody described
    await made.poll()
    with pytest.raises(RefusedError, match="fault"):
        await made.controller.async_set_work_state(WorkState.START)


async def test_operation_mode(bench: MakeBench) -> None:
    """Another mode than P/Q ends the lease first."""
    made = await bench()
    await made.controller.async_set_operation_mode(OperationMode.PQ_SET_POINT)
    await made.power(20_000)
    made.written.clear()
    await made.controller.async_set_operation_mode(OperationMode.IAC_COS_PHI_SET_POINT)
    assert made.written == [(0x203, [0]), (0x207, [0]), (0x202, [1])]


async def test_error_reset(bench: MakeBench, unit: MockModbusUnit) -> None:
    """1 is written and read back, then 0; a second reset within two hours is refused unless forced."""
    made = await bench()

    async def poll() -> None:
        made.clock.now += 1
        await made.device.async_read(("commands",))

    await made.controller.async_reset_error(poll, forced=False)
    assert made.written == [(0x201, [1]), (0x201, [0])]
    assert made.controller.next_reset == made.controller.resets.last + 7200  # type: ignore[operator]
    with pytest.raises(RefusedError, match="reset_too_soon"):
        await made.controller.async_reset_error(poll, forced=False)
    await made.controller.async_reset_error(poll, forced=True)
    assert made.controller.resets.count == 2
    unit.on_write(lambda _: unit.holding.update({0x201: 0}))
    with pytest.raises(WriteFailedError) as failed:
        await made.controller.async_reset_error(poll, forced=True)
    assert failed.value.reason == "reset_not_taken"
    assert made.written[-1] == (0x201, [0])


@pytest.mark.parametrize("way", ["cycle", "shut_down"])
async def test_reset_is_never_left_at_one(bench: MakeBench, unit: MockModbusUnit, way: str) -> None:
    """A 0 that could not be written is written as soon as the device takes it."""
    made = await bench()

    async def lose() -> None:
        unit.fail_requests(ModbusConnectionError("gone"))

    with pytest.raises(WriteFailedError, match="no_connection"):
        await made.controller.async_reset_error(lose, forced=False)
    assert made.written == [(0x201, [1])]
    assert made.controller.busy
    await made.poll(3)
    unit.fail_requests(None)
    await (made.poll(5) if way == "cycle" else made.controller.async_shut_down())
    assert made.written == [(0x201, [1]), (0x201, [0])]
    assert not made.controller.busy


async def test_soc_protection(bench: MakeBench, unit: MockModbusUnit) -> None:
    """At the minimum nothing is discharged, below the charge limit a fifth is charged, until the minimum is passed."""
    made = await bench()
    made.controller.soc_settings = SocSettings()
    await made.power(20_000)
    found = []
    for soc in (50, 10, 9, 7, 9, 11, 14, 15):
        unit.input[0x121] = soc
        await made.poll(2)
        found.append((made.controller.decision.power.total_active_w, made.controller.limit.value))
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


async def test_dry_run_and_command_agree(bench: MakeBench) -> None:
    """What a plan says is what a command does, and a plan writes nothing."""
    made = await bench()
    asked = Power.total(95_000, 0, 1)
    plan = made.controller.plan(asked)
    assert made.written == []
    assert await made.controller.async_set_power(asked, owner="person") == plan
    assert (plan.power.total_active_w, plan.limit) == (80_000, Limit.BATTERY_DISCHARGE)


async def test_recovery(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A fault brings zero and STOP, after 30 s one reset, then START from Standby; a second fault waits two hours."""
    made = await bench()
    made.controller.recovery = Recovery()
    unit.holding[0x200] = 1
    await made.poll(2)
    await made.power(20_000)
    made.written.clear()
    unit.input[0x100] = 5
    await made.poll(3)
    assert made.written == [(0x203, [0]), (0x207, [0])] * 2 + [(0x200, [0])]
    made.written.clear()
    await made.poll(35)
    assert made.written == [(0x201, [1]), (0x201, [0])]
    unit.input[0x100] = 1
    await made.poll(3)
    unit.input[0x100] = 3
    await made.poll(3)
    assert made.written[2:] == [(0x200, [1])]
    unit.input[0x100] = 4
    await made.poll(3)
    assert not made.controller.busy
    unit.input[0x100] = 5
    made.written.clear()
    await made.poll(3600)
    assert [address for address, _ in made.written] == [0x203, 0x207, 0x200]
    assert made.controller.resets.count == 1
    assert [event["step"] for event in made.told("recovery")] == ["stop", "start", "stop"]


@pytest.mark.parametrize("state", [5, 1], ids=["in the fault", "on the way up"])
async def test_recovery_does_not_undo_a_stop(bench: MakeBench, unit: MockModbusUnit, state: int) -> None:
    """What a person stops during a recovery stays stopped when the fault is gone."""
    made = await bench()
    made.controller.recovery = Recovery()
    await made.poll(2)
    unit.input[0x100] = 5
    await made.poll(3)
    unit.input[0x100] = state
    await made.poll(2)
    await made.controller.async_set_work_state(WorkState.STOP)
    unit.input[0x100] = 3
    await made.poll(60)
    assert (0x200, [1]) not in made.written


async def test_recovery_goes_on_when_it_cannot_write(bench: MakeBench, unit: MockModbusUnit) -> None:
    """A refused STOP does not stop the recovery."""
    made = await bench()
    made.controller.recovery = Recovery()
    await made.poll(2)
    unit.fail_write(0x200, ServerDeviceFailureError())
    unit.input[0x100] = 5
    await made.poll(40)
    assert (0x201, [1]) in made.written


async def test_writes_are_remembered(bench: MakeBench, unit: MockModbusUnit) -> None:
    """The last writes are there for the diagnostics, those that failed too."""
    made = await bench()
    await made.power(20_000)
    unit.fail_write(0x203, ServerDeviceFailureError())
    await made.poll()
    assert [(write.address, write.outcome) for write in made.device.writes][:3] == [
        (0x203, "done"),
        (0x207, "done"),
        (0x203, "failed"),
    ]


async def test_what_was_written_is_read_back(bench: MakeBench, unit: MockModbusUnit) -> None:
    """After the last write of a lease its registers are read back once, then left alone."""
    made = await bench()
    await made.power(20_000)
    await made.controller.async_release()
    unit.read_events.clear()
    await made.poll(3)
    assert [event.address for event in unit.read_events if event.register_type == "holding"] == [0x203, 0x207]
    assert made.controller.held() == Power.zero(1)


async def test_only_adjacent_registers_share_a_request(device: RefuEss) -> None:
    """A write that would touch a register in between is refused before it is sent."""
    with pytest.raises(ValueError, match="adjacent"):
        await device.async_write("total_setpoints", {"set_active_power": 0, "set_reactive_power": 0})


async def test_reading_a_block_that_fails(device: RefuEss, unit: MockModbusUnit) -> None:
    """A block that is read alone and fails is marked."""
    unit.fail_read(0x200, ModbusTimeoutError("late"))
    await device.async_read(("commands",))
    assert device.work_state is None
    assert device.operation_mode is None
