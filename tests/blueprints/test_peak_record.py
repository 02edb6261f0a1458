"""Peak record: the highest quarter-hour of the billing period."""

from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.core import State
from homeassistant.setup import async_setup_component

from .house import PEAK, QUARTER, House

COUNTER = "sensor.counter"


async def add_peak(house: House, initial: float = 0, unit: str | None = "kW") -> None:
    """Add the number that keeps the peak."""
    number: dict[str, Any] = {"min": 0, "max": 1_000_000, "initial": initial, "step": 0.001}
    if unit is not None:
        number["unit_of_measurement"] = unit
    assert await async_setup_component(house.hass, "input_number", {"input_number": {"peak": number}})


async def quarter_end(house: House, minute: int = 15) -> float:
    """Pass the end of a quarter-hour and return the recorded peak."""
    await house.at(minute)
    await house.wait(7)
    return float(house.state(PEAK))


@pytest.mark.parametrize("expected_lingering_timers", [True])  # the Utility meter's own
async def test_a_utility_meter(house: House) -> None:
    """With Home Assistant's own helpers: the highest quarter-hour is kept, and the next month begins at 0."""
    house.begin_at(datetime(2026, 11, 30, 23, 20, 0, 300_000, tzinfo=UTC))

    def count(kwh: float) -> None:
        house.show(COUNTER, kwh, "kWh", device_class="energy", state_class="total_increasing")

    async def quarter(kwh: float) -> float:
        before = float(house.state(COUNTER))
        await house.wait(300, step=30)
        count(before + kwh)
        await house.wait(590, step=10)
        await house.wait(10)
        return float(house.state(PEAK))

    await add_peak(house)
    count(1000)
    meter = {"meter_quarter": {"source": COUNTER, "cycle": "quarter-hourly"}}
    assert await async_setup_component(house.hass, "utility_meter", {"utility_meter": meter})
    await house.hass.async_block_till_done()
    await house.run("peak_record")
    await house.wait(610, step=10)  # until 23:30:10
    assert await quarter(20) == 80
    assert await quarter(25) == 0  # it was the last of November, and December begins without a peak
    assert await quarter(5) == 20


async def test_the_month_changed_during_a_break(house: House) -> None:
    """Home Assistant was not running then; the peak of last month does not stay."""
    last_run = State("automation.peak_record", "on", {"last_triggered": "2026-10-31T23:45:05+00:00"})
    await add_peak(house, 95)
    house.show(QUARTER, 0, "kWh", last_period="12.5")
    with patch("homeassistant.helpers.restore_state.RestoreEntity.async_get_last_state", return_value=last_run):
        await house.run("peak_record")
    assert await quarter_end(house) == 50


@pytest.mark.parametrize(
    ("shown", "unit", "last_period", "peak_unit", "peak"),
    [
        pytest.param("0", "kWh", "25", "kW", 100, id="kWh"),
        pytest.param("0", "Wh", "25000", "kW", 100, id="Wh"),
        pytest.param("0", "MWh", "0.025", "W", 100_000, id="MWh-and-W"),
        pytest.param("unavailable", "kWh", "25", "kW", 50, id="energy-unavailable"),
        pytest.param("0", "kJ", "25", "kW", 50, id="energy-in-another-unit"),
        pytest.param("0", "kWh", None, "kW", 50, id="no-quarter-hour-yet"),
        pytest.param("0", "kWh", "25", None, 50, id="peak-without-unit"),
        pytest.param("0", "kWh", "10", "kW", 50, id="below-the-peak"),
    ],
)
async def test_any_unit(
    house: House, shown: str, unit: str, last_period: str | None, peak_unit: str | None, peak: float
) -> None:
    """A peak of 50 stays unless a known quarter-hour is higher."""
    await add_peak(house, 50, peak_unit)
    house.show(QUARTER, shown, unit, last_period=last_period)
    await house.run("peak_record")
    assert await quarter_end(house) == peak
    assert house.complaints() == []


async def test_windows(house: House) -> None:
    """The quarter-hour that has just ended is the one that must lie in a window."""
    await add_peak(house)
    house.show(QUARTER, 0, "kWh", last_period="25")
    await house.run("peak_record", windows=[{"from": "10:15:00", "to": "10:30:00"}])
    assert await quarter_end(house, 15) == 0
    assert await quarter_end(house, 30) == 100
