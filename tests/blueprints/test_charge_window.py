"""Charge window: charges within hours, while a price is low, or both, up to a state of charge."""

import pytest

from .house import ESS, GRID, SOC, House

PRICE = "sensor.price"


@pytest.mark.parametrize(
    ("start", "end", "charges"),
    [
        pytest.param("00:00:00", "00:00:00", True, id="whole-day"),
        pytest.param("09:00:00", "11:00:00", True, id="inside"),
        pytest.param("11:00:00", "12:00:00", False, id="before"),
        pytest.param("22:00:00", "06:00:00", False, id="after-the-night"),
        pytest.param("22:00:00", "11:00:00", True, id="inside-the-night"),
    ],
)
async def test_hours(house: House, start: str, end: str, charges: bool) -> None:
    """It is ten o'clock."""
    house.show(SOC, 40, "%")
    await house.run("charge_window", start=start, end=end)
    await house.wait(59)
    command = {"config_entry_id": "refu", "active_power": -20_000, "duration": "00:01:30"}
    assert house.commands == ([command] * 2 if charges else [])


@pytest.mark.parametrize(
    ("price", "charges"), [(49.9, True), (50, True), (50.1, False), (-3, True), ("unavailable", False), ("nan", False)]
)
async def test_price(house: House, price: object, charges: bool) -> None:
    """The highest price is 50."""
    house.show(SOC, 40, "%")
    house.show(PRICE, price, "EUR/MWh")
    await house.run("charge_window", price=PRICE, highest_price=50)
    await house.wait(30)
    assert house.powers == ([-20_000] if charges else [])
    assert house.complaints() == []


async def test_state_of_charge(house: House) -> None:
    """It ends where it should, and starts again 3 % below."""
    house.show(SOC, 88, "%")
    await house.run("charge_window")
    await house.wait(30)
    assert house.commands == []
    house.show(SOC, 87, "%")
    await house.wait(30)
    house.show(SOC, 89, "%")
    await house.wait(30)
    assert len(house.commands) == 2
    house.show(SOC, 90, "%")
    await house.wait(60)
    assert len(house.commands) == 2


@pytest.mark.parametrize(
    ("grid", "unit", "ess", "powers"),
    [
        pytest.param(50, "kW", 0, [-10_000], id="room-for-half"),
        pytest.param(50_000, "W", 0, [-10_000], id="in-W"),
        pytest.param(20, "kW", 0, [-20_000], id="enough-room"),
        pytest.param(59.5, "kW", 0, [], id="no-room"),
        pytest.param(60, "kW", -15, [-15_000], id="charges-already"),
        pytest.param("unavailable", "kW", 0, [], id="grid-unavailable"),
        pytest.param(50, "hp", 0, [], id="grid-in-another-unit"),
        pytest.param(50, "kW", "unknown", [], id="ESS-unknown"),
    ],
)
async def test_highest_import(house: House, grid: object, unit: str, ess: object, powers: list[float]) -> None:
    """The import stays below 60 kW."""
    house.show(SOC, 40, "%")
    house.show(GRID, grid, unit)
    house.show(ESS, ess, "kW")
    await house.run("charge_window", grid_power=GRID, ess_power=ESS, grid_limit=60)
    await house.wait(30)
    assert house.powers == powers
    assert house.complaints() == []


async def test_a_meter_needs_the_power_of_the_ess(house: House) -> None:
    """An import that cannot be limited is not risked."""
    house.show(SOC, 40, "%")
    house.show(GRID, 10, "kW")
    await house.run("charge_window", grid_power=GRID, grid_limit=60)
    await house.wait(60)
    assert house.commands == []
    assert house.complaints() == []


async def test_an_old_reading_ends_the_commands(house: House) -> None:
    """A reading of the meter counts for two minutes."""
    house.show(SOC, 40, "%")
    house.show(GRID, 10, "kW")
    house.show(ESS, 0, "kW")
    await house.run("charge_window", grid_power=GRID, ess_power=ESS, grid_limit=60)
    await house.wait(300)
    assert len(house.commands) == 4
