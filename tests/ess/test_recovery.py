"""Starting, and recovering from faults: every rule, and what holds over any course of events."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings as examples, strategies as st

from custom_components.refu_ess.ess.enums import SystemState, WorkState
from custom_components.refu_ess.ess.moment import Moment
from custom_components.refu_ess.ess.recovery import Action, Recovery, RecoveryInputs, Step, advance, start_refusal
from custom_components.refu_ess.ess.setpoint import Power

from .good import GOOD

OK = RecoveryInputs(
    system_state=SystemState.START,
    work_state=WorkState.START,
    smoke=False,
    may_start=False,
    may_reset=True,
    reset_settled=True,
)
FAULT = replace(OK, system_state=SystemState.FAULT, work_state=WorkState.STOP)
INIT = replace(FAULT, system_state=SystemState.INIT)
STANDBY = replace(FAULT, system_state=SystemState.STANDBY, may_start=True)
BLIND = replace(FAULT, system_state=None, work_state=None)
AT_REST = replace(GOOD, system_state=SystemState.STANDBY)
MET_FAULT = [Action.END_LEASE, Action.WRITE_STOP]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"age_s": None}, "stale_data"),
        ({"age_s": 6}, "stale_data"),
        ({"age_s": -1}, "stale_data"),
        ({"fault": True}, "fault"),
        ({"unlabelled_fault_bits": True}, "fault"),
        ({"ready": False}, "not_ready"),
        *(({"system_state": state}, "not_standby") for state in (None, *SystemState) if state != 3),
        ({"other_setpoints_zero": False}, "leftover_setpoint"),
        ({"other_setpoints_zero": None}, None),
        ({"held": Power((100.0,), (0.0,))}, "leftover_setpoint"),
        ({"held": Power((0.0,), (-100.0,))}, "leftover_setpoint"),
        ({"held": Power.zero(1)}, None),
    ],
)
def test_start_is_refused(change: dict[str, Any], reason: str | None) -> None:
    """START needs Standby, fresh data, no fault, readiness, and setpoints at zero."""
    assert start_refusal(replace(AT_REST, **change), 5, zero_owed=False) == reason


def test_start_is_refused_while_zero_is_owed() -> None:
    """It would meet the power that the zero is owed for."""
    assert start_refusal(AT_REST, 5, zero_owed=True) == "zero_owed"


class Story:
    """Carries out what the recovery wants, second by second."""

    def __init__(self, state: Recovery | None = None) -> None:
        """Begin at the time 100 000 s."""
        self.state = state or Recovery()
        self.now = Moment(100_000.0, 1_800_000_000.0)

    def live(self, watched: RecoveryInputs, seconds: int = 1) -> list[Action]:
        """See the same for some seconds and return what was done."""
        done: list[Action] = []
        for _ in range(seconds):
            self.state, actions = advance(self.state, watched, self.now)
            if Action.WRITE_STOP in actions:
                self.state = self.state.stop_written()
            done += actions
            self.now = self.now.after(1)
        return done


def faulty() -> Story:
    """A system that ran, and has been in Fault for a second."""
    story = Story()
    story.live(OK)
    assert story.live(FAULT) == MET_FAULT
    return story


def test_fault_is_reset_once_and_the_system_started() -> None:
    """Zero and STOP come at once, the reset after 30 s, START from Standby."""
    story = faulty()
    assert story.live(FAULT, 29) == []
    assert story.live(FAULT) == [Action.RESET]
    assert story.live(replace(FAULT, reset_settled=False, may_reset=False), 3) == []
    assert story.live(replace(INIT, may_reset=False), 5) == []
    assert story.live(STANDBY) == [Action.WRITE_START]
    assert story.live(STANDBY, 5) == []
    assert story.live(OK, 2) == []
    assert story.state.step is Step.WATCHING


def test_fault_that_stays_is_reset_again_when_that_is_permitted() -> None:
    """Not before, and 30 s after it was last looked at."""
    story = faulty()
    story.live(FAULT, 30)
    assert story.live(replace(FAULT, may_reset=False), 7000) == []
    assert story.live(FAULT) == [Action.RESET]


def test_fault_that_was_there_at_first_is_left_alone() -> None:
    """Only a fault that begins while it is watched is recovered from."""
    assert Story().live(FAULT, 100) == []


def test_fault_that_clears_on_its_own_needs_no_reset() -> None:
    """The system is started again."""
    story = faulty()
    story.live(FAULT, 10)
    assert story.live(INIT, 3) == []
    assert story.live(STANDBY, 2) == [Action.WRITE_START]


def test_system_that_did_not_run_is_not_started() -> None:
    """A fault in Standby ends in Standby."""
    story = Story()
    story.live(STANDBY)
    assert story.live(FAULT, 10) == MET_FAULT
    assert story.live(STANDBY) == []
    assert story.state.step is Step.WATCHING
    assert story.live(STANDBY, 20) == []


def test_system_that_stopped_before_the_fault_is_not_started() -> None:
    """Whoever stopped it."""
    story = Story()
    story.live(OK)
    story.live(STANDBY)
    assert story.live(FAULT, 10) == MET_FAULT
    assert story.live(STANDBY, 20) == []


def test_fault_that_was_out_of_sight_for_a_while_is_the_same_one() -> None:
    """Its 30 s go on."""
    story = faulty()
    assert story.live(BLIND, 5) == []
    assert story.live(FAULT, 24) == []
    assert story.live(FAULT) == [Action.RESET]


def test_system_is_not_started_before_its_reset_is_over() -> None:
    """The register may still hold 1."""
    story = faulty()
    assert story.live(FAULT, 30) == [Action.RESET]
    assert story.live(replace(STANDBY, reset_settled=False), 5) == []
    assert story.live(STANDBY, 3) == [Action.WRITE_START]


def test_system_that_runs_again_is_left_alone() -> None:
    """Whoever started it, no START follows."""
    story = faulty()
    story.live(INIT)
    assert story.live(OK) == []
    assert story.state.step is Step.WATCHING


def test_stop_is_written_until_it_arrives() -> None:
    """A STOP that failed is owed."""
    story = Story()
    story.live(OK)
    found: list[Action] = []
    for _ in range(3):
        story.state, actions = advance(story.state, FAULT, story.now)
        found += actions
    assert found == [*MET_FAULT, Action.WRITE_STOP, Action.WRITE_STOP]


def test_stop_is_written_again_while_the_device_reads_back_start() -> None:
    """It did not take the first one."""
    story = faulty()
    assert story.live(replace(FAULT, work_state=WorkState.START), 3) == [Action.WRITE_STOP] * 3


def test_stop_is_not_written_again_while_the_register_is_unknown() -> None:
    """It was acknowledged."""
    story = faulty()
    assert story.live(replace(FAULT, work_state=None), 3) == []


def test_fault_while_standby_is_awaited() -> None:
    """It is handled like the first."""
    story = faulty()
    story.live(INIT, 2)
    assert story.live(FAULT) == MET_FAULT


def test_fault_after_start() -> None:
    """It, too, is handled like the first."""
    story = faulty()
    story.live(INIT)
    assert story.live(STANDBY) == [Action.WRITE_START]
    assert story.live(FAULT) == MET_FAULT


def test_standby_is_awaited_for_ten_minutes() -> None:
    """After that a user has to look."""
    story = faulty()
    story.live(INIT, 700)
    assert story.state.step is Step.WATCHING
    assert story.live(STANDBY, 10) == []


def test_start_without_effect_is_reported_and_not_repeated() -> None:
    """60 s after START the system is still in Standby."""
    story = faulty()
    story.live(INIT)
    assert story.live(STANDBY, 400) == [Action.WRITE_START, Action.REPORT_NO_EFFECT]


def test_start_without_effect_is_reported_although_it_was_out_of_sight_meanwhile() -> None:
    """Blindness is no effect."""
    story = faulty()
    story.live(INIT)
    story.live(STANDBY)
    assert story.live(BLIND, 5) == []
    assert story.live(STANDBY, 400) == [Action.REPORT_NO_EFFECT]


def test_start_without_effect_is_not_repeated_after_another_fault() -> None:
    """The system has not run since."""
    story = faulty()
    story.live(INIT)
    assert story.live(STANDBY, 61) == [Action.WRITE_START, Action.REPORT_NO_EFFECT]
    assert story.live(FAULT, 5) == MET_FAULT
    assert story.live(STANDBY, 20) == []


def test_start_is_written_only_in_standby() -> None:
    """Whatever else permits it."""
    story = faulty()
    assert story.live(replace(INIT, may_start=True), 5) == []


def test_smoke_while_standby_is_awaited_ends_the_intent_to_start() -> None:
    """Also if it comes with the Standby itself."""
    for watched in (INIT, STANDBY):
        story = faulty()
        story.live(INIT)
        assert story.live(replace(watched, smoke=True)) == []
        assert story.live(STANDBY, 20) == []


@pytest.mark.parametrize("step", Step)
def test_smoke_at_any_step_needs_a_user(step: Step) -> None:
    """One reading with smoke, gone again, ends resetting and starting."""
    story = Story(Recovery(step=step, since=100_000, healthy=True, running=True))
    story.live(replace(FAULT, smoke=True))
    done = story.live(FAULT, 1000) + story.live(STANDBY, 700) + story.live(OK, 10) + story.live(FAULT, 1000)
    assert not {Action.RESET, Action.WRITE_START} & set(done)


@pytest.mark.parametrize("act", [Recovery.started_by_user, Recovery.acknowledged_by_user])
def test_user_takes_back_the_latch_of_smoke(act: Any) -> None:
    """By a START, or by an error reset."""
    story = faulty()
    story.live(replace(FAULT, smoke=True))
    assert story.live(FAULT, 100) == []
    story.state = act(story.state)
    assert story.live(FAULT) == [Action.RESET]


@pytest.mark.parametrize("work_state", [None, *WorkState])
@pytest.mark.parametrize("step", Step)
def test_stop_of_a_user_ends_every_intent_to_start(step: Step, work_state: WorkState | None) -> None:
    """At whatever step, and whatever the register says."""
    story = Story(Recovery(step=step, since=100_000, healthy=True, running=True).stopped_by_user())
    done: list[Action] = []
    for watched in (FAULT, OK, FAULT, INIT, STANDBY):
        done += story.live(replace(watched, work_state=work_state), 5)
    assert Action.WRITE_START not in done


def test_stop_in_init_stands_although_the_system_runs_for_a_moment() -> None:
    """A system on its way up passes Start before it stops."""
    story = Story()
    story.live(INIT)
    story.state = story.state.stopped_by_user()
    story.live(INIT, 3)
    story.live(OK, 2)
    assert Action.WRITE_START not in story.live(FAULT, 5) + story.live(STANDBY, 20)


def test_stop_stands_while_the_register_says_so() -> None:
    """A system that runs all the same has not stopped yet, or was never started by way of it."""
    story = Story()
    story.live(OK)
    story.state = story.state.stopped_by_user()
    story.live(STANDBY, 3)
    story.live(replace(OK, work_state=WorkState.STOP), 3)
    assert Action.WRITE_START not in story.live(FAULT, 5) + story.live(STANDBY, 20)


def test_stop_is_over_when_another_system_has_started_it() -> None:
    """It was seen stopped, and runs while the register says START."""
    story = Story()
    story.live(OK)
    story.state = story.state.stopped_by_user()
    story.live(STANDBY, 3)
    story.live(OK)
    story.live(FAULT)
    assert story.live(STANDBY, 3) == [Action.WRITE_START]


def test_stop_of_a_user_leaves_a_reset_under_way() -> None:
    """It ends the intent to start, not the reset of the fault."""
    story = faulty()
    story.state = story.state.stopped_by_user()
    assert story.live(FAULT, 29) == []
    assert story.live(FAULT) == [Action.RESET]
    story.state = story.state.stopped_by_user()
    assert story.state.step is Step.RESETTING


def test_start_that_a_user_stopped_is_not_missed() -> None:
    """A STOP right after START leaves the system in Standby, which is no START without effect."""
    story = faulty()
    story.live(INIT)
    assert story.live(STANDBY) == [Action.WRITE_START]
    story.state = story.state.stopped_by_user()
    assert story.live(STANDBY, 400) == []


def test_second_stop_stands_although_the_system_was_seen_stopped_after_the_first() -> None:
    """Earlier readings do not revoke it."""
    story = Story()
    story.live(OK)
    story.state = story.state.stopped_by_user()
    story.live(STANDBY, 3)
    story.state = story.state.stopped_by_user()
    story.live(OK, 2)
    assert Action.WRITE_START not in story.live(FAULT, 5) + story.live(STANDBY, 20)


def test_start_of_a_user_takes_back_a_stop() -> None:
    """Once the system has run after it, it is started again after a fault."""
    story = Story()
    story.live(OK)
    story.state = story.state.stopped_by_user().started_by_user()
    story.live(OK)
    story.live(FAULT)
    assert story.live(STANDBY, 3) == [Action.WRITE_START]


def test_system_that_was_stopped_has_to_run_again_before_it_is_started() -> None:
    """A user's START that ends in a fault at once is not repeated."""
    story = Story()
    story.live(OK)
    story.state = story.state.stopped_by_user().started_by_user()
    story.live(FAULT)
    assert Action.WRITE_START not in story.live(STANDBY, 20)


