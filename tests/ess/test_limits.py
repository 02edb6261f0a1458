"""The ranges of the settings."""

import math

import pytest

from custom_components.refu_ess.ess import CONTROL_RANGES, SITE_RANGES, ControlSettings, OutOfRangeError, Range, Site

WEEK_S = 7 * 24 * 3600


@pytest.mark.parametrize("value", [0.99, 2.01, math.nan, math.inf, -math.inf])
def test_outside(value: float) -> None:
    """A value outside, or none at all, is refused by field, range and unit."""
    with pytest.raises(OutOfRangeError) as refused:
        Range(1, 2, "s").check("delay", value)
    assert str(refused.value) == "delay must be a finite number from 1 to 2 s"
    assert (refused.value.field, refused.value.minimum, refused.value.maximum, refused.value.unit) == (
        "delay",
        1,
        2,
        "s",
    )


@pytest.mark.parametrize("field", CONTROL_RANGES)
def test_settings_have_their_range(field: str) -> None:
    """Both ends of every range are permitted, and what lies beyond them is not."""
    permitted = CONTROL_RANGES[field]
    for value in (permitted.minimum, permitted.maximum):
        assert getattr(ControlSettings(**{field: value}), field) == value  # type: ignore[arg-type]
    for value in (permitted.minimum - 0.1, permitted.maximum + 0.1):
        with pytest.raises(OutOfRangeError, match=field):
            ControlSettings(**{field: value})  # type: ignore[arg-type]


def test_defaults_are_in_range() -> None:
    """The defaults of the site are permitted; those of the settings are checked when they are made."""
    for field, permitted in SITE_RANGES.items():
        default = getattr(Site(), field)
        if default is not None:
            permitted.check(field, default)


def test_longest_hold() -> None:
    """A setpoint is held for six minutes at least and a week at most, and for a day unless changed."""
    permitted = CONTROL_RANGES["longest_hold_s"]
    assert (permitted.minimum, permitted.maximum) == (360, WEEK_S)
    assert ControlSettings().longest_hold_s == 86_400
