"""The handshake of the error reset, 0x201: 1, read back, 0, read back. A pure state machine, used by both ways to it.

The register may hold 1 from the moment that 1 is attempted until 0 has been delivered; until then 0 is owed. At most
one reset in two hours on both clocks, unless a user forces one.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from .enums import ErrorReset
from .moment import Moment
from .reading import Reading
from .refusal import Refusal

BETWEEN_RESETS_S = 7200.0
READBACK_TIMEOUT_S = 10.0


class Step(StrEnum):
    """The state of the handshake."""

    IDLE = "idle"
    SETTING = "setting"
    """1 was sent and should read back."""
    CLEARING = "clearing"
    """0 was sent and should read back."""


class Outcome(StrEnum):
    """The result of the last reset."""

    DONE = "done"
    NOT_TAKEN = "not_taken"
    """1 or 0 did not read back within 10 s."""
    NOT_SENT = "not_sent"
    """1 certainly never reached the device; the reset does not count."""


@dataclass(frozen=True, kw_only=True)
class ResetHistory:
    """The past resets. They outlive the process."""

    last_wall: float | None = None
    """Seconds since 1970."""
    last_monotonic: float | None = None
    """Of this run; `None` if the last reset was before it."""
    count: int = 0

    @property
    def next_allowed(self) -> float | None:
        """The time of the next permitted reset in seconds since 1970; `None` means at once."""
        return None if self.last_wall is None else self.last_wall + BETWEEN_RESETS_S

    def permitted(self, now: Moment) -> bool:
        """Return whether two hours have passed on both clocks. A last reset in the future permits nothing."""
        by_wall = self.last_wall is None or now.wall >= self.last_wall + BETWEEN_RESETS_S
        by_monotonic = self.last_monotonic is None or now.monotonic >= self.last_monotonic + BETWEEN_RESETS_S
        return by_wall and by_monotonic


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """The state of the machine."""

    resets: ResetHistory = ResetHistory()
    step: Step = Step.IDLE
    since: float = 0.0
    """Monotonic time at which the step was entered."""
    seen: bool = False
    """1 has read back."""
    owed: bool = False
    """The register may hold 1, and 0 is owed."""
    tries: int = 0
    """Number of times that 1 was sent, answered or not."""
    sent_at: float | None = None
    """Monotonic time of the last acknowledged write of this step."""
    before: ResetHistory = ResetHistory()
    """Restored if the 1 certainly never reached the device."""
    outcome: Outcome | None = None

    @property
    def settled(self) -> bool:
        """Return whether no reset is under way and no 0 is owed."""
        return self.step is Step.IDLE and not self.owed


def refusal(state: Handshake, reading: Reading, now: Moment, *, stale_after_s: float, forced: bool) -> Refusal | None:
    """Return why no reset may begin, `None` if one may."""
    healthy = not reading.fault and not reading.error_code and not reading.unlabelled_fault_bits
    reasons = (
        (Refusal.RESET_UNDER_WAY, not state.settled),
        (Refusal.STALE_DATA, not reading.is_fresh(stale_after_s)),
        (Refusal.NO_ERROR, healthy),
        (Refusal.RESET_TOO_SOON, not forced and not state.resets.permitted(now)),
    )
    return next((reason for reason, applies in reasons if applies), None)


def begin(state: Handshake, now: Moment) -> Handshake:
    """Begin a reset: it counts, and 0 is owed, from before the 1 is sent."""
    return replace(
        state,
        resets=ResetHistory(last_wall=now.wall, last_monotonic=now.monotonic, count=state.resets.count + 1),
        before=state.resets,
        step=Step.SETTING,
        since=now.monotonic,
        seen=False,
        owed=True,
        tries=0,
        sent_at=None,
        outcome=None,
    )


def restore(resets: ResetHistory, now: Moment, *, owed: bool) -> Handshake:
    """Start from the state that an earlier run left. A last reset in the future counts as one that has just been."""
    last = resets.last_wall
    resets = replace(resets, last_wall=None if last is None else min(last, now.wall))
    return Handshake(resets=resets, owed=owed, since=now.monotonic)


def wanted(state: Handshake, reading: Reading) -> ErrorReset | None:
    """The value to write now, `None` if nothing is to be written. To be asked after `tick`."""
    match state.step:
        case Step.SETTING if state.sent_at is None:
            return ErrorReset.ON
        case Step.CLEARING if state.sent_at is None or reading.error_reset is ErrorReset.ON:
            return ErrorReset.OFF
        case Step.IDLE if state.owed:
            return ErrorReset.OFF
        case _:
            return None


def acknowledged(state: Handshake, now: float) -> Handshake:
    """Note that the device acknowledged the value of this step."""
    return replace(state, sent_at=now)


def attempted(state: Handshake) -> Handshake:
    """Note a 1 before it is sent: from here on the register may hold it."""
    return replace(state, tries=state.tries + 1)


def not_sent(state: Handshake) -> Handshake:
    """Note that the latest 1 had no effect. If it was the only one, no reset has been, and nothing is owed."""
    if state.step is not Step.SETTING or state.tries > 1:
        return state
    return replace(state, step=Step.IDLE, resets=state.before, owed=False, outcome=Outcome.NOT_SENT)


def tick(state: Handshake, reading: Reading, now: float) -> Handshake:
    """Advance on a reading, or on elapsed time."""
    read = reading.error_reset if _read_since(state, reading) else None
    late = now - state.since >= READBACK_TIMEOUT_S
    match state.step:
        case Step.SETTING if read is ErrorReset.ON or late:
            return replace(state, step=Step.CLEARING, since=now, seen=read is ErrorReset.ON, sent_at=None)
        case Step.CLEARING if read is ErrorReset.OFF:
            outcome = Outcome.DONE if state.seen else Outcome.NOT_TAKEN
            return replace(state, step=Step.IDLE, since=now, owed=False, sent_at=None, outcome=outcome)
        case Step.CLEARING if late:
            # Where it cannot be read the acknowledgement has to do; else 0 stays owed and is sent again.
            owed = state.sent_at is None or reading.commands_readable
            return replace(state, step=Step.IDLE, since=now, owed=owed, sent_at=None, outcome=Outcome.NOT_TAKEN)
        case Step.IDLE if state.owed and (_reads_off(state, reading) or _unreadable(state, reading)):
            return replace(state, owed=False, sent_at=None)
        case _:
            return state


def _read_since(state: Handshake, reading: Reading) -> bool:
    return state.sent_at is not None and reading.commands_readable and reading.commands_asked_at >= state.sent_at


def _reads_off(state: Handshake, reading: Reading) -> bool:
    """Return whether 0 was read since; an owed 0 that is there already is not sent."""
    since = state.since if state.sent_at is None else state.sent_at
    return reading.commands_readable and reading.commands_asked_at >= since and reading.error_reset is ErrorReset.OFF


def _unreadable(state: Handshake, reading: Reading) -> bool:
    return state.sent_at is not None and reading.reachable and not reading.commands_readable
