"""Plausibility, the layout of InverterStatus, and the probe."""

import logging

import pytest
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
from modbus_connection.mock import MockModbusUnit

from custom_components.refu_ess.ess import CHANNELS, InverterStatusLayout, RefuEss, SystemState, async_probe
from custom_components.refu_ess.ess.plausibility import CounterFilter
from custom_components.refu_ess.ess.status_layout import LayoutEvidence
from tests.registers import (
    ACTIVE_POWER,
    ACTIVE_POWER_L1,
    ACTIVE_POWER_L2,
    ACTIVE_POWER_L3,
    BATTERY_ADDRESSES,
    BATTERY_ALARM_1,
    BATTERY_ALARM_2,
    BATTERY_ALARM_3,
    BATTERY_ALARM_4,
    BATTERY_BLOCK,
    BATTERY_OPERATION,
    BATTERY_STATE,
    BATTERY_VOLTAGE,
    BATTERY_VOLTAGE_PCS,
    CHARGE_ENERGY,
    COMMUNICATION,
    DCDC_STATUS,
    DISCHARGE_ENERGY,
    INVERTER_STATUS,
    SOC,
    STATUS_ADDRESSES,
    STATUS_BLOCK,
    SYSTEM_ERROR_1,
    SYSTEM_STATE,
)

from .clock import Clock
from .polled import alarms

CHANNEL = {entry.key: entry for entry in CHANNELS}

HALF_OF_THE_BITS = (
    *(SYSTEM_ERROR_1, COMMUNICATION, INVERTER_STATUS, DCDC_STATUS, BATTERY_OPERATION),
    *(BATTERY_ALARM_1, BATTERY_ALARM_2, BATTERY_ALARM_3, BATTERY_ALARM_4),
)
"""Words of bits; no system sets all of them."""


def feed(readings: list[int | None], seconds: float = 10) -> list[int | None]:
    """Return what a counter shows for a row of readings."""
    counter = CounterFilter()
    return [counter.accept(reading, index * seconds) for index, reading in enumerate(readings)]


def test_counter_counts_up() -> None:
    """A counter that rises by at most 10 kWh is shown as it is."""
    assert feed([100, 100, 101, 111]) == [100, 100, 101, 111]


def test_first_zero_proves_itself() -> None:
    """An initial zero may be a device that is waking up: it is accepted at the third poll."""
    assert feed([0, 0, 0, 0]) == [None, None, 0, 0]
    assert feed([0, 500, 500]) == [None, 500, 500]


@pytest.mark.parametrize("glitch", [0, 50, 65_636, -1, None])
def test_one_glitch_is_held(glitch: int | None) -> None:
    """One wrong reading changes nothing."""
    assert feed([100, glitch, 101]) == [100, 100, 101]


def test_real_reset_is_followed() -> None:
    """A fall that stays is taken at the third reading, and a jump too."""
    assert feed([100, 0, 0, 0, 1]) == [100, 100, 100, 0, 1]
    assert feed([100, 900, 901, 902, 903]) == [100, 100, 100, 902, 903]
    assert feed([100, 900, 5, 900, 5]) == [100] * 5


def test_gap_widens_the_jump() -> None:
    """After an hour without a reading 120 kWh more are possible."""
    assert feed([100, 230], seconds=3600) == [100, 230]
    assert feed([100, 231], seconds=3600) == [100, 100]


def test_standing_still_is_no_gap() -> None:
    """The jump that is permitted is counted from the last good reading, not from the last rise."""
    counter = CounterFilter()
    for hour in range(5):
        assert counter.accept(100, hour * 3600) == 100
    assert counter.accept(111, 4 * 3600 + 10) == 100


def test_start_of_the_clock_permits_no_jump() -> None:
    """When the clock began says nothing about how long ago the last reading was."""
    counter = CounterFilter()
    assert counter.accept(100, 1e6) == 100
    assert counter.accept(111, 1e6 + 10) == 100


def test_gap_counts_by_the_second() -> None:
    """In half a minute of gap one kWh more is possible, in a second less it is not."""
    assert feed([100, 111], seconds=30) == [100, 111]
    assert feed([100, 111], seconds=29) == [100, 100]


