"""The handshake of the error reset: 1, read back, 0, read back."""

from dataclasses import replace
from typing import Any

import pytest

from custom_components.refu_ess.ess import error_reset
from custom_components.refu_ess.ess.enums import ErrorReset
from custom_components.refu_ess.ess.error_reset import Handshake, Outcome, ResetHistory, Step
from custom_components.refu_ess.ess.moment import Moment
from custom_components.refu_ess.ess.reading import Reading

from .good import GOOD

BEGAN = Moment(100_000.0, 1_800_000_000.0)
ERROR = replace(GOOD, error_code=7)


def read(value: ErrorReset | None, at: float, *, readable: bool = True) -> Reading:
    """A reading in which the register was asked for so many seconds after the beginning."""
    return replace(ERROR, error_reset=value, commands_asked_at=BEGAN.monotonic + at, commands_readable=readable)


class Course:
    """Carries out what the handshake wants, cycle by cycle."""

    def __init__(self, state: Handshake) -> None:
        """Begin with a state."""
        self.state = state
        self.written: list[int] = []

    def cycle(self, reading: Reading, at: float, *, answered: bool = True) -> None:
        """Go on at so many seconds after the beginning."""
        self.state = error_reset.tick(self.state, reading, BEGAN.monotonic + at)
        value = error_reset.wanted(self.state, reading)
        if value is None:
            return
        self.written.append(value)
        if value is ErrorReset.ON:
            self.state = error_reset.attempted(self.state)
        if answered:
            self.state = error_reset.acknowledged(self.state, BEGAN.monotonic + at)


def begun() -> Course:
    """A handshake that has just begun."""
    course = Course(error_reset.begin(Handshake(), BEGAN))
    course.cycle(read(ErrorReset.OFF, 0), 0)
    return course


def test_one_then_zero_each_read_back() -> None:
    """A register that shows both is reset."""
    course = begun()
    course.cycle(read(ErrorReset.ON, 1), 1)
    course.cycle(read(ErrorReset.OFF, 2), 2)
    assert course.written == [1, 0]
    assert course.state.outcome is Outcome.DONE
    assert course.state.settled


def test_next_reset_begins_like_the_first() -> None:
    """Nothing but the count and the times of the earlier ones is left of them."""
    course = begun()
    course.cycle(read(ErrorReset.ON, 1), 1)
    course.cycle(read(ErrorReset.OFF, 2), 2)
    later = BEGAN.after(8000)
    found = error_reset.begin(course.state, later)
    assert found == error_reset.begin(Handshake(resets=course.state.resets), later)
    assert found.outcome is None


def test_reset_counts_from_its_beginning() -> None:
    """On both clocks, before anything is sent."""
    found = error_reset.begin(Handshake(), BEGAN).resets
    assert found == ResetHistory(last_wall=BEGAN.wall, last_monotonic=BEGAN.monotonic, count=1)


def test_reading_from_before_the_write_does_not_prove_the_one() -> None:
    """It was asked for too early."""
    course = begun()
    course.cycle(read(ErrorReset.ON, -1), 1)
    assert course.state.step is Step.SETTING


def test_reading_from_before_the_write_does_not_prove_the_zero() -> None:
    """The same at the end."""
    course = begun()
    course.cycle(read(ErrorReset.ON, 2), 2)
    course.cycle(read(ErrorReset.OFF, 1), 3)
    assert course.state.step is Step.CLEARING


def test_one_and_zero_have_ten_seconds_each() -> None:
    """A slow 1 leaves the 0 its own time."""
    course = begun()
    course.cycle(read(ErrorReset.ON, 9), 9)
    course.cycle(read(ErrorReset.ON, 18), 18)
    assert course.state.step is Step.CLEARING
    course.cycle(read(ErrorReset.OFF, 18.5), 18.5)
    assert course.state.outcome is Outcome.DONE