@pytest.mark.parametrize("course", [pytest.param([INIT], id="before"), pytest.param([INIT, STANDBY], id="after")])
def test_start_of_a_user_takes_the_place_of_the_one_of_the_recovery(course: list[RecoveryInputs]) -> None:
    """START is not written a second time, and its effect is not the recovery's."""
    story = faulty()
    for watched in course:
        story.live(watched)
    story.state = story.state.started_by_user()
    assert story.live(STANDBY, 400) == []


def test_latches_outlast_the_recovery() -> None:
    """A recovery that is switched off remembers what forbids to start, and nothing else."""
    latched = Recovery(stopped=True, halted=True, smoke=True)
    busy = replace(latched, step=Step.RESETTING, since=5, healthy=True, running=True, stop_owed=True)
    assert busy.latches() == latched


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [pytest.param(599, [Action.WRITE_START], id="10 minutes"), pytest.param(600, [], id="more than 10 minutes")],
)
def test_more_than_ten_minutes_without_readings_end_the_intent_to_start(seconds: int, expected: list[Action]) -> None:
    """Nobody knows what happened meanwhile; a shorter gap is bridged."""
    story = faulty()
    story.live(BLIND, seconds)
    assert story.live(STANDBY, 10)[:1] == expected


def test_fault_that_began_out_of_sight_is_left_alone() -> None:
    """As one that was there at first: what preceded it is not known."""
    story = Story()
    story.live(OK)
    story.live(BLIND, 601)
    assert story.live(FAULT, 100) == []


