"""The ranges of the settings."""

import math

import pytest

from custom_components.refu_ess.ess import (
    CONTROL_RANGES,
    SITE_RANGES,
    ControlSettings,
    OutOfRangeError,
    Range,
    Site,
    SocSettings,
)

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


def test_defaults_of_control() -> None:
    """Those of the documents, and of OpenEMS where it names a value."""
    assert ControlSettings() == ControlSettings(
        apparent_limit_va=100_000,
        start_delay_s=30,
        ramp_w_per_s=1000,
        stale_after_s=5,
        dead_band_w=5000,
        ignore_stop_request=False,
        longest_hold_s=86_400,
    )
    assert SocSettings() == SocSettings(min_soc=10, charge_soc=8, max_soc=100)


@pytest.mark.parametrize(
    ("site", "charge_soc"),
    [(Site(), 8), (Site(min_soc=1), 0), (Site(charge_soc=5), 5), (Site(charge_soc=0), 0)],
)
def test_charge_limit_is_two_below_the_minimum(site: Site, charge_soc: int) -> None:
    """Unless it is configured, and never below zero."""
    assert site.effective_charge_soc == charge_soc