def test_one_that_does_not_read_back_is_followed_by_zero() -> None:
    """After 10 s."""
    course = begun()
    for second in range(1, 12):
        course.cycle(read(ErrorReset.OFF, second), second)
    assert course.written == [1, 0]
    assert course.state.outcome is Outcome.NOT_TAKEN
    assert course.state.settled


def test_unreadable_register_is_cleared_by_acknowledgement() -> None:
    """An acknowledgement has to be enough."""
    course = begun()
    for second in range(1, 25):
        course.cycle(read(None, second, readable=False), second)
    assert course.written == [1, 0]
    assert course.state.settled


def test_zero_that_is_not_held_is_written_until_it_reads_back() -> None:
    """However long that takes."""
    course = begun()
    for second in range(1, 40):
        course.cycle(read(ErrorReset.ON, second), second)
    assert course.written == [1, *[0] * 39]
    assert course.state.owed
    assert course.state.outcome is Outcome.NOT_TAKEN
    course.cycle(read(ErrorReset.OFF, 41), 41)
    assert course.state.settled


def test_unanswered_zero_of_an_unreadable_register_stays_owed() -> None:
    """Neither an acknowledgement nor a reading says that it arrived."""
    course = begun()
    for second in range(1, 30):
        course.cycle(read(None, second, readable=False), second, answered=False)
    assert course.state.owed
    assert course.state.outcome is Outcome.NOT_TAKEN
    for second in range(30, 32):
        course.cycle(read(None, second, readable=False), second)
    assert course.state.settled


def test_acknowledgement_of_a_zero_that_was_not_held_is_not_enough() -> None:
    """Not even when the register can no longer be read."""
    course = begun()
    for second in range(1, 11):
        course.cycle(read(ErrorReset.ON, second), second)
    course.cycle(read(ErrorReset.ON, 11), 11, answered=False)
    assert course.state.step is Step.IDLE
    course.cycle(read(None, 12, readable=False), 12, answered=False)
    assert course.state.owed


def test_zero_without_effect_takes_no_reset_back() -> None:
    """The 1 before it was taken."""
    course = begun()
    course.cycle(read(ErrorReset.ON, 1), 1, answered=False)
    assert course.state.step is Step.CLEARING
    assert error_reset.not_sent(course.state) == course.state


def test_unanswered_one_is_sent_again_and_stays_owed() -> None:
    """It may have arrived."""
    course = Course(error_reset.begin(Handshake(), BEGAN))
    for second in range(3):
        course.cycle(read(None, 0), second, answered=False)
    assert course.written == [1, 1, 1]
    assert error_reset.not_sent(course.state).owed


def test_one_without_effect_counts_as_no_reset() -> None:
    """If it was the only one."""
    course = Course(error_reset.begin(Handshake(resets=ResetHistory(count=4)), BEGAN))
    course.cycle(read(None, 0), 0, answered=False)
    state = error_reset.not_sent(course.state)
    assert (state.settled, state.resets, state.outcome) == (True, ResetHistory(count=4), Outcome.NOT_SENT)


def test_owed_zero_that_reads_back_is_not_written() -> None:
    """The register of a device that was restarted may be at 0 already."""
    course = Course(error_reset.restore(ResetHistory(), BEGAN, owed=True))
    course.cycle(read(ErrorReset.OFF, 1), 1)
    assert course.written == []
    assert course.state.settled


def test_reading_from_before_the_start_does_not_prove_the_owed_zero() -> None:
    """The 1 of the earlier run may have arrived since."""
    course = Course(error_reset.restore(ResetHistory(), BEGAN, owed=True))
    course.cycle(read(ErrorReset.OFF, -1), 1)
    assert course.written == [0]


def test_reading_from_before_the_write_does_not_prove_the_owed_zero() -> None:
    """It has to be asked for after the last one."""
    course = Course(error_reset.restore(ResetHistory(), BEGAN, owed=True))
    course.cycle(read(ErrorReset.ON, 1), 1)
    course.cycle(read(ErrorReset.OFF, 0.5), 2)
    assert course.state.owed


