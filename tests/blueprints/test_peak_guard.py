"""Peak guard: the mean import of a quarter-hour stays below 80 kW, with as little energy as possible."""

from typing import Any

import pytest

from .house import ESS, GRID, PEAK, QUARTER, House

ALLOWED = "sensor.allowed"


async def test_the_first_ten_minutes_are_left_alone(house: House) -> None:
    """100 kW at a limit of 80 kW waits for ten minutes, then spends what is left evenly."""
    house.readings(100)
    await house.run("peak_guard")
    await house.wait(60)
    assert house.commands == []
    await house.at(10)
    house.readings(100, quarter_kwh=100 * 10 / 60)
    await house.wait(10)
    # 20 kWh less 16.667 kWh over 290 s, since it is 10:10:10, allow 41.4 kW.
    assert house.commands == [{"config_entry_id": "refu", "active_power": 58_700, "duration": "00:00:30"}]


async def test_it_acts_early_if_the_battery_could_not_catch_up(house: House) -> None:
    """Above 60 % of what the battery can give, it does not wait."""
    house.show(ALLOWED, 30, "kW")
    house.readings(100)
    await house.run("peak_guard", allowed_discharge=ALLOWED)
    await house.at(1)
    house.readings(100, quarter_kwh=100 / 60)
    await house.wait(10)
    assert house.powers == [20_500]


async def test_it_discharges_no_more_than_is_allowed(house: House) -> None:
    """The allowed power of the battery counts as soon as it is lower, in any unit."""
    house.show(ALLOWED, 30, "kW")
    house.readings(120, quarter_kwh=None)
    await house.run("peak_guard", allowed_discharge=ALLOWED)
    await house.wait(10)
    assert house.powers == [30_000]
    house.show(ALLOWED, 20_000, "W")
    house.readings(101, quarter_kwh=None, ess_kw=20)
    await house.wait(10)
    assert house.powers == [30_000, 20_000]


@pytest.mark.parametrize(
    ("grid", "ess", "quarter"),
    [
        pytest.param((100, "kW"), (0, "kW"), (50 / 3, "kWh"), id="kW"),
        pytest.param((100_000, "W"), (0, "W"), (50_000 / 3, "Wh"), id="W"),
        pytest.param((0.1, "MW"), (0, "kW"), (0.05 / 3, "MWh"), id="MW"),
        pytest.param((70_000, "W"), (30, "kW"), (50 / 3, "kWh"), id="mixed-while-discharging"),
    ],
)
async def test_any_unit(
    house: House, grid: tuple[float, str], ess: tuple[float, str], quarter: tuple[float, str]
) -> None:
    """The same site in other units leads to the same command in W."""
    house.readings(0)
    house.show(GRID, *grid)
    house.show(ESS, *ess)
    house.show(QUARTER, *quarter)
    await house.run("peak_guard")
    await house.at(10, 1)
    for entity, value in ((GRID, grid), (QUARTER, quarter)):
        house.show(entity, *value, seen=1)
    await house.wait(9)
    assert house.powers == [58_700]


async def test_without_the_energy_of_the_quarter_hour_it_is_a_cap(house: House) -> None:
    """Nothing may be saved for later."""
    house.readings(100, quarter_kwh=None)
    await house.run("peak_guard")
    await house.wait(10)
    assert house.powers == [20_000]


@pytest.mark.parametrize(
    ("peak", "unit", "watts"),
    [
        pytest.param(90, "kW", 10_000, id="above-the-contract"),
        pytest.param(90_000, "W", 10_000, id="in-W"),
        pytest.param(70, "kW", 20_000, id="below-the-contract"),
        pytest.param("unknown", "kW", 20_000, id="unknown"),
        pytest.param(90, None, 20_000, id="without-unit"),
    ],
)
async def test_the_limit_is_the_higher_of_contract_and_peak(
    house: House, peak: object, unit: str | None, watts: int
) -> None:
    """A peak that has been billed anyway is free; one of an unknown unit does not count."""
    house.readings(100, quarter_kwh=None)
    house.show(PEAK, peak, unit)
    await house.run("peak_guard")
    await house.wait(10)
    assert house.powers == [watts]


WINTER = {"first_day": "11-01", "last_day": "02-28", "weekdays": ["mon", "wed"], "from": "09:00:00", "to": "11:00:00"}
WHOLE_DAY = {"from": "00:00:00", "to": "00:00:00"}


@pytest.mark.parametrize(
    ("windows", "acts"),
    [
        pytest.param([], True, id="none-given"),
        pytest.param([WINTER], True, id="inside"),
        pytest.param([WINTER | {"weekdays": ["thu"]}], False, id="another-weekday"),
        pytest.param([WINTER | {"first_day": "12-01"}], False, id="before-the-season"),
        pytest.param([WINTER | {"from": "11:00:00", "to": "12:00:00"}], False, id="before-the-hours"),
        pytest.param([WINTER | {"from": "22:00:00", "to": "11:00:00"}], True, id="over-midnight"),
        pytest.param([{"from": "10:00:00", "to": "10:15:00"}], True, id="hours-only"),
        pytest.param([WINTER | {"first_day": "12-01"}, WHOLE_DAY], True, id="inside-the-second"),
    ],
)
async def test_windows(house: House, windows: list[dict[str, Any]], acts: bool) -> None:
    """Outside all windows nothing is shaved. It is Wednesday, 25 November, ten o'clock."""
    house.readings(100, quarter_kwh=None)
    await house.run("peak_guard", windows=windows)
    await house.wait(10)
    assert house.powers == ([20_000] if acts else [])


@pytest.mark.parametrize(
    ("soc", "inputs", "powers"),
    [
        pytest.param(10, {}, [], id="at-the-lowest"),
        pytest.param(11, {}, [20_000], id="above-the-lowest"),
        pytest.param(51, {"ceiling_soc": 50}, [], id="above-the-ceiling"),
        pytest.param(50, {"ceiling_soc": 50}, [20_000], id="at-the-ceiling"),
    ],
)
async def test_state_of_charge(house: House, soc: float, inputs: dict[str, Any], powers: list[float]) -> None:
    house.readings(100, quarter_kwh=None, soc=soc)
    await house.run("peak_guard", **inputs)
    await house.wait(10)
    assert house.powers == powers


@pytest.mark.parametrize(
    ("grid", "ess", "soc", "powers"),
    [
        pytest.param(50, 0, 60, [-20_000], id="enough-room"),
        pytest.param(60, 0, 60, [-12_000], id="up-to-nine-tenths-of-80-kW"),
        pytest.param(69.5, 0, 60, [], id="less-than-3-kW-to-start-with"),
        pytest.param(69.5, -12, 60, [-14_500], id="charges-already"),
        pytest.param(50, 0, 76, [], id="starts-5-percent-below-its-end"),
        pytest.param(50, -12, 76, [-20_000], id="goes-on-to-its-end"),
        pytest.param(50, -12, 80, [], id="at-its-end"),
    ],
)
async def test_recharging_below_the_limit(
    house: House, grid: float, ess: float, soc: float, powers: list[float]
) -> None:
    """Its own charging must not set the peak."""
    house.readings(grid, ess_kw=ess, soc=soc)
    await house.run("peak_guard", recharge_power=20)
    await house.wait(10)
    assert house.powers == powers