@pytest.mark.parametrize(
    "course",
    [
        pytest.param([], id="at first"),
        pytest.param([OK], id="running"),
        pytest.param([OK, FAULT], id="after a fault"),
        pytest.param([OK, FAULT, STANDBY], id="after a start"),
    ],
)
def test_nothing_is_done_blindly(course: list[RecoveryInputs]) -> None:
    """While the state is not known, nothing is done."""
    story = Story()
    for watched in course:
        story.live(watched, 2)
    assert story.live(BLIND, 59) == []


WATCHED = st.builds(
    RecoveryInputs,
    system_state=st.sampled_from([None, *SystemState, SystemState.FAULT, SystemState.FAULT]),
    work_state=st.sampled_from([None, *WorkState]),
    smoke=st.sampled_from([False] * 9 + [True]),
    may_start=st.booleans(),
    may_reset=st.booleans(),
    reset_settled=st.booleans(),
)
ACTS = st.sampled_from(
    [None] * 12 + [Recovery.stopped_by_user, Recovery.started_by_user, Recovery.acknowledged_by_user]
)
LEAPS = st.sampled_from([(1, 0), (5, 0), (40, 0), (700, 0), (0, 3600), (0, -3600)])


def _check(
    action: Action, watched: RecoveryInputs, before: Recovery, now: Moment, *, forbidden: bool, smoke: bool
) -> None:
    """Hold one action against the rules."""
    if action is Action.WRITE_START:
        assert watched.system_state is SystemState.STANDBY
        assert watched.may_start
        assert not forbidden
        assert not smoke
    if action is Action.RESET:
        assert watched.system_state is SystemState.FAULT
        assert watched.may_reset
        assert not smoke
        assert now.monotonic - before.since >= 30


