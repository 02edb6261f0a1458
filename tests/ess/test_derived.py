"""Values computed from others."""

from typing import Any

import pytest
from modbus_connection.mock import MockModbusUnit

from custom_components.refu_ess.ess import CHANNELS, RefuEss, Site
from tests.registers import (
    ACTIVE_POWER,
    CHARGE_ENERGY,
    COMMUNICATION,
    DISCHARGE_ENERGY,
    HIGHEST_TEMPERATURE,
    HIGHEST_VOLTAGE,
    LOWEST_TEMPERATURE,
    LOWEST_VOLTAGE,
    SOC,
    SYSTEM_ERROR_1,
)

from .polled import polled

CHANNEL = {entry.key: entry for entry in CHANNELS}


@pytest.mark.parametrize(
    ("key", "words", "expected"),
    [
        ("stored_energy", {SOC: 50}, 65.0),
        ("stored_energy", {SOC: 0}, 0.0),
        ("stored_energy", {SOC: 101}, None),
        ("energy_above_reserve", {SOC: 50}, 52.0),
        ("energy_above_reserve", {SOC: 5}, 0.0),
        ("energy_above_reserve", {SOC: 101}, None),
        ("energy_to_full", {SOC: 50}, 65.0),
        ("energy_to_full", {SOC: 101}, None),
        ("time_to_empty", {SOC: 50, ACTIVE_POWER: 130}, 300),  # 65 kWh at 13 kW
        ("time_to_empty", {SOC: 50, ACTIVE_POWER: 10}, 3900),  # 1 kW is enough
        ("time_to_empty", {SOC: 50, ACTIVE_POWER: 9}, None),  # too little power
        ("time_to_empty", {SOC: 0, ACTIVE_POWER: 130}, 0),
        ("time_to_empty", {SOC: 50, ACTIVE_POWER: 0x10000 - 130}, None),
        ("time_to_empty", {SOC: 101, ACTIVE_POWER: 130}, None),
        ("time_to_full", {SOC: 50, ACTIVE_POWER: 0x10000 - 130}, 300),
        ("time_to_full", {SOC: 50, ACTIVE_POWER: 130}, None),
        ("cell_voltage_spread", {HIGHEST_VOLTAGE: 3320, LOWEST_VOLTAGE: 3301}, 19),
        ("temperature_spread", {HIGHEST_TEMPERATURE: 3, LOWEST_TEMPERATURE: 0xFFFE}, 5),
        ("full_cycles", {DISCHARGE_ENERGY: 1300}, 10.0),
        ("full_cycles", {DISCHARGE_ENERGY: 1234}, 9.5),
        ("full_cycles", {DISCHARGE_ENERGY: 0}, 0.0),
        ("round_trip_efficiency", {CHARGE_ENERGY: 2000, DISCHARGE_ENERGY: 1800}, 90.0),
        ("round_trip_efficiency", {CHARGE_ENERGY: 1300, DISCHARGE_ENERGY: 1300}, 100.0),  # ten cycles, all of it back
        ("round_trip_efficiency", {CHARGE_ENERGY: 3000, DISCHARGE_ENERGY: 2500}, 83.3),
        ("round_trip_efficiency", {CHARGE_ENERGY: 1299, DISCHARGE_ENERGY: 1200}, None),  # fewer than ten cycles
        ("round_trip_efficiency", {CHARGE_ENERGY: 2000, DISCHARGE_ENERGY: 2010}, None),  # more out than in
        ("most_severe_alarm", {SYSTEM_ERROR_1: 0x600, COMMUNICATION: 0x17}, "none"),
        ("active_alarms", {SYSTEM_ERROR_1: 0x601, COMMUNICATION: 0x17}, 1),
    ],
)
async def test_value(key: str, words: dict[int, int], expected: Any) -> None:
    """Each value matches a manual calculation."""
    assert (await polled(words)).picture.values[key] == expected


async def test_energies_follow_the_capacity(unit: MockModbusUnit) -> None:
    """Energies are those of the battery that is installed, to 10 Wh, and the reserve is the site's."""
    unit.input[SOC] = 33
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
    assert (await polled({ACTIVE_POWER: word})).picture.values["charging"] is charging


async def test_charging_is_unknown_at_first() -> None:
    """Before anything was read it is not known."""
    assert (await polled({}, times=0)).picture.values["charging"] is None
