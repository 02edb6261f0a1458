"""The controller over an unruly device: any order of commands, losses, other systems, crashes and clocks.

Whatever happens, the invariants of the hazards hold. `REFU_ESS_EXAMPLES` sets how many courses are tried,
`REFU_ESS_STEPS` how long each is, and `REFU_ESS_SHRINK` that a failing one is made as short as possible.
"""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings as examples, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modbus_connection import ModbusError, ModbusUnit

from custom_components.refu_ess.ess import (
    Controller,
    ControlSettings,
    Event,
    Moment,
    OperationMode,
    Power,
    Record,
    RefuEss,
    RefusedError,
    SocSettings,
    WorkState,
    WriteFailedError,
)
from custom_components.refu_ess.ess.recovery import Step
from tests.registers import (
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    ERROR_RESET,
    OPERATION_MODE,
    REACTIVE_SETPOINT,
    REACTIVE_SETPOINT_L1,
    RUNNING,
    SOC,
    STANDBY,
    WORK_STATE,
    power_of,
)

from .unruly import COMMANDS, SETPOINTS, UNREADABLE, Author, Trouble, UnrulyEss, Wire
from .virtual_time import VirtualLoop

ORPHANED_S = 15
RESET_LEFT_S = 30
BETWEEN_RESETS_S = 7200
ADDRESSES = {
    1: (ACTIVE_SETPOINT, REACTIVE_SETPOINT),
    3: tuple(start + phase for start in (ACTIVE_SETPOINT_L1, REACTIVE_SETPOINT_L1) for phase in range(3)),
}
"""The registers of the setpoints in use, in the order of `Power.values`."""
IDLE_S = 10
WATTS = st.sampled_from([-100_000, -20_000, -500, 3000, 20_000, 45_600, 100_000])
VARS = st.sampled_from([0, 0, 5000, -20_000])
COMMAND: dict[str, Any] = {
    "kind": st.sampled_from([0, 1, 2, 3, 3, 3, 3]),
    "watts": WATTS,
    "var": VARS,
    "seconds": st.sampled_from([None, 5, 60]),
}
TROUBLE: dict[str, Any] = {
    "skipped": st.integers(0, 14),
    "troubles": st.lists(st.sampled_from(Trouble), min_size=1, max_size=3),
}


class Disk:
    """The record, on a disk that may fail, and may be slow enough to be interrupted on either side of the write."""

    def __init__(self) -> None:
        """Begin with an empty one."""
        self.stored: dict[str, Any] = {}
        self.failing = False

    @property
    def record(self) -> Record:
        """Its content."""
        return Record.from_dict(self.stored)

    async def save(self, record: Record) -> None:
        """Write the record."""
        await asyncio.sleep(0.01)
        if self.failing:
            raise OSError("no space left on device")
        self.stored = record.as_dict()
        await asyncio.sleep(0.01)


class Dog:
    """A guard that acts when it has not been fed for 10 s."""

    def __init__(self, machine: ControlMachine) -> None:
        """Guard the device of a machine."""
        self.machine = machine
        self.acted: object | None = None
        self.awake = False
        self.missing = False
        self._fed = 0.0

    async def async_start(self) -> bool:
        """Wake up."""
        await asyncio.sleep(0)
        if not self.missing and not self.awake:
            self.awake, self._fed = True, self.machine.true_time()
        return self.awake

    def beat(self) -> None:
        """Be fed."""
        self.watch()
        self._fed = self.machine.true_time()

    def watch(self) -> None:
        """Act if the time has come."""
        ess = self.machine.ess
        if self.awake and self.machine.true_time() - self._fed >= 10 and not ess.dead:
            self.awake, self.acted = False, "acted"
            for address in ess.ours():
                ess.put(address, 0)

    async def async_paid(self) -> None:
        """Go to sleep."""
        self.awake, self.acted = False, None

    def abandon(self) -> None:
        """Stay awake alone."""


