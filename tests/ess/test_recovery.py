"""Starting, resetting and recovering: every rule, and what holds over any course of events."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings as examples, strategies as st

from custom_components.refu_ess.ess.enums import ErrorReset, SystemState, WorkState
from custom_components.refu_ess.ess.recovery import (
    Action,
    Recovery,
    Step,
    Watched,
    advance,
    next_reset_allowed,
    reset_permitted,
    start_refusal,
)

from .test_power import GOOD

OK = Watched(
    system_state=SystemState.START,
    work_state=WorkState.START,
    error_reset=ErrorReset.OFF,
    smoke=False,
    may_start=False,
)
FAULT = replace(OK, system_state=SystemState.FAULT, work_state=WorkState.STOP)
STANDBY = replace(GOOD, system_state=SystemState.STANDBY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"age_s": None}, "stale_data"),
        ({"age_s": 6}, "stale_data"),
        ({"age_s": -1}, "stale_data"),
        ({"fault": True}, "fault"),
        ({"ready": False}, "not_ready"),
        *(({"system_state": state}, "not_standby") for state in (None, *SystemState) if state != 3),
    ],
)
def test_start_is_written_in_standby_alone(change: dict[str, Any], reason: str | None) -> None:
    """START needs Standby, fresh data, no fault, and readiness."""
    assert start_refusal(replace(STANDBY, **change), 5, unknown_fault_bits=False) == reason


def test_an_unknown_fault_bit_is_a_fault_for_starting() -> None:
    """A bit that nobody described keeps the system from starting."""
    assert start_refusal(STANDBY, 5, unknown_fault_bits=True) == "fault"


@pytest.mark.parametrize(("last", "permitted"), [(None, True), (2800, True), (2801, False), (20_000, False)])
def test_one_reset_in_two_hours(last: float | None, permitted: bool) -> None:
    """7200 s must lie between two resets; a reset in the future permits none."""
    assert reset_permitted(last, 10_000) is permitted
    assert next_reset_allowed(last) == (None if last is None else last + 7200)


class Story:
    """Carries out what the recovery wants, second by second."""

    def __init__(self, last_reset: float | None = None) -> None:
        """Begin at the time 100 000 s."""
        self.state = Recovery()
        self.now = 100_000.0
        self.last_reset = last_reset
        self.log: list[tuple[float, Action]] = []

    def live(self, watched: Watched, seconds: float = 1) -> list[Action]:
        """See the same for some seconds and return what was done."""
        done: list[Action] = []
        for _ in range(int(seconds)):
            self.state, actions = advance(self.state, watched, self.now, self.last_reset)
            for action in actions:
                self.log.append((self.now, action))
                if action is Action.RESET_ON:
                    self.last_reset = self.now
            done += actions
            self.now += 1
        return done


def test_fault_is_reset_once() -> None:
    """Zero and STOP come at once, the reset after 30 s, then 0 is written, then START from Standby."""
    story = Story()
    assert story.live(OK, 5) == []
    assert story.live(FAULT) == [Action.END_LEASE, Action.WRITE_STOP]
    assert story.live(FAULT, 29) == []
    assert story.live(FAULT) == [Action.RESET_ON]
    assert story.live(FAULT, 2) == []
    assert story.live(replace(FAULT, error_reset=ErrorReset.ON)) == [Action.RESET_OFF]
    init = replace(FAULT, system_state=SystemState.INIT)
    assert story.live(init, 5) == []
    standby = replace(FAULT, system_state=SystemState.STANDBY, may_start=True)
    assert story.live(standby) == [Action.WRITE_START]
    assert story.live(replace(standby, work_state=WorkState.START), 5) == []
    assert story.live(OK, 2) == []
    assert story.state.step is Step.WATCHING


def test_second_fault_waits_for_two_hours() -> None:
    """A fault that stays after a reset is reset again two hours after the first reset, not before."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 40)
    story.live(replace(FAULT, error_reset=ErrorReset.ON), 1)
    story.live(FAULT, 7300)
    resets = [at for at, action in story.log if action is Action.RESET_ON]
    assert len(resets) == 2
    assert resets[1] - resets[0] == 7200