def test_jump_may_grow_while_it_proves_itself() -> None:
    """A jump is confirmed by readings that rise by at most 10 kWh, and by none that fall."""
    assert feed([100, 900, 910, 920]) == [100, 100, 100, 920]
    assert feed([100, 900, 911, 922]) == [100] * 4
    assert feed([100, 900, 899, 898, 897]) == [100] * 5


@pytest.mark.parametrize("reading", [-1, -(2**31), None])
def test_negative_counter_is_never_shown(reading: int | None) -> None:
    """A negative reading proves nothing, however often it comes."""
    assert feed([reading] * 5) == [None] * 5
    assert feed([100, *[reading] * 5, 101]) == [100] * 6 + [101]


def test_old_doubts_prove_nothing() -> None:
    """A good reading between two jumped ones restarts the confirmation of the jump."""
    assert feed([100, 900, 900, 101, 900, 900, 900]) == [100, 100, 100, 101, 101, 101, 900]


async def test_doubt_is_told_again(device: RefuEss, unit: MockModbusUnit, caplog: pytest.LogCaptureFixture) -> None:
    """A doubt that returns is logged again; one that lasts is logged once."""
    unit.input.update({CHARGE_ENERGY: 1, DISCHARGE_ENERGY: 1})
    caplog.set_level(logging.INFO)
    for soc in (101, 102, 50, 50, 101, 101):
        unit.input[SOC] = soc
        await device.async_poll()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
    assert caplog.records[0].getMessage() == "Implausible soc: read 101, showing unknown"
    assert device.plausibility.doubts == {"soc": 4}