class ControlMachine(RuleBasedStateMachine):
    """Everything that may happen, in any order."""

    def __init__(self) -> None:
        """Make the world."""
        super().__init__()
        self.loop = VirtualLoop()
        self.slept = 0.0
        self.wall_ahead = 1_800_000_000.0
        self.disk = Disk()
        self.ess = UnrulyEss(self.true_time, on_arrival=self.arrived)
        self.events: list[Event] = []
        self.deaf = False
        self.per_phase = False
        self.recording_lost = False
        """The record was lost or broken while something was owed: it cannot be known."""
        self.foreign_w: float | None = None
        """The values that another system writes every second."""
        self.orphaned_s = 0
        self.reset_left_s = 0
        self.user_starts = False
        self.user_stopped = False
        self.smoked = False
        self.resetting_forced = False
        self.last_reset: Moment | None = None
        self.running = False
        """A run is alive."""

    @initialize(
        per_phase=st.sampled_from([False, False, True]),
        late_s=st.sampled_from([0, 0, 1, 2.5]),
        shape=st.sampled_from(
            [
                lambda watts: watts,
                lambda watts: watts,
                lambda watts: max(-15_000, min(15_000, watts)),
                lambda watts: int(watts / 1000) * 1000,
                lambda watts: watts + (100 if watts > 0 else -100 if watts < 0 else 0),
            ]
        ),
        guarded=st.booleans(),
        recovering=st.booleans(),
    )
    def begin(self, *, per_phase: bool, late_s: float, shape: Any, guarded: bool, recovering: bool) -> None:
        """Choose a device, and start for the first time."""
        self.disk.stored = Record(fault_recovery=recovering).as_dict()
        self.per_phase = per_phase
        self.ess.late_s, self.ess.shape = late_s, shape
        self.guarded = guarded
        self.start()

    # The world

    def true_time(self) -> float:
        """Seconds that go by also while the computer sleeps."""
        return self.loop.time() + self.slept

    def now(self) -> Moment:
        """Both clocks of the computer."""
        return Moment(self.loop.time(), self.true_time() + self.wall_ahead)

    def start(self) -> None:
        """Begin a run with what is on the disk."""
        self.at_start = self.disk.record
        self.commanded = False
        self.wire = Wire(self.ess)
        unit: ModbusUnit = self.wire  # type: ignore[assignment]
        self.device = RefuEss(unit, clock=self.loop.time)
        self.dog = Dog(self)
        self.controller = Controller(
            self.device,
            clock=self.now,
            settings=ControlSettings(start_delay_s=2, ramp_w_per_s=20_000, longest_hold_s=600),
            per_phase=self.per_phase,
            record=self.at_start,
            keep=self.disk.save,
            report=self.report,
            guard=self.dog if self.guarded else None,
        )
        if self.at_start.soc_protection:
            self.controller.soc_settings = SocSettings()
        self.running = True
        if self.last_reset is not None:  # a clock on the wall that was set back since cannot tell
            self.last_reset = Moment(-BETWEEN_RESETS_S, min(self.last_reset.wall, self.now().wall))

    def report(self, event: Event) -> None:
        """Hear an event, or fail to."""
        self.events.append(event)
        if self.deaf:
            raise RuntimeError("deaf")

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a command of a user. It may also raise the unexpected error of a request, if one is to come."""
        self.commanded = True
        unexpected = {RuntimeError} if Trouble.UNEXPECTED in self.ess.troubles else set()
        with suppress(RefusedError, WriteFailedError, *unexpected):
            self.loop.run(coroutine)

    async def poll(self) -> None:
        """Poll as the coordinator does."""
        with suppress(ModbusError, RuntimeError):
            await self.device.async_poll(also=self.controller.blocks_to_read)
        await self.controller.async_cycle()

    async def wait_until(self, at: float) -> None:
        """Wait, unless it is later already."""
        if at > self.loop.time():
            await asyncio.sleep(at - self.loop.time())

    async def live(self, seconds: int) -> None:
        """Let time go by; the controller is polled every second while it is busy."""
        next_poll = self.loop.time()
        for _ in range(seconds):
            await self.wait_until(self.loop.time() + 1)
            if self.foreign_w is not None:
                self.ess.put(ADDRESSES[self.phases][0], self.foreign_w)
            if self.running and (self.controller.busy or self.loop.time() >= next_poll):
                troubled = bool(self.ess.troubles) or self.ess.dead
                began = self.loop.time()
                await self.poll()
                next_poll = began + IDLE_S
                self.count(troubled=troubled, seconds=max(1, round(self.loop.time() - began)))
            self.dog.watch()

    @property
    def phases(self) -> int:
        """The setpoints in use."""
        return 3 if self.per_phase else 1

    # What holds

    def count(self, *, troubled: bool, seconds: int) -> None:
        """Count for how long power of ours has had no holder, and a reset no end, over a working link."""
        held = self.controller.lease.lease is not None
        ours = self.ess.ours()
        if not ours and not self.ess.holding.get(ERROR_RESET) and not self.ess.power_is_coming():
            self.recording_lost = False
        if troubled or self.recording_lost or held or not ours:
            self.orphaned_s = 0
        else:
            self.orphaned_s += seconds
        assert self.orphaned_s <= ORPHANED_S, f"{ours} has had no holder for {self.orphaned_s} s"
        if troubled or self.recording_lost or not self.ess.holding.get(ERROR_RESET):
            self.reset_left_s = 0
        else:
            self.reset_left_s += seconds
        assert self.reset_left_s <= RESET_LEFT_S, "the error reset was left at 1"

    def arrived(self, address: int, words: list[int]) -> None:
        """Hold a write against the rules at the moment it arrives."""
        assert self.running, "a run that is over wrote"
        if address in SETPOINTS:
            self.setpoint_arrived(address, words)
        else:
            assert address in COMMANDS
            assert len(words) == 1
            if address == WORK_STATE and words == [1]:
                self.start_arrived()
            elif address == ERROR_RESET and words == [1]:
                self.reset_arrived()
            elif not self.commanded and address == ERROR_RESET:
                assert self.at_start.reset_owed or self.controller.resetting.resets.last_monotonic is not None
            elif not self.commanded and address == WORK_STATE:
                assert self.controller.recovery is not None
            elif not self.commanded:
                raise AssertionError("the operation mode was written unasked")

    def setpoint_arrived(self, address: int, words: list[int]) -> None:
        """A setpoint is for a lease, which the record covers, or zero, which was asked for or owed."""
        owed = self.at_start.zero
        permitted = set(ADDRESSES[self.phases]) | (set() if owed is None else set(ADDRESSES[owed.phases]))
        for offset, raw in enumerate(words):
            where = address + offset
            assert where in permitted
            if not raw:
                continue
            assert where in ADDRESSES[self.phases]
            assert self.controller.lease.lease is not None, "power without a lease"
            zero = self.disk.record.zero
            assert zero is not None, "power without a record"
            index = ADDRESSES[self.phases].index(where)
            assert zero.ours.lower[index] <= power_of(raw) <= zero.ours.upper[index]
        if not self.commanded and not any(words):
            recovering = self.controller.recovery is not None and self.controller.recovery.step is not Step.WATCHING
            assert owed is not None or recovering

    def start_arrived(self) -> None:
        """START meets no power, and no STOP and no smoke before it."""
        for address in SETPOINTS:
            block = next(one for one in (1, 3) if address in ADDRESSES[one])
            readable = not any(one in self.ess.unreadable for one in ADDRESSES[block])
            still = self.true_time() - self.ess.changed_at.get(address, 0) > 1
            assert not (self.ess.held(address).raw and readable and still), "START met a setpoint"
        if self.user_starts:
            return
        assert self.controller.recovery is not None
        assert not self.user_stopped, "START after a STOP"
        assert not self.smoked, "START after smoke"

    def reset_arrived(self) -> None:
        """At most one reset in two hours, on either clock."""
        if self.ess.holding.get(ERROR_RESET):
            return
        now = self.now()
        if not self.resetting_forced:
            assert not self.smoked or self.commanded
            if self.last_reset is not None:
                assert now.monotonic - self.last_reset.monotonic >= BETWEEN_RESETS_S - 30
                assert now.wall - self.last_reset.wall >= BETWEEN_RESETS_S - 30
        self.last_reset = now

    @invariant()
    def record_covers_what_the_device_holds(self) -> None:
        """A crash at this moment would be paid for at the next start."""
        if not self.running or self.recording_lost:
            return
        zero = self.disk.record.zero
        for address, watts in self.ess.ours().items():
            if self.ess.zero_is_coming(address):
                continue
            assert zero is not None, f"{watts} W in {address:#x} without a record"
            index = ADDRESSES[zero.phases].index(address)
            assert zero.ours.lower[index] - 100 <= watts <= zero.ours.upper[index] + 100

    # Time

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds: int) -> None:
        """Nothing else happens."""
        self.loop.run(self.live(seconds))

    @rule(seconds=st.sampled_from([40, 70, 700, 7300]))
    def much_time_passes(self, seconds: int) -> None:
        """Long enough for resets, timeouts and the longest hold."""
        self.loop.run(self.live(seconds))

    @rule(seconds=st.integers(2, 30))
    def nothing_is_polled(self, seconds: int) -> None:
        """The process hangs."""
        self.loop.run(self.wait_until(self.loop.time() + seconds))
        self.dog.watch()

    @rule(seconds=st.sampled_from([5, 60, 7200]))
    def computer_sleeps(self, seconds: int) -> None:
        """The monotonic clock stands still."""
        self.slept += seconds
        self.ess.settle()

    @rule(seconds=st.sampled_from([-7300, -30, 30, 7300]))
    def clock_is_set(self, seconds: int) -> None:
        """The clock on the wall jumps."""
        self.wall_ahead += seconds

    # Commands

    def command(self, kind: int, watts: float, var: float, seconds: float | None) -> Coroutine[Any, Any, Any]:
        """One of the commands for power."""
        controller = self.controller
        match kind:
            case 0:
                return controller.async_release()
            case 1:
                return controller.async_change_power(
                    lambda power: replace(power, active_w=(watts / power.phases,) * power.phases), owner="number"
                )
            case 2:
                return controller.async_change_power(
                    lambda power: replace(power, reactive_var=(var / power.phases,) * power.phases), owner="number"
                )
            case _:
                asked = Power.total(watts, var, self.phases)
                return controller.async_set_power(asked, owner="user", duration_s=seconds)

    def all_is_well(self) -> None:
        """The system runs, and is seen running."""
        self.ess.dead = self.disk.failing = False
        self.ess.troubles.clear()
        self.foreign_w = None
        if self.ess.input[SOC] != 50:
            self.ess.input[SOC] = 50
        for block in ADDRESSES.values():
            if self.ess.held(block[0]).author is Author.ANOTHER:
                self.ess.put(block[0], 0)
        self.loop.run(self.live(3))
        if self.ess.state != RUNNING:
            self.ess.cure(alone=True)
            self.loop.run(self.live(14))
            if self.ess.state == STANDBY:
                self.ess.start_at_panel()
                self.user_stopped = False
            self.loop.run(self.live(8))

    @precondition(lambda self: self.running)
    @rule(**COMMAND, well=st.booleans())
    def user_commands(self, kind: int, watts: float, var: float, seconds: float | None, *, well: bool) -> None:
        """A command for power runs to its end."""
        if well:
            self.all_is_well()
        self.run(self.command(kind, watts, var, seconds))

    @precondition(lambda self: self.running)
    @rule(**COMMAND, **TROUBLE)
    def command_meets_trouble(
        self, kind: int, watts: float, var: float, seconds: float | None, skipped: int, troubles: list[Trouble]
    ) -> None:
        """At any of its requests, or right after it."""
        self.all_is_well()
        self.ess.troubles.extend([*[None] * skipped, *troubles])
        self.run(self.command(kind, watts, var, seconds))
        self.loop.run(self.live(3))

    @precondition(lambda self: self.running)
    @rule(watts=WATTS, **TROUBLE)
    def release_meets_trouble(self, watts: float, skipped: int, troubles: list[Trouble]) -> None:
        """At any of its requests, or right after it."""
        self.all_is_well()
        self.run(self.command(3, watts, 0, None))
        self.loop.run(self.live(3))
        self.ess.troubles.extend([*[None] * (skipped // 3), *troubles])
        self.run(self.controller.async_release())
        self.loop.run(self.live(2))

    @precondition(lambda self: self.running)
    @rule(skipped=st.integers(0, 12), troubles=st.lists(st.sampled_from([None, *Trouble]), min_size=1, max_size=8))
    def reset_meets_trouble(self, skipped: int, troubles: list[Trouble | None]) -> None:
        """At any of its requests, up to its end."""
        self.all_is_well()
        self.ess.fail()
        self.loop.run(self.live(2))
        self.ess.troubles.extend([*[None] * skipped, *troubles])
        self.resetting_forced = True
        self.run(self.controller.async_begin_reset(forced=True))
        self.smoked = False
        self.loop.run(self.live(4))
        self.resetting_forced = False

    @precondition(lambda self: self.running)
    @rule(
        stopped_after=st.none() | st.integers(0, 60),
        cured_after=st.integers(0, 60),
        alone=st.booleans(),
        smoke_after=st.none() | st.none() | st.integers(0, 60),
        leftover=st.none() | st.none() | WATTS,
    )
    def fault_of_a_running_system(
        self,
        stopped_after: int | None,
        cured_after: int,
        smoke_after: int | None,
        leftover: float | None,
        *,
        alone: bool,
    ) -> None:
        """A recovery, perhaps, with a STOP, smoke or a leftover in between."""
        self.all_is_well()
        self.loop.run(self.live(12))
        self.ess.fail()
        for second in range(75):
            self.loop.run(self.live(1))
            if second == stopped_after:
                self.user_stops_the_system()
            if second == smoke_after and not self.ess.dead:
                self.smoke(on=True)
                self.smoke(on=False)
            if second == cured_after:
                self.ess.cure(alone=alone)
                if leftover is not None:
                    self.ess.put(ADDRESSES[self.phases][0], leftover)

    @precondition(lambda self: self.running)
    @rule(**COMMAND, after=st.integers(0, 60), again=st.booleans())
    def command_is_cancelled(
        self, kind: int, watts: float, var: float, seconds: float | None, after: int, *, again: bool
    ) -> None:
        """At any await, and a second time while it cleans up."""

        async def cancelled() -> None:
            task = asyncio.create_task(self.command(kind, watts, var, seconds))
            await asyncio.sleep(after * 0.005)
            task.cancel()
            if again:
                await asyncio.sleep(0.03)
                task.cancel()
            with suppress(asyncio.CancelledError, RefusedError, WriteFailedError, RuntimeError):
                await task

        self.run(cancelled())

    @precondition(lambda self: self.running)
    @rule(after=st.integers(0, 40))
    def poll_is_cancelled(self, after: int) -> None:
        """At any await."""

        async def cancelled() -> None:
            task = asyncio.create_task(self.poll())
            await asyncio.sleep(after * 0.01)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self.loop.run(cancelled())

    @precondition(lambda self: self.running)
    @rule(**COMMAND)
    def user_commands_during_a_poll(self, kind: int, watts: float, var: float, seconds: float | None) -> None:
        """Commands and cycles are serialized."""

        async def both() -> None:
            poll = asyncio.create_task(self.poll())
            await asyncio.sleep(0.01)
            try:
                await self.command(kind, watts, var, seconds)
            finally:
                await poll

        self.run(both())

    @precondition(lambda self: self.running)
    @rule()
    def user_starts_the_system(self) -> None:
        """START."""
        self.user_starts = True
        self.run(self.controller.async_set_work_state(WorkState.START))
        self.user_starts = False
        self.user_stopped = self.smoked = False

    @precondition(lambda self: self.running)
    @rule()
    def user_stops_the_system(self) -> None:
        """STOP, which may fail and stands all the same."""
        self.run(self.controller.async_set_work_state(WorkState.STOP))
        self.user_stopped = not self.disk.failing

    @precondition(lambda self: self.running)
    @rule(forced=st.booleans())
    def user_resets(self, *, forced: bool) -> None:
        """An error reset."""
        self.resetting_forced = forced
        self.run(self.controller.async_begin_reset(forced=forced))
        self.smoked = False

    @precondition(lambda self: self.running)
    @rule(mode=st.sampled_from(OperationMode))
    def user_sets_the_mode(self, mode: OperationMode) -> None:
        """Another mode."""
        self.run(self.controller.async_set_operation_mode(mode))
        self.loop.run(self.live(1))
        if not self.ess.troubles:
            self.ess.holding[OPERATION_MODE] = 0

    @precondition(lambda self: self.running)
    @rule(on=st.sampled_from([True, True, True, False]))
    def user_switches_the_recovery(self, *, on: bool) -> None:
        """On or off."""
        self.run(self.controller.async_switch_recovery(on=on))

    @precondition(lambda self: self.running)
    @rule(on=st.booleans(), soc=st.sampled_from([3, 9, 50, 100, 65_535]))
    def user_switches_the_protection(self, *, on: bool, soc: int) -> None:
        """On or off, at some state of charge."""
        self.ess.input[SOC] = soc
        self.run(self.controller.async_switch_soc_protection(SocSettings() if on else None))

    # The link and the disk

    @rule(troubles=st.lists(st.sampled_from(Trouble), min_size=1, max_size=12))
    def requests_fail(self, troubles: list[Trouble]) -> None:
        """The next requests do."""
        self.ess.troubles.extend(troubles)

    @rule(skipped=st.integers(0, 8), trouble=st.sampled_from(Trouble))
    def a_later_request_fails(self, skipped: int, trouble: Trouble) -> None:
        """Only the write of a command, for one."""
        self.ess.troubles.clear()
        self.ess.troubles.extend([None] * skipped + [trouble])

    @rule(dead=st.booleans())
    def cable(self, *, dead: bool) -> None:
        """Out or in."""
        self.ess.dead = dead
        self.ess.troubles.clear()

    @rule(
        block=st.sampled_from([ADDRESSES[1], (ACTIVE_SETPOINT_L1, REACTIVE_SETPOINT_L1), (WORK_STATE,)]),
        error=st.sampled_from(UNREADABLE),
        readable=st.booleans(),
    )
    def block_cannot_be_read(self, block: tuple[int, ...], error: type[Exception], *, readable: bool) -> None:
        """It is rejected, or silent, or back."""
        for address in block:
            self.ess.unreadable.pop(address, None)
            if not readable:
                self.ess.unreadable[address] = error

    @rule(failing=st.booleans())
    def disk_fails(self, *, failing: bool) -> None:
        """Or works again."""
        self.disk.failing = failing

    @rule(deaf=st.booleans())
    def listener_fails(self, *, deaf: bool) -> None:
        """Or hears again."""
        self.deaf = deaf

    @rule(missing=st.booleans())
    def guard_cannot_be_started(self, *, missing: bool) -> None:
        """Or can again."""
        self.dog.missing = missing

    # The device and other systems

    @rule()
    def fault(self) -> None:
        """The system faults."""
        self.ess.fail()
        self.loop.run(self.live(2))
        self.ess.cure(alone=False)

    @rule(alone=st.booleans())
    def fault_is_cured(self, *, alone: bool) -> None:
        """The cause is gone."""
        self.ess.cure(alone=alone)
        self.loop.run(self.live(2))

    @precondition(lambda self: self.running and not self.ess.dead)
    @rule(on=st.booleans())
    def smoke(self, *, on: bool) -> None:
        """It is noticed only if it is read."""
        self.ess.smoke(on=on)
        self.ess.troubles.clear()
        before = self.ess.unreadable, self.foreign_w
        self.ess.unreadable = {}
        self.loop.run(self.poll())
        self.ess.unreadable = before[0]
        self.smoked = self.smoked or (on and not self.disk.failing)

    @rule(watts=WATTS)
    def another_system_writes_once(self, watts: float) -> None:
        """To a setpoint in use."""
        self.ess.put(ADDRESSES[self.phases][0], watts)

    @rule(watts=WATTS)
    def another_system_writes_to_the_other_setpoints(self, watts: float) -> None:
        """The ones that are not in use."""
        self.ess.put(ADDRESSES[1 if self.per_phase else 3][0], watts)
        self.loop.run(self.live(1))
        self.ess.put(ADDRESSES[1 if self.per_phase else 3][0], 0)

    @rule(watts=st.none() | WATTS, holding=st.none() | WATTS)
    def another_system_writes_every_second(self, watts: float | None, holding: float | None) -> None:
        """Or no longer does."""
        if holding is not None and self.running:
            self.all_is_well()
            self.run(self.command(3, holding, 0, None))
            self.loop.run(self.live(5))
        self.foreign_w = watts
        self.loop.run(self.live(9))

    @rule()
    def system_is_started_at_the_panel(self) -> None:
        """And the controller sees it."""
        if self.ess.state != STANDBY or self.ess.dead or not self.running:
            return
        self.ess.troubles.clear()
        self.loop.run(self.live(12))
        if self.ess.state == STANDBY:
            self.ess.start_at_panel()
            self.user_stopped = False

    # Ways out and back

    def back(self, *, record: str, switched: bool) -> None:
        """Start again."""
        self.wire.cut = True
        if record != "kept":
            self.recording_lost = True
            self.user_stopped = self.smoked = False
            self.last_reset = None
            self.disk.stored = {} if record == "lost" else {"zero": 5}
        if switched:
            self.per_phase = not self.per_phase
        self.start()
        self.dog.watch()

    @precondition(lambda self: self.running)
    @rule(
        record=st.sampled_from(["kept", "kept", "kept", "lost", "broken"]),
        switched=st.sampled_from([False, False, False, True]),
        away=st.sampled_from([0, 5, 600]),
        holding=st.none() | WATTS,
    )
    def crash(self, *, record: str, switched: bool, away: int, holding: float | None) -> None:
        """The process is gone without a word, for some time."""
        if holding is not None:
            self.all_is_well()
            self.run(self.command(3, holding, 0, None))
            self.loop.run(self.live(2))
        self.wire.cut, self.running = True, False
        self.loop.run(self.wait_until(self.loop.time() + away))
        self.back(record=record, switched=switched)

    @precondition(lambda self: self.running)
    @rule(
        **COMMAND,
        after=st.integers(0, 60),
        record=st.sampled_from(["kept", "kept", "kept", "lost", "broken"]),
    )
    def crash_during_a_command(
        self, kind: int, watts: float, var: float, seconds: float | None, after: int, record: str
    ) -> None:
        """At any await."""

        async def crashing() -> None:
            self.commanded = True
            task = asyncio.create_task(self.command(kind, watts, var, seconds))
            await asyncio.sleep(after * 0.005)
            self.wire.cut, self.running, failing = True, False, self.disk.failing
            self.disk.failing = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.disk.failing = failing

        self.loop.run(crashing())
        self.back(record=record, switched=False)

    @precondition(lambda self: self.running)
    @rule(
        switched=st.sampled_from([False, False, True]),
        during=st.booleans(),
        watts=WATTS,
        troubles=st.none() | st.lists(st.sampled_from(Trouble), max_size=8),
    )
    def shut_down(self, *, switched: bool, during: bool, watts: float, troubles: list[Trouble] | None) -> None:
        """In time, also in the middle of a command, and start again."""
        if troubles is not None:
            self.all_is_well()
            self.run(self.command(3, watts, 0, None))
            self.loop.run(self.live(2))
            self.ess.troubles.extend(troubles)

        async def both() -> None:
            command = asyncio.create_task(self.command(3, watts, 0, None)) if during else None
            await asyncio.sleep(0.05)
            await self.controller.async_shut_down()
            if command is not None:
                command.cancel()
                await asyncio.gather(command, return_exceptions=True)

        self.commanded = self.commanded or during
        began = self.loop.time()
        troubled = bool(self.ess.troubles) or self.ess.dead or bool(self.ess.unreadable)
        self.loop.run(both())
        assert self.loop.time() - began < 15
        clean = not troubled and self.foreign_w is None and not self.disk.failing
        if clean and not self.recording_lost and self.ess.late_s == 0:
            assert not self.ess.ours()
        self.running = False
        self.back(record="kept", switched=switched)

    def teardown(self) -> None:
        """With everything well again, all is settled within a minute, and nothing of ours is left on the device."""
        try:
            if hasattr(self, "controller"):
                self.settle()
        finally:
            self.loop.run(self.loop.shutdown_asyncgens())
            self.loop.close()

    def settle(self) -> None:
        """Let everything be well again."""
        self.ess.dead = self.deaf = self.disk.failing = False
        self.ess.troubles.clear()
        self.ess.unreadable.clear()
        self.foreign_w = None
        self.ess.smoke(on=False)
        self.run(self.controller.async_switch_recovery(on=False))
        self.loop.run(self.live(320))  # a block that was rejected is asked again after 5 min
        self.run(self.controller.async_release())
        self.loop.run(self.live(60))
        assert not self.controller.busy
        assert self.controller.lease.settled
        if not self.recording_lost:
            assert not self.ess.ours()
            assert not self.ess.holding.get(ERROR_RESET)
        self.record_covers_what_the_device_holds()


EXAMPLES = int(os.environ.get("REFU_ESS_EXAMPLES", "80"))
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
ControlMachine.TestCase.settings = examples(
    max_examples=EXAMPLES,
    phases=tuple(Phase) if "REFU_ESS_SHRINK" in os.environ else NO_SHRINKING,
    stateful_step_count=int(os.environ.get("REFU_ESS_STEPS", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestControl = ControlMachine.TestCase