def test_last_reset_survives_a_restart() -> None:
    """A reset of the last run counts."""
    story = Story(last_reset=99_000.0)
    story.live(OK)
    story.live(FAULT, 6000)
    assert [action for _, action in story.log] == [Action.END_LEASE, Action.WRITE_STOP]


def test_fault_that_was_there_at_first_is_left_alone() -> None:
    """Only a fault that begins under our eyes is recovered from."""
    assert Story().live(FAULT, 100) == []


def test_fault_that_clears_by_itself() -> None:
    """An error that goes by itself needs no reset, and the system is started again."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 10)
    standby = replace(FAULT, system_state=SystemState.STANDBY, may_start=True)
    assert story.live(standby, 2) == [Action.WRITE_START]


def test_system_that_did_not_run_is_not_started() -> None:
    """A fault in Standby ends in Standby."""
    story = Story()
    standby = replace(FAULT, system_state=SystemState.STANDBY, may_start=True)
    story.live(standby)
    story.live(FAULT, 10)
    assert story.live(standby, 20) == []


def test_smoke_needs_a_person() -> None:
    """With the fog (smoke) alarm at any time of the fault there is neither reset nor start."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 5)
    story.live(replace(FAULT, smoke=True), 1)
    assert story.live(FAULT, 10_000) == []
    assert story.live(replace(FAULT, system_state=SystemState.STANDBY, may_start=True), 20) == []


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.WATCHING])
def test_smoke_at_any_step_needs_a_person(step: Step) -> None:
    """One reading with smoke, at whatever step and gone again, ends resetting and starting."""
    story = Story()
    story.state = Recovery(step=step, since=story.now, healthy=True, running=True)
    story.live(replace(FAULT, smoke=True))
    done = story.live(FAULT, 10_000)
    done += story.live(replace(FAULT, system_state=SystemState.STANDBY, may_start=True), 700)
    assert not {Action.RESET_ON, Action.WRITE_START} & set(done)


def test_smoke_just_before_the_fault() -> None:
    """Smoke that was gone when the state became Fault belongs to it."""
    story = Story()
    story.live(OK)
    story.live(replace(OK, smoke=True))
    assert story.live(FAULT, 10_000) == [Action.END_LEASE, Action.WRITE_STOP]


def test_smoke_ends_a_start() -> None:
    """Smoke while Standby is waited for ends the recovery."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 5)
    standby = replace(FAULT, system_state=SystemState.STANDBY, may_start=True)
    story.live(replace(standby, system_state=SystemState.INIT))
    assert story.live(replace(standby, smoke=True)) == []
    assert story.live(standby, 20) == []
    assert story.state.step is Step.WATCHING


def test_smoke_is_over_when_the_system_runs() -> None:
    """A person who started the system after smoke has the recovery back; a fault before that has not."""
    story = Story()
    story.live(OK)
    story.live(replace(FAULT, smoke=True), 5)
    story.live(replace(FAULT, system_state=SystemState.INIT), 5)
    assert Action.RESET_ON not in story.live(FAULT, 100)
    story.live(replace(FAULT, system_state=SystemState.INIT), 5)
    story.live(OK)
    assert Action.RESET_ON in story.live(FAULT, 100)


def test_a_stop_of_somebody_else_is_not_fought() -> None:
    """Once START has read back, a STOP in its place is a person's: START is not written again."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 5)
    standby = replace(FAULT, system_state=SystemState.STANDBY, may_start=True)
    assert story.live(standby, 3) == [Action.WRITE_START] * 2  # not taken at first
    assert story.live(replace(standby, work_state=WorkState.START), 2) == []
    assert story.live(standby, 100) == []
    assert story.state.step is Step.WATCHING


@pytest.mark.parametrize("system_state", [None, *(state for state in SystemState if state != 3)])
def test_start_outside_standby_is_never_written(system_state: SystemState | None) -> None:
    """Not even if the caller says that it may be."""
    story = Story()
    story.state = Recovery(step=Step.STARTING, since=story.now, healthy=True, running=True)
    assert Action.WRITE_START not in story.live(replace(FAULT, system_state=system_state, may_start=True), 20)