@given(st.lists(st.tuples(WATCHED, LEAPS, ACTS), max_size=60))
@examples(max_examples=400, deadline=None)
def test_properties(course: list[tuple[RecoveryInputs, tuple[int, int], Any]]) -> None:
    """Whatever happens: START only where it may be, never after a user's STOP or smoke, never twice in one attempt."""
    state, now = Recovery(), Moment(100_000.0, 1_800_000_000.0)
    forbidden = smoke = healthy = started = halted = False
    for watched, (seconds, jump), act in course:
        now = Moment(now.monotonic + seconds, now.wall + seconds + jump)
        if act is not None:
            state = act(state)
            forbidden = act is Recovery.stopped_by_user or (forbidden and act is Recovery.acknowledged_by_user)
            smoke, halted = smoke and act is Recovery.stopped_by_user, False
        smoke = smoke or watched.smoke
        healthy = healthy or watched.system_state not in {None, SystemState.FAULT}
        halted = halted or (forbidden and watched.system_state in {SystemState.STOP, SystemState.STANDBY})
        if watched.system_state is SystemState.START and halted and watched.work_state is not WorkState.STOP:
            forbidden = halted = False
        before = state
        state, actions = advance(before, watched, now)
        assert advance(before, watched, now) == (state, actions)
        assert healthy or not actions
        for action in actions:
            _check(action, watched, before, now, forbidden=forbidden, smoke=smoke)
        if watched.system_state not in {None, SystemState.STANDBY}:
            started = False
        assert not (started and Action.WRITE_START in actions)
        started = started or Action.WRITE_START in actions
