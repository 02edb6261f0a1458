"""The protection of the state of charge."""

import math

import pytest
from hypothesis import given, settings as examples, strategies as st

from custom_components.refu_ess.ess.enums import SystemState
from custom_components.refu_ess.ess.limit import Limit
from custom_components.refu_ess.ess.refusal import OutOfRangeError
from custom_components.refu_ess.ess.soc_protection import (
    UNBOUNDED,
    SocBounds,
    SocSettings,
    SocState,
    bounds,
    next_state,
)

SETTINGS = SocSettings(min_soc=10, charge_soc=8, max_soc=95)
UNKNOWN = SocBounds(0, 0, Limit.SOC_UNKNOWN, Limit.SOC_UNKNOWN)


def forced(upper_w: float) -> SocBounds:
    """The bounds of a forced charge."""
    return SocBounds(upper_w=upper_w, upper_limit=Limit.SOC_CHARGE)


@pytest.mark.parametrize(
    ("state", "soc", "expected"),
    [
        ("normal", 11, "normal"),
        ("normal", 10, "min_soc"),
        ("normal", 3, "min_soc"),
        ("normal", None, "normal"),
        ("min_soc", 14, "min_soc"),
        ("min_soc", 15, "normal"),
        ("min_soc", 8, "min_soc"),
        ("min_soc", 7, "charge_soc"),
        ("min_soc", None, "min_soc"),
        ("charge_soc", 10, "charge_soc"),
        ("charge_soc", 11, "min_soc"),
        ("normal", 94, "normal"),
        ("normal", 95, "full"),  # the maximum is one
        ("full", 94, "full"),
        ("full", 93, "normal"),  # 2 points below it
        ("full", 11, "normal"),
        ("full", 10, "min_soc"),  # what was not seen on the way down loosens nothing
        ("full", None, "full"),
    ],
)
def test_states(state: str, soc: float | None, expected: str) -> None:
    """The four states follow the state of charge with their hysteresis; unknown changes nothing."""
    found = next_state(SocState(state), soc, 0, SystemState.START, SETTINGS)
    assert found is SocState(expected)


@pytest.mark.parametrize(
    ("allowed_w", "system_state"),
    [
        (100, SystemState.START),
        (-100, SystemState.START),  # the charge limit is shown negative
        (-90_000, SystemState.START),
        (0, SystemState.STANDBY),
        (0, None),
    ],
)
def test_full_needs_all_three(allowed_w: float, system_state: SystemState | None) -> None:
    """99 % alone is not full: the battery must take nothing more, and the system must run."""
    assert next_state(SocState.NORMAL, 99, allowed_w, system_state, SocSettings()) is SocState.NORMAL


def test_full_battery_below_the_maximum() -> None:
    """From 99 % on, a running battery that takes nothing more is full."""
    assert next_state(SocState.NORMAL, 99, 0, SystemState.START, SocSettings()) is SocState.FULL
    assert next_state(SocState.NORMAL, 99, None, SystemState.START, SocSettings()) is SocState.FULL
    assert next_state(SocState.NORMAL, 98, 0, SystemState.START, SocSettings()) is SocState.NORMAL


@pytest.mark.parametrize(
    ("state", "soc", "charge_w", "discharge_w", "expected"),
    [
        ("normal", 50, 90_000, 90_000, UNBOUNDED),
        *((state.value, None, 90_000, 90_000, UNKNOWN) for state in SocState),
        ("min_soc", 9, 90_000, 90_000, SocBounds(upper_w=0)),
        ("full", 99, 0, 90_000, SocBounds(lower_w=0)),
        ("charge_soc", 7, 90_000, 90_000, forced(-18_000)),  # a fifth
        ("charge_soc", 7, -90_000, 90_000, forced(-18_000)),
        ("charge_soc", 7, 3000, 90_000, forced(-1000)),
        ("charge_soc", 7, 500, 90_000, forced(-500)),  # never past what the battery permits
        ("charge_soc", 7, 90_000, -80_000, forced(-18_000)),
        ("charge_soc", 0, 90_000, 0, forced(-18_000)),
        ("charge_soc", 0, 5100, 99, forced(-5100)),
        ("charge_soc", 7, 0, 90_000, forced(0)),
        ("charge_soc", 7, None, 90_000, forced(0)),
        ("charge_soc", 0, 20_000, 0, forced(-5100)),  # beyond the dead band of an empty battery
        ("charge_soc", 0, 5000, 0, SocBounds(upper_w=0)),  # which cannot hold less
        ("charge_soc", 7, None, None, SocBounds(upper_w=0)),
    ],
)
def test_bounds(
    state: str, soc: float | None, charge_w: float | None, discharge_w: float | None, expected: SocBounds
) -> None:
    """Each state demands what it must."""
    assert bounds(SocState(state), soc, charge_w, discharge_w) == expected