def test_lost_link_does_not_prove_the_owed_zero() -> None:
    """A register that cannot be read because nothing answers says nothing."""
    course = Course(error_reset.restore(ResetHistory(), BEGAN, owed=True))
    course.cycle(read(ErrorReset.ON, 1), 1)
    course.cycle(replace(read(None, 2, readable=False), reachable=False), 2, answered=False)
    assert course.state.owed


def test_owed_zero_is_written() -> None:
    """A 1 that a crash left goes back to 0."""
    course = Course(error_reset.restore(ResetHistory(), BEGAN, owed=True))
    course.cycle(read(ErrorReset.ON, 1), 1)
    course.cycle(read(ErrorReset.OFF, 2), 2)
    assert course.written == [0]
    assert course.state.settled


def test_owed_zero_of_an_unreadable_register_is_acknowledged() -> None:
    """Once is enough."""
    course = Course(error_reset.restore(ResetHistory(), BEGAN, owed=True))
    for second in range(1, 5):
        course.cycle(read(None, second, readable=False), second)
    assert course.written == [0]
    assert course.state.settled


@pytest.mark.parametrize(
    ("monotonic", "wall", "permitted"),
    [(7200, 7200, True), (7199, 7200, False), (7200, 7199, False), (4, 7300, False), (7300, -100, False)],
)
def test_two_hours_on_both_clocks(monotonic: float, wall: float, *, permitted: bool) -> None:
    """A clock that was set permits nothing."""
    resets = ResetHistory(last_wall=BEGAN.wall, last_monotonic=BEGAN.monotonic, count=1)
    assert resets.permitted(Moment(BEGAN.monotonic + monotonic, BEGAN.wall + wall)) is permitted


def test_next_reset_is_two_hours_after_the_last() -> None:
    """On the clock on the wall, which people read."""
    assert ResetHistory(last_wall=BEGAN.wall, last_monotonic=BEGAN.monotonic, count=1).next_allowed == BEGAN.wall + 7200


def test_last_reset_in_the_future_counts_as_just_been() -> None:
    """A clock that was set back blocks resets for two hours, not for years."""
    restored = error_reset.restore(ResetHistory(last_wall=BEGAN.wall + 1e6), BEGAN, owed=False)
    assert restored.resets.next_allowed == BEGAN.wall + 7200


def test_no_last_reset_is_waited_for() -> None:
    """The first reset is permitted immediately."""
    assert error_reset.restore(ResetHistory(), BEGAN, owed=False).resets.next_allowed is None


TOO_SOON = Handshake(resets=ResetHistory(last_wall=BEGAN.wall - 60))
REFUSALS = [
    ({}, Handshake(), None),
    ({"error_code": 0, "fault": True}, Handshake(), None),
    ({"error_code": 0, "unlabelled_fault_bits": True}, Handshake(), None),
    ({"error_code": 0}, Handshake(), "no_error"),
    ({"age_s": 6}, Handshake(), "stale_data"),
    ({}, Handshake(owed=True), "reset_under_way"),
]


@pytest.mark.parametrize(("change", "state", "reason"), [*REFUSALS, ({}, TOO_SOON, "reset_too_soon")])
def test_refusals(change: dict[str, Any], state: Handshake, reason: str | None) -> None:
    """A reset needs an error, fresh data, and two hours since the last one."""
    reading = replace(ERROR, **change)
    assert error_reset.refusal(state, reading, BEGAN, stale_after_s=5, forced=False) == reason


@pytest.mark.parametrize(("change", "state", "reason"), [*REFUSALS, ({}, TOO_SOON, None)])
def test_refusals_of_a_forced_reset(change: dict[str, Any], state: Handshake, reason: str | None) -> None:
    """It needs the same, but for the two hours."""
    reading = replace(ERROR, **change)
    assert error_reset.refusal(state, reading, BEGAN, stale_after_s=5, forced=True) == reason
