"""Starting, resetting errors, and recovering from faults by itself: pure rules without a clock or a wire.

The rules are those of the last software that ran this device, with its defects mended: an error that clears by itself
is noticed, every wait ends, the 30 s and the 2 h always hold, and START is written only in Standby.
"""

from dataclasses import dataclass, replace
from enum import Enum

from .enums import ErrorReset, SystemState, WorkState
from .power import Reading

DWELL_S = 30.0
"""So long must an error have lasted before it is reset."""
BETWEEN_RESETS_S = 7200.0
"""At most one reset in two hours."""
RESET_TIMEOUT_S = 10.0
START_TIMEOUT_S = 600.0
"""So long is Standby waited for after a recovery."""


def start_refusal(reading: Reading, stale_after_s: float, *, unknown_fault_bits: bool) -> str | None:
    """Return why START may not be written now, `None` if it may.

    An undeclared bit of a fault word counts as a fault here: it is no reason to stop, but none to start either.
    """
    reasons = (
        ("stale_data", not reading.is_fresh(stale_after_s)),
        ("fault", reading.fault or unknown_fault_bits),
        ("not_ready", not reading.ready),
        ("not_standby", reading.system_state is not SystemState.STANDBY),
    )
    return next((slug for slug, applies in reasons if applies), None)


def next_reset_allowed(last_reset: float | None) -> float | None:
    """Return when the next reset is permitted, in the seconds of `last_reset`; `None` means at once."""
    return None if last_reset is None else last_reset + BETWEEN_RESETS_S


def reset_permitted(last_reset: float | None, now: float) -> bool:
    """Whether two hours have gone by. A last reset in the future means the clock was wrong, and permits nothing."""
    return last_reset is None or now >= last_reset + BETWEEN_RESETS_S


class Step(Enum):
    """Where the recovery stands."""

    WATCHING = "watching"
    WAITING = "waiting"
    """In a fault, until it clears by itself or may be reset."""
    RESETTING = "resetting"
    RELEASING = "releasing"
    STARTING = "starting"


class Action(Enum):
    """What the recovery wants done."""

    END_LEASE = "end_lease"
    WRITE_STOP = "write_stop"
    RESET_ON = "reset_on"
    RESET_OFF = "reset_off"
    WRITE_START = "write_start"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a step looks at."""

    system_state: SystemState | None
    """`None` while it is not freshly known."""
    work_state: WorkState | None
    error_reset: ErrorReset | None
    smoke: bool
    """The fog (smoke) alarm is active."""
    may_start: bool


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What the recovery remembers between two steps."""

    step: Step = Step.WATCHING
    since: float = 0.0
    """When the step was entered, in the seconds of `now`."""
    healthy: bool = False
    """A state other than Fault was seen: only a fault that begins under our eyes is ours."""
    running: bool = False
    """The system ran before the fault."""
    smoke: bool = False
    """Smoke was alarmed and the system has not run without it since: a person is needed."""
    taken: bool = False
    """START read back since it was written."""

    def entered(self, step: Step, now: float) -> Recovery:
        """The same, in another step since now."""
        return replace(self, step=step, since=now, taken=False)

    def waited(self, seconds: float, now: float) -> bool:
        """Whether the step is that old; a clock that was set back ends a wait, since nobody knows how long it was."""
        return not 0 <= now - self.since < seconds


def advance(
    state: Recovery, watched: Watched, now: float, last_reset: float | None
) -> tuple[Recovery, tuple[Action, ...]]:
    """Return the next state and what to do. `now` and `last_reset` are seconds of one clock that survives restarts."""
    if watched.smoke:
        state = replace(state, smoke=True)
    match state.step:
        case Step.WATCHING:
            return _watch(state, watched, now)
        case Step.WAITING:
            return _wait(state, watched, now, last_reset)
        case Step.RESETTING:
            return _reset(state, watched, now)
        case Step.RELEASING:
            return _release(state, watched, now)
        case _:
            return _start(state, watched, now)


def _watch(state: Recovery, watched: Watched, now: float) -> tuple[Recovery, tuple[Action, ...]]:
    if watched.system_state is None:
        return state, ()
    if watched.system_state is not SystemState.FAULT:
        running = watched.system_state is SystemState.START
        # After smoke the recovery does not start, so a system that runs without it was started by a person.
        return replace(state, healthy=True, running=running, smoke=watched.smoke or (state.smoke and not running)), ()
    if not state.healthy:
        return state, ()
    return state.entered(Step.WAITING, now), (Action.END_LEASE, Action.WRITE_STOP)


def _wait(
    state: Recovery, watched: Watched, now: float, last_reset: float | None
) -> tuple[Recovery, tuple[Action, ...]]:
    if watched.system_state is None:
        return state, ()
    if watched.system_state is not SystemState.FAULT:
        return _recovered(state, now), ()
    if not state.smoke and now - state.since >= DWELL_S and reset_permitted(last_reset, now):
        return state.entered(Step.RESETTING, now), (Action.RESET_ON,)
    # STOP is sent again only if the device does not hold it: a register need not be written every second.
    return state, (Action.WRITE_STOP,) if watched.work_state is WorkState.START else ()


def _reset(state: Recovery, watched: Watched, now: float) -> tuple[Recovery, tuple[Action, ...]]:
    if watched.error_reset is ErrorReset.ON or state.waited(RESET_TIMEOUT_S, now):
        return state.entered(Step.RELEASING, now), (Action.RESET_OFF,)
    return state, ()


def _release(state: Recovery, watched: Watched, now: float) -> tuple[Recovery, tuple[Action, ...]]:
    if watched.error_reset is ErrorReset.ON:
        return state, (Action.RESET_OFF,)
    if watched.error_reset is None and not state.waited(RESET_TIMEOUT_S, now):
        return state, ()
    return state.entered(Step.WAITING, now), ()


def _recovered(state: Recovery, now: float) -> Recovery:
    """Go on where the system was before the fault; after smoke a person must start it."""
    return state.entered(Step.STARTING if state.running and not state.smoke else Step.WATCHING, now)


def _start(state: Recovery, watched: Watched, now: float) -> tuple[Recovery, tuple[Action, ...]]:
    if watched.system_state is SystemState.FAULT:
        return state.entered(Step.WAITING, now), (Action.END_LEASE, Action.WRITE_STOP)
    stopped = state.taken and watched.work_state is WorkState.STOP  # somebody else's STOP is not fought
    ended = watched.system_state is SystemState.START or state.waited(START_TIMEOUT_S, now)
    if ended or stopped or state.smoke:
        return state.entered(Step.WATCHING, now), ()
    if watched.work_state is WorkState.START:
        return replace(state, taken=True), ()
    if watched.may_start and watched.system_state is SystemState.STANDBY:
        return state, (Action.WRITE_START,)
    return state, ()
