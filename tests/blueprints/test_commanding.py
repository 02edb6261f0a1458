"""Rules that the blueprints that command the ESS share."""

from typing import Any

import pytest

from .house import ESS, GRID, SOC, House

with_meter = pytest.mark.parametrize("name", ["peak_guard", "surplus"])


@with_meter
@pytest.mark.parametrize(
    ("entity", "value", "unit"),
    [
        pytest.param(GRID, "unavailable", "kW", id="grid-unavailable"),
        pytest.param(GRID, "unknown", "kW", id="grid-unknown"),
        pytest.param(GRID, "nan", "kW", id="grid-not-a-number"),
        pytest.param(GRID, "100", "BTU/h", id="grid-in-another-unit"),
        pytest.param(GRID, "100", None, id="grid-without-unit"),
        pytest.param(ESS, "unavailable", "kW", id="ESS-unavailable"),
        pytest.param(ESS, "0", "hp", id="ESS-in-another-unit"),
        pytest.param(SOC, "unavailable", "%", id="SoC-unavailable"),
    ],
)
async def test_nothing_is_commanded_on_bad_readings(
    house: House, name: str, entity: str, value: str, unit: str | None
) -> None:
    """Unknown readings lead to no command and no error; the command follows as soon as they are known."""
    house.readings(150, quarter_kwh=35)
    house.show(entity, value, unit)
    await house.run(name)
    await house.at(11)
    reading = (value, unit) if entity == GRID else ("150", "kW")
    house.show(GRID, *reading, seen=1)  # a new one, or its age would be the reason
    await house.wait(30)
    assert house.commands == []
    house.readings(150, quarter_kwh=35)
    await house.wait(10)
    assert len(house.commands) == 1
    assert house.complaints() == []


@with_meter
async def test_an_old_reading_ends_the_commands(house: House, name: str) -> None:
    """A meter that falls silent without becoming unavailable is not believed for longer than a minute."""
    house.readings(150, quarter_kwh=35)
    await house.run(name)
    await house.at(11)
    house.readings(150.1, quarter_kwh=35)
    await house.wait(180)
    assert len(house.commands) == 6
    assert {command["duration"] for command in house.commands} == {"00:00:30"}


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        pytest.param("peak_guard", {}, id="peak_guard"),
        pytest.param("surplus", {"discharge_power": 1000}, id="surplus"),
    ],
)
async def test_a_slow_meter_does_not_make_it_swing(house: House, name: str, inputs: dict[str, Any]) -> None:
    """While the meter still shows the time before the command, what the battery delivers is not added."""
    house.readings(150)
    await house.run(name, **inputs)
    await house.wait(10)
    first = house.powers[-1]
    assert first > 60_000
    house.show(ESS, first / 1000, "kW")
    await house.wait(20)
    assert [round(power, -4) for power in house.powers] == [round(first, -4)] * 3


@pytest.mark.parametrize(("name", "watts"), [("peak_guard", 20_000), ("surplus", 100_000)])
async def test_export_as_positive(house: House, name: str, watts: int) -> None:
    house.readings(-100, quarter_kwh=None)
    await house.run(name, export_positive=True)
    await house.wait(10)
    assert house.powers == [watts]


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        pytest.param("peak_guard", {"meter_timeout": 3600}, id="peak_guard"),
        pytest.param("surplus", {"meter_timeout": 3600}, id="surplus"),
        pytest.param("charge_window", {}, id="charge_window"),
    ],
)
async def test_a_refusal_is_logged_once_a_minute(house: House, name: str, inputs: dict[str, Any]) -> None:
    """An ESS in fault refuses; the automation goes on trying without filling the log."""
    house.refuses = True
    house.readings(150, quarter_kwh=None)
    await house.run(name, **inputs)
    await house.wait(180)
    assert 2 <= len(house.commands) <= 3
    assert len(house.complaints()) == len(house.commands)
