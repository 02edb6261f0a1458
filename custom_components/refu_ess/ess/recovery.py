"""Starting the system, and recovering from faults automatically: pure rules without a clock or a wire.

The rules of OpenEMS 2017 without its defects: an error that clears on its own is noticed, every wait ends, and START
is written once, only in Standby. A user's STOP, smoke and ten minutes without readings end every intent to start.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from .enums import SystemState, WorkState
from .moment import Moment
from .reading import Reading
from .refusal import Refusal

DWELL_S = 30.0
"""Seconds that an error lasts before it is reset."""
START_TIMEOUT_S = 600.0
"""Seconds to wait for Standby after a recovery."""
EFFECT_TIMEOUT_S = 60.0
"""Seconds within which the system leaves Standby after START."""
BLIND_AFTER_S = 600.0
"""Without readings for longer than this, it is unknown what happened meanwhile."""


def start_refusal(reading: Reading, stale_after_s: float, *, zero_owed: bool) -> Refusal | None:
    """Return why START may not be written now, `None` if it may.

    An unlabelled bit of a fault word counts as a fault here: it does not stop the system, but it prevents a start.
    A setpoint that reads back other than zero, or a zero that is owed, would meet the start with power.
    """
    leftover = reading.other_setpoints_zero is False or (reading.held is not None and not reading.held.is_zero)
    reasons = (
        (Refusal.STALE_DATA, not reading.is_fresh(stale_after_s)),
        (Refusal.FAULT, reading.fault or reading.unlabelled_fault_bits),
        (Refusal.NOT_READY, not reading.ready),
        (Refusal.NOT_STANDBY, reading.system_state is not SystemState.STANDBY),
        (Refusal.ZERO_OWED, zero_owed),
        (Refusal.LEFTOVER_SETPOINT, leftover),
    )
    return next((reason for reason, applies in reasons if applies), None)


class Step(StrEnum):
    """The state of the recovery."""

    WATCHING = "watching"
    WAITING = "waiting"
    """In a fault, until it clears on its own or may be reset."""
    RESETTING = "resetting"
    AWAITING_STANDBY = "awaiting_standby"
    """The fault is over; START follows once it is permitted."""
    STARTING = "starting"
    """START was written; its effect is awaited."""


class Action(StrEnum):
    """An action that the recovery requests."""

    END_LEASE = "end_lease"
    WRITE_STOP = "write_stop"
    RESET = "reset"
    WRITE_START = "write_start"
    REPORT_NO_EFFECT = "no_effect"


@dataclass(frozen=True, kw_only=True)
class RecoveryInputs:
    """The inputs of a step."""

    system_state: SystemState | None
    """`None` while it is not freshly known."""
    work_state: WorkState | None
    smoke: bool
    """The fog (smoke) alarm is active."""
    may_start: bool
    may_reset: bool
    reset_settled: bool
    """No error reset is under way, and no 0 of one is owed."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """The recovery's memory between two steps."""

    step: Step = Step.WATCHING
    since: float = 0.0
    """Monotonic time at which the step was entered."""
    healthy: bool = False
    """A state other than Fault was seen: only a fault that begins while it is watched is handled."""
    running: bool = False
    """The system ran before the fault, and was not stopped on purpose."""
    stopped: bool = False
    """A user pressed STOP, and the system has not been seen stopped, and started by another since."""
    halted: bool = False
    """The system was seen stopped after a user's STOP."""
    smoke: bool = False
    """Smoke was alarmed, and no user has acted since."""
    stop_owed: bool = False
    """STOP has not reached the device yet."""
    seen: Moment | None = None
    """The last fresh reading."""

    def entered(self, step: Step, now: Moment) -> Recovery:
        """Return a copy that entered `step` now."""
        return replace(self, step=step, since=now.monotonic)

    def waited(self, seconds: float, now: Moment) -> bool:
        """Return whether the step is that old."""
        return now.monotonic - self.since >= seconds

    def stopped_by_user(self) -> Recovery:
        """A user's STOP ends every intent to start; a reset that is under way goes on to its end."""
        step = Step.WATCHING if self.step in {Step.AWAITING_STANDBY, Step.STARTING} else self.step
        return replace(self, step=step, running=False, stopped=True, halted=False)

    def started_by_user(self) -> Recovery:
        """A user's START takes back an earlier STOP and the latch of a smoke alarm."""
        step = Step.WATCHING if self.step in {Step.AWAITING_STANDBY, Step.STARTING} else self.step
        return replace(self, step=step, stopped=False, halted=False, smoke=False)

    def acknowledged_by_user(self) -> Recovery:
        """A user's error reset takes back the latch of a smoke alarm."""
        return replace(self, smoke=False)

    def latches(self) -> Recovery:
        """The part to remember while the recovery is off."""
        return Recovery(stopped=self.stopped, halted=self.halted, smoke=self.smoke)

    def stop_written(self) -> Recovery:
        """Note that STOP has reached the device."""
        return replace(self, stop_owed=False)