ALLOWED = st.none() | st.floats(-120_000, 120_000)


@given(st.sampled_from(SocState), st.floats(0, 100), ALLOWED, ALLOWED)
@examples(max_examples=300, deadline=None)
def test_missing_data_loosens_nothing(
    state: SocState, soc: float, charge_w: float | None, discharge_w: float | None
) -> None:
    """Without the state of charge every bound is at least as narrow as with it, and the state stays."""
    known, unknown = bounds(state, soc, charge_w, discharge_w), bounds(state, None, charge_w, discharge_w)
    assert unknown == UNKNOWN
    assert not known.lower_w  # what is forbidden while it is known is no more than that
    assert next_state(state, None, charge_w, SystemState.START, SETTINGS) is state


@given(ALLOWED, ALLOWED)
@examples(max_examples=300, deadline=None)
def test_forced_charge_can_be_delivered(charge_w: float | None, discharge_w: float | None) -> None:
    """It is at least a fifth of what the battery permits, never more than all, and outside the dead band if empty."""
    upper_w = bounds(SocState.CHARGE_SOC, 5, charge_w, discharge_w).upper_w
    permitted, empty = abs(charge_w or 0), abs(discharge_w or 0) < 100
    assert upper_w is not None
    assert -permitted <= upper_w <= 0
    if empty:
        assert upper_w <= -5100 or (upper_w == 0 and permitted < 5100)
    if not empty or permitted >= 5100:
        assert upper_w <= -permitted / 5


@given(st.sampled_from(SocState), st.floats(0, 10), ALLOWED, st.sampled_from(SystemState))
@examples(max_examples=300, deadline=None)
def test_no_gap_at_the_minimum(state: SocState, soc: float, charge_w: float | None, system_state: SystemState) -> None:
    """At and below the minimum nothing is discharged, whatever the state was."""
    found = next_state(state, soc, charge_w, system_state, SETTINGS)
    upper_w = bounds(found, soc, charge_w, 90_000).upper_w
    assert upper_w is not None
    assert upper_w <= 0


@pytest.mark.parametrize(
    ("wrong", "name", "minimum", "maximum"),
    [
        ({"min_soc": -1}, "min_soc", 0, 93),
        ({"min_soc": 94}, "min_soc", 0, 93),  # so that there is room for the hysteresis below full
        ({"min_soc": math.nan}, "min_soc", 0, 93),
        ({"charge_soc": 11}, "charge_soc", 0, 10),
        ({"charge_soc": -1}, "charge_soc", 0, 10),
        ({"max_soc": 15}, "max_soc", 16, 100),
        ({"max_soc": 101}, "max_soc", 16, 100),
    ],
)
def test_settings_out_of_order(wrong: dict[str, float], name: str, minimum: float, maximum: float) -> None:
    """Limits in the wrong order are refused by name, with the range that the others leave."""
    with pytest.raises(OutOfRangeError) as refused:
        SocSettings(**wrong)
    found = refused.value
    assert (found.field, found.minimum, found.maximum, found.unit) == (name, minimum, maximum, "%")


@pytest.mark.parametrize(
    "permitted",
    [
        {"min_soc": 0, "charge_soc": 0},
        {"min_soc": 93, "max_soc": 99},
        {"charge_soc": 10},
        {"charge_soc": 0},
        {"max_soc": 16},
        {"max_soc": 100},
    ],
)
def test_ends_of_the_ranges_are_permitted(permitted: dict[str, float]) -> None:
    """The charge limit may be the minimum, and the maximum lies beyond the hysteresis."""
    settings = SocSettings(**permitted)
    assert {name: getattr(settings, name) for name in permitted} == permitted
