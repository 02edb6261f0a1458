"""The studies: their tables are those of the blueprints, and they repeat."""

import pytest
from homeassistant.core import HomeAssistant

from tests.studies import site as study, table


def test_the_studies_are_those_of_the_blueprints() -> None:
    """After a change of a blueprint or the studies, `scripts/study` writes the tables again."""
    assert table.stored_digest() == table.digest()


@pytest.mark.parametrize(
    "case", [1, 6, 10], ids=lambda index: f"{study.CASES[index][0].name}: {study.CASES[index][1].name}"
)
async def test_a_study_repeats(hass: HomeAssistant, case: int) -> None:
    """The same seed leads to the same hours."""
    first, second = (study.run(hass, *study.CASES[case], 2 / 24) for _ in range(2))
    assert first == second
    assert max(study.net_load(study.CASES[case][0], 2 / 24)) > 20


async def test_a_study_of_nine_hours(hass: HomeAssistant) -> None:
    """The guard keeps the limit that is broken without it, with less energy than a plain cap."""
    site = study.SITES[0]
    without, guard, cap = (study.run(hass, site, one, 0.4) for one in (study.NONE, study.GUARD, study.CAP))
    assert without.peak_kw > site.limit_kw
    assert guard.peak_kw <= site.limit_kw
    assert cap.peak_kw <= site.limit_kw
    assert 0 < guard.discharged_kwh < cap.discharged_kwh
