"""Values computed from others."""

from typing import Any

import pytest
from modbus_connection.mock import MockModbusUnit

from custom_components.refu_ess.ess import CHANNELS, RefuEss, Site

from .conftest import polled

CHANNEL = {entry.key: entry for entry in CHANNELS}


@pytest.mark.parametrize(
    ("key", "words", "expected"),
    [
        ("stored_energy", {0x121: 50}, 65.0),
        ("stored_energy", {0x121: 0}, 0.0),
        ("stored_energy", {0x121: 101}, None),
        ("energy_above_reserve", {0x121: 50}, 52.0),
        ("energy_above_reserve", {0x121: 5}, 0.0),
        ("energy_above_reserve", {0x121: 101}, None),
        ("energy_to_full", {0x121: 50}, 65.0),
        ("energy_to_full", {0x121: 101}, None),
        ("time_to_empty", {0x121: 50, 0x10D: 130}, 300),  # 65 kWh at 13 kW
        ("time_to_empty", {0x121: 50, 0x10D: 10}, 3900),  # 1 kW is enough to tell
        ("time_to_empty", {0x121: 50, 0x10D: 9}, None),  # too little power to tell
        ("time_to_empty", {0x121: 0, 0x10D: 130}, 0),
        ("time_to_empty", {0x121: 50, 0x10D: 0x10000 - 130}, None),
        ("time_to_empty", {0x121: 101, 0x10D: 130}, None),
        ("time_to_full", {0x121: 50, 0x10D: 0x10000 - 130}, 300),
        ("time_to_full", {0x121: 50, 0x10D: 130}, None),
        ("cell_voltage_spread", {0x12B: 3320, 0x12C: 3301}, 19),
        ("temperature_spread", {0x12D: 3, 0x12E: 0xFFFE}, 5),
        ("full_cycles", {0x128: 1300}, 10.0),
        ("full_cycles", {0x128: 1234}, 9.5),
        ("full_cycles", {0x128: 0}, 0.0),
        ("round_trip_efficiency", {0x126: 2000, 0x128: 1800}, 90.0),
        ("round_trip_efficiency", {0x126: 1300, 0x128: 1300}, 100.0),  # ten cycles, all of it back
        ("round_trip_efficiency", {0x126: 3000, 0x128: 2500}, 83.3),
        ("round_trip_efficiency", {0x126: 1299, 0x128: 1200}, None),  # fewer than ten cycles
        ("round_trip_efficiency", {0x126: 2000, 0x128: 2010}, None),  # more out than in
        ("most_severe_alarm", {0x101: 0x600, 0x102: 0x17}, "none"),
        ("active_alarms", {0x101: 0x601, 0x102: 0x17}, 1),
    ],
)
async def test_value(key: str, words: dict[int, int], expected: Any) -> None:
    """Each value is what a person would compute."""
    assert (await polled(words)).picture.values[key] == expected


async def test_energies_follow_the_capacity(unit: MockModbusUnit) -> None:
    """Energies are those of the battery that is installed, to 10 Wh, and the reserve is the site's."""
    unit.input[0x121] = 33
    device = RefuEss(unit, Site(capacity=12_345, min_soc=20))
    await device.async_poll()
    found = {key: device.picture.values[key] for key in ("stored_energy", "energy_above_reserve", "energy_to_full")}
    assert found == {"stored_energy": 4.07, "energy_above_reserve": 1.6, "energy_to_full": 8.27}


@pytest.mark.parametrize("key", ["time_to_full", "cell_voltage_spread", "full_cycles", "round_trip_efficiency"])
async def test_unknown_stays_unknown(key: str) -> None:
    """Before anything was read nothing can be computed."""
    assert (await polled({}, times=0)).picture.values[key] is None


@pytest.mark.parametrize(("word", "charging"), [(0x10000 - 1, True), (0, False), (1, False)])
async def test_charging(word: int, charging: bool) -> None:
    """Negative active power is charging."""
    assert (await polled({0x10D: word})).picture.values["charging"] is charging


async def test_charging_is_unknown_at_first() -> None:
    """Before anything was read it is not known."""
    assert (await polled({}, times=0)).picture.values["charging"] is None