async def test_held_counter_is_counted(
    device: RefuEss, unit: MockModbusUnit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A held counter is logged once each way and counted in the diagnostics."""
    caplog.set_level(logging.INFO)
    unit.input.update({CHARGE_ENERGY: 500, DISCHARGE_ENERGY: 400})
    await device.async_poll()
    unit.input[CHARGE_ENERGY] = 0
    for _ in range(2):
        clock.now += 10
        await device.async_poll()
    assert device.picture.values["battery_charge_energy"] == 500
    assert device.plausibility.doubts == {"battery_charge_energy": 2}
    unit.input[CHARGE_ENERGY] = 501
    clock.now += 10
    await device.async_poll()
    assert device.picture.values["battery_charge_energy"] == 501
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.records[0].getMessage() == "Implausible battery_charge_energy: read 0, showing 500"


async def test_soc_above_100(device: RefuEss, unit: MockModbusUnit) -> None:
    """A state of charge above 100 % is unknown, and so is what follows from it."""
    unit.input[SOC] = 101
    await device.async_poll()
    assert device.picture.values["soc"] is None
    assert device.picture.values["stored_energy"] is None
    unit.input[SOC] = 100
    await device.async_poll()
    assert device.picture.values["soc"] == 100


@pytest.mark.parametrize(
    ("state", "battery", "inverter", "shown"),
    [
        (4, 7680, 7000, 768.0),  # 9 % apart
        (4, 8000, 7200, 800.0),  # 10 % of the larger
        (4, 7200, 8000, 720.0),
        (4, 8000, 7199, None),
        (4, 7199, 8000, None),
        (4, 1, 7680, None),  # however small
        (4, 7680, 6900, None),  # more than 10 %
        (4, 77, 7680, None),  # a factor of 100 less, as some software reads it
        (3, 7680, 100, 768.0),  # contactors open
        (4, 7680, 0, 768.0),  # no reading at the inverter
    ],
)
async def test_battery_voltage(
    device: RefuEss, unit: MockModbusUnit, state: int, battery: int, inverter: int, shown: float | None
) -> None:
    """While running, a battery voltage more than 10 % from its twin is not shown as truth."""
    unit.input.update({SYSTEM_STATE: state, BATTERY_VOLTAGE: battery, BATTERY_VOLTAGE_PCS: inverter})
    await device.async_poll()
    assert device.picture.values["battery_voltage"] == shown


def observe(device: RefuEss, evidence: LayoutEvidence, times: int) -> InverterStatusLayout | None:
    """Show the evidence so many polls."""
    for _ in range(times):
        evidence.observe(device.blocks["status"].readings)
    return evidence.suggested


@pytest.mark.parametrize(
    ("chosen", "word", "state", "power", "suggested"),
    [
        ("documented", 1 << 13, 4, 250, "shifted"),  # running, bit 14 clear
        ("documented", 1 << 13, 4, 0x10000 - 250, "shifted"),  # charging
        ("documented", 1 << 13, 4, 10, "shifted"),  # 1 kW is clear
        ("documented", 1 << 13, 4, 9, None),  # no clear power flow
        ("documented", 1 << 13, 5, 250, None),  # fault
        ("documented", 1 << 13, 3, 250, None),  # not running
        ("documented", 1 << 14 | 1 << 13, 4, 250, None),
        ("documented", 0, 4, 250, None),
        ("shifted", 1 << 14, 0, 0, "documented"),  # at any time
        ("shifted", 1 << 13, 4, 250, None),
    ],
)
async def test_layout(
    device: RefuEss, unit: MockModbusUnit, chosen: str, word: int, state: int, power: int, suggested: str | None
) -> None:
    """Mains OK must be 1 while power flows: bit 14 speaks for the documented layout, bit 13 alone for the other."""
    unit.input.update({INVERTER_STATUS: word, SYSTEM_STATE: state, ACTIVE_POWER: power})
    await device.async_poll()
    evidence = LayoutEvidence(InverterStatusLayout[chosen.upper()])
    assert observe(device, evidence, 2) is None
    found = observe(device, evidence, 1)
    assert (None if found is None else found.slug) == suggested


@pytest.mark.parametrize(("word", "confirmed"), [(1 << 14, True), (1 << 13, False), (0, False)])
async def test_layout_is_confirmed(device: RefuEss, unit: MockModbusUnit, word: int, confirmed: bool) -> None:
    """Three readings that speak for the chosen layout confirm it, and suggest no other."""
    unit.input.update({INVERTER_STATUS: word, ACTIVE_POWER: 250})
    await device.async_poll()
    evidence = LayoutEvidence(InverterStatusLayout.DOCUMENTED)
    found = []
    for _ in range(4):
        found.append(evidence.confirmed)
        evidence.observe(device.blocks["status"].readings)
    assert found == [False, False, False, confirmed]
    assert not (evidence.confirmed and evidence.suggested)


async def test_layout_evidence_begins_anew(device: RefuEss, unit: MockModbusUnit) -> None:
    """Readings that speak for both layouts in turn prove neither."""
    evidence = LayoutEvidence(InverterStatusLayout.DOCUMENTED)
    unit.input[ACTIVE_POWER] = 250
    for word in (1 << 13, 1 << 13, 1 << 14, 1 << 13, 1 << 13):
        unit.input[INVERTER_STATUS] = word
        await device.async_poll()
        evidence.observe(device.blocks["status"].readings)
    assert evidence.suggested is None


async def test_disproved_layout_hides_its_bits(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Once the layout is disproved its doubtful bits are unknown, and no alarm."""
    unit.input.update({INVERTER_STATUS: 1 << 13 | 1 << 8, ACTIVE_POWER: 250})
    await device.async_poll()
    assert "inverter_warning" in alarms(device)
    for _ in range(2):
        clock.now += 1
        await device.async_poll()
    assert device.suggested_layout is InverterStatusLayout.SHIFTED
    assert alarms(device) == ()


async def test_probe_of_a_healthy_system(unit: MockModbusUnit) -> None:
    """A healthy system raises no doubt, and the probe asks for the two input blocks only."""
    unit.input[BATTERY_VOLTAGE] = 7680
    finding = await async_probe(unit)
    assert finding.system_state is SystemState.START
    assert (finding.soc, finding.battery_voltage, finding.doubts) == (50, 768.0, ())
    assert [(event.address, event.count) for event in unit.read_events] == [
        (block.start, len(block)) for block in (STATUS_ADDRESSES, BATTERY_ADDRESSES)
    ]


@pytest.mark.parametrize(
    ("words", "doubt"),
    [
        ({SYSTEM_STATE: 6}, "system_state"),
        ({BATTERY_STATE: 6}, "battery_state"),
        ({SOC: 101}, "soc"),
        ({BATTERY_VOLTAGE: 15_001}, "voltage"),
        ({BATTERY_VOLTAGE: 0xFFFF}, "voltage"),
        ({ACTIVE_POWER: 500, ACTIVE_POWER_L1: 100}, "phases"),
    ],
)
async def test_probe_of_something_else(unit: MockModbusUnit, words: dict[int, int], doubt: str) -> None:
    """Each reading that no REFU ESS gives is named."""
    unit.input.update(words)
    assert (await async_probe(unit)).doubts == (doubt,)


async def test_probe_of_all_zero_and_all_ones(unit: MockModbusUnit) -> None:
    """A server that has only zeros, and one that has only ones, are no REFU ESS."""
    unit.input.clear()
    assert (await async_probe(unit)).doubts == ("all_zero",)
    unit.input.update(dict.fromkeys([*STATUS_ADDRESSES, *BATTERY_ADDRESSES], 0xFFFF))
    finding = await async_probe(unit)
    assert {"system_state", "battery_state", "soc", "voltage", "unknown_bits"} <= set(finding.doubts)
    assert finding.system_state is None


@pytest.mark.parametrize(
    "words",
    [
        {ACTIVE_POWER: 500, ACTIVE_POWER_L1: 160, ACTIVE_POWER_L2: 160, ACTIVE_POWER_L3: 170},  # 1 kW apart
        {ACTIVE_POWER: 0xFE0C, ACTIVE_POWER_L1: 0xFF60, ACTIVE_POWER_L2: 0xFF60, ACTIVE_POWER_L3: 0xFF56},  # charging
        {BATTERY_VOLTAGE: 15_000},
        {BATTERY_VOLTAGE: 0},
        {SOC: 0},
        {SOC: 100},
        dict.fromkeys(HALF_OF_THE_BITS, 0xFFFF),
    ],
)
async def test_probe_within_limits(unit: MockModbusUnit, words: dict[int, int]) -> None:
    """Values at the edge of the possible raise no doubt."""
    unit.input.update(words)
    assert (await async_probe(unit)).doubts == ()


@pytest.mark.parametrize(
    ("words", "doubt"),
    [
        ({ACTIVE_POWER: 500, ACTIVE_POWER_L1: 160, ACTIVE_POWER_L2: 160, ACTIVE_POWER_L3: 169}, "phases"),
        # The phases discharge, the total charges.
        ({ACTIVE_POWER: 0xFE0C, ACTIVE_POWER_L1: 160, ACTIVE_POWER_L2: 170, ACTIVE_POWER_L3: 170}, "phases"),
        (
            dict.fromkeys((*HALF_OF_THE_BITS, *range(0x135, 0x13A)), 0xFFFF),
            "unknown_bits",
        ),
    ],
)
async def test_probe_beyond_limits(unit: MockModbusUnit, words: dict[int, int], doubt: str) -> None:
    """Values just beyond the possible are named."""
    unit.input.update(words)
    assert (await async_probe(unit)).doubts == (doubt,)


@pytest.mark.parametrize("error", [ModbusConnectionError("gone"), ModbusTimeoutError("late"), ServerDeviceBusyError()])
async def test_probe_that_fails(unit: MockModbusUnit, error: ModbusError) -> None:
    """Silence and a busy device are errors as they are."""
    unit.fail_requests(error)
    with pytest.raises(type(error)):
        await async_probe(unit)


@pytest.mark.parametrize("address", [STATUS_BLOCK, BATTERY_BLOCK])
async def test_probe_of_half_a_device(unit: MockModbusUnit, address: int) -> None:
    """Either block missing is an error, not a doubt."""
    unit.fail_read(address, IllegalDataAddressError(), register_type="input")
    with pytest.raises(IllegalDataAddressError):
        await async_probe(unit)