def noticed(state: Recovery, watched: RecoveryInputs) -> Recovery:
    """Latch smoke, and notice that a system which a user stopped has been started by another.

    A system that runs although the register says STOP has not stopped yet, or was never started by way of it.
    """
    if watched.smoke:
        state = replace(state, smoke=True)
    match watched.system_state:
        case SystemState.STOP | SystemState.STANDBY if state.stopped:
            return replace(state, halted=True)
        case SystemState.START if state.halted and watched.work_state is not WorkState.STOP:
            return replace(state, stopped=False, halted=False)
        case _:
            return state


def advance(state: Recovery, watched: RecoveryInputs, now: Moment) -> tuple[Recovery, tuple[Action, ...]]:
    """Return the next state and what to do."""
    state = noticed(state, watched)
    if watched.system_state is not None:
        blind = state.seen is not None and now.since(state.seen) > BLIND_AFTER_S
        state = replace(state, seen=now)
        if blind:
            state = replace(state.entered(Step.WATCHING, now), running=False, healthy=False)
    match state.step:
        case Step.WATCHING:
            return _watch(state, watched, now)
        case Step.WAITING:
            return _wait(state, watched, now)
        case Step.RESETTING:
            return (state.entered(Step.WAITING, now) if watched.reset_settled else state), ()
        case Step.AWAITING_STANDBY:
            return _await_standby(state, watched, now)
        case _:
            return _start(state, watched, now)


def _watch(state: Recovery, watched: RecoveryInputs, now: Moment) -> tuple[Recovery, tuple[Action, ...]]:
    match watched.system_state:
        case None:
            return state, ()
        case SystemState.FAULT:
            return _fault(state, now) if state.healthy else (state, ())
        case SystemState.START:
            return replace(state, healthy=True, running=not state.stopped), ()
        case _:
            return replace(state, healthy=True, running=False), ()


def _fault(state: Recovery, now: Moment) -> tuple[Recovery, tuple[Action, ...]]:
    return replace(state.entered(Step.WAITING, now), stop_owed=True), (Action.END_LEASE, Action.WRITE_STOP)


def _wait(state: Recovery, watched: RecoveryInputs, now: Moment) -> tuple[Recovery, tuple[Action, ...]]:
    if watched.system_state is None:
        return state, ()
    if watched.system_state is not SystemState.FAULT:
        return state.entered(Step.AWAITING_STANDBY if _intends(state) else Step.WATCHING, now), ()
    if not state.smoke and watched.may_reset and state.waited(DWELL_S, now):
        return state.entered(Step.RESETTING, now), (Action.RESET,)
    # STOP is sent again only while the device does not hold it: a register need not be written every second.
    again = state.stop_owed or watched.work_state is WorkState.START
    return state, (Action.WRITE_STOP,) if again else ()


def _intends(state: Recovery) -> bool:
    """Return whether the system is to be started once the fault is over."""
    return state.running and not state.stopped and not state.smoke


def _await_standby(state: Recovery, watched: RecoveryInputs, now: Moment) -> tuple[Recovery, tuple[Action, ...]]:
    if watched.system_state is SystemState.FAULT:
        return _fault(state, now)
    if watched.system_state is SystemState.START or state.waited(START_TIMEOUT_S, now) or not _intends(state):
        return state.entered(Step.WATCHING, now), ()
    if watched.system_state is SystemState.STANDBY and watched.may_start:
        return state.entered(Step.STARTING, now), (Action.WRITE_START,)
    return state, ()


def _start(state: Recovery, watched: RecoveryInputs, now: Moment) -> tuple[Recovery, tuple[Action, ...]]:
    """Wait for the effect of the one START; it is not repeated."""
    if watched.system_state is SystemState.FAULT:
        return _fault(state, now)
    if watched.system_state is not None and watched.system_state is not SystemState.STANDBY:
        return state.entered(Step.WATCHING, now), ()
    if state.waited(EFFECT_TIMEOUT_S, now):
        return replace(state.entered(Step.WATCHING, now), running=False), (Action.REPORT_NO_EFFECT,)
    return state, ()