def test_clock_set_back_ends_the_wait_for_the_reset() -> None:
    """The register is not left at 1 until the clock has caught up."""
    story = Story()
    story.live(OK)
    assert story.live(FAULT, 31)[-1] is Action.RESET_ON
    story.now -= 3600
    assert story.live(FAULT) == [Action.RESET_OFF]
    story.now -= 3600
    story.live(replace(FAULT, error_reset=None))
    assert story.state.step is Step.WAITING
    assert story.live(FAULT, 7000) == []  # and the last reset, in the future now, permits none


def test_stop_is_sent_again_where_it_is_not_held() -> None:
    """STOP is repeated while the device reads back START, and not otherwise."""
    story = Story()
    story.live(OK)
    story.live(FAULT)
    assert story.live(replace(FAULT, work_state=WorkState.START), 3) == [Action.WRITE_STOP] * 3
    assert story.live(replace(FAULT, work_state=None), 3) == []


def test_reset_that_never_reads_back() -> None:
    """After 10 s without reading 1 the register is set to 0, and it counts as a reset."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 31)
    assert story.live(FAULT, 10) == [Action.RESET_OFF]
    assert story.live(FAULT, 100) == []


def test_reset_that_sticks_at_one() -> None:
    """0 is written until it reads back."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 31)
    assert story.live(replace(FAULT, error_reset=ErrorReset.ON), 5) == [Action.RESET_OFF] * 5
    assert story.live(replace(FAULT, error_reset=None), 20) == []
    assert story.state.step is Step.WAITING


def test_fault_while_starting() -> None:
    """A new fault on the way up is met as the first one."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 5)
    story.live(replace(FAULT, system_state=SystemState.INIT), 2)
    assert story.live(FAULT, 2) == [Action.END_LEASE, Action.WRITE_STOP]


def test_start_is_not_waited_for_for_ever() -> None:
    """After ten minutes without Standby a person has to look."""
    story = Story()
    story.live(OK)
    story.live(FAULT, 5)
    story.live(replace(FAULT, system_state=SystemState.INIT), 700)
    assert story.state.step is Step.WATCHING


def test_blind_means_still() -> None:
    """While the state is not known nothing is done."""
    blind = replace(FAULT, system_state=None, work_state=None, error_reset=None)
    story = Story()
    assert story.live(blind, 100) == []
    story.live(OK)
    assert story.live(blind, 100) == []
    story.live(FAULT, 5)
    assert story.live(blind, 100) == []


WATCHED = st.builds(
    Watched,
    system_state=st.sampled_from([None, *SystemState, SystemState.FAULT, SystemState.FAULT]),
    work_state=st.sampled_from([None, *WorkState]),
    error_reset=st.sampled_from([None, *ErrorReset]),
    smoke=st.sampled_from([False] * 9 + [True]),
    may_start=st.booleans(),
)


def _check_action(action: Action, watched: Watched, before: Recovery, at: float) -> None:
    """Hold one action against the rules."""
    if action is Action.WRITE_START:
        assert watched.system_state is SystemState.STANDBY
        assert watched.may_start
        assert before.running
    if action is Action.RESET_ON:
        assert watched.system_state is SystemState.FAULT
        assert at - before.since >= 30


@given(st.lists(st.tuples(WATCHED, st.sampled_from([1, 5, 40, 3600, -600])), max_size=60))
@examples(max_examples=400, deadline=None)
def test_properties(course: list[tuple[Watched, int]]) -> None:
    """Whatever happens: two hours between resets, START only where it may be, and the reset never left at 1."""
    story = Story()
    switched_on = smoke = healthy = False
    for watched, seconds in course:
        smoke = watched.smoke or smoke
        healthy = healthy or watched.system_state not in {None, SystemState.FAULT}
        before, at = story.state, story.now
        again = advance(before, watched, at, story.last_reset)
        done = story.live(watched)
        assert again == (story.state, tuple(done))
        assert healthy or not done
        assert not smoke or not {Action.RESET_ON, Action.WRITE_START} & set(done)
        for action in done:
            _check_action(action, watched, before, at)
        if watched.system_state is SystemState.START and not watched.smoke:
            smoke = False
        switched_on = (switched_on or Action.RESET_ON in done) and Action.RESET_OFF not in done
        assert not switched_on or story.state.step is Step.RESETTING
        story.now += seconds
    resets = [at for at, action in story.log if action is Action.RESET_ON]
    assert all(later - earlier >= 7200 for earlier, later in pairwise(resets))
