"""The protection of the state of charge."""

import pytest

from custom_components.refu_ess.ess.enums import SystemState
from custom_components.refu_ess.ess.soc_protection import (
    UNBOUNDED,
    SocBounds,
    SocSettings,
    SocState,
    bounds,
    next_state,
)

SETTINGS = SocSettings(min_soc=10, charge_soc=8, max_soc=95)


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
        ("normal", 99, "full"),
        ("full", 95, "full"),
        ("full", 94, "normal"),
        ("full", None, "full"),
    ],
)
def test_states(state: str, soc: float | None, expected: str) -> None:
    """The four states follow the state of charge with their hysteresis; unknown changes nothing."""
    found = next_state(SocState(state), soc, 0, SystemState.START, SETTINGS)
    assert found is SocState(expected)


@pytest.mark.parametrize(("allowed_w", "system_state"), [(100, SystemState.START), (0, SystemState.STANDBY), (0, None)])
def test_full_needs_all_three(allowed_w: float, system_state: SystemState | None) -> None:
    """99 % alone is not full: the battery must take nothing more, and the system must run."""
    assert next_state(SocState.NORMAL, 99, allowed_w, system_state, SETTINGS) is SocState.NORMAL


@pytest.mark.parametrize(
    ("state", "soc", "charge_w", "discharge_w", "expected"),
    [
        ("normal", 50, 90_000, 90_000, UNBOUNDED),
        ("normal", None, 90_000, 90_000, SocBounds(upper_w=0)),  # unknown permits no discharge
        ("min_soc", 9, 90_000, 90_000, SocBounds(upper_w=0)),
        ("full", 99, 0, 90_000, SocBounds(lower_w=0)),
        ("charge_soc", 7, 90_000, 90_000, SocBounds(upper_w=-18_000)),  # a fifth
        ("charge_soc", 7, -90_000, 90_000, SocBounds(upper_w=-18_000)),
        ("charge_soc", 7, 3000, 90_000, SocBounds(upper_w=-1000)),
        ("charge_soc", 7, 500, 90_000, SocBounds(upper_w=0)),  # never past what the battery permits
        ("charge_soc", 0, 20_000, 0, SocBounds(upper_w=-5100)),  # beyond the dead band of an empty battery
        ("charge_soc", 0, 5000, 0, SocBounds(upper_w=0)),  # which cannot hold less
        ("charge_soc", 7, None, None, SocBounds(upper_w=0)),
    ],
)
def test_bounds(
    state: str, soc: float | None, charge_w: float | None, discharge_w: float | None, expected: SocBounds
) -> None:
    """Each state demands what it must."""
    assert bounds(SocState(state), soc, charge_w, discharge_w) == expected


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"charge_soc": 11}, "charge_soc"),
        ({"charge_soc": -1}, "charge_soc"),
        ({"max_soc": 15}, "max_soc"),
        ({"max_soc": 100}, "max_soc"),
    ],
)
def test_settings_out_of_order(wrong: dict[str, float], name: str) -> None:
    """Limits that do not stand in their order are refused by name."""
    with pytest.raises(ValueError, match=name):
        SocSettings(**wrong)
