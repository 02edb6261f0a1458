"""The picture: immutable, developed only where something changed, and the same as one made from scratch."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from modbus_connection import IllegalDataAddressError, ModbusError, ModbusTimeoutError, ServerDeviceBusyError
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import (
    ALARMS,
    BITS,
    BLOCKS,
    CHANNELS,
    COMPUTED,
    CONDITIONS,
    REGISTER_CHANNELS,
    BitEntry,
    ChannelEntry,
    Exposure,
    InverterStatusLayout,
    Picture,
    RefuEss,
    Severity,
    develop,
    effective_severity,
)
from custom_components.refu_ess.ess.site import SITE_CHANNELS
from tests.registers import (
    ACTIVE_POWER,
    BATTERY_ADDRESSES,
    BATTERY_BLOCK,
    BATTERY_FAULT_10,
    BATTERY_MODE,
    FIRST_SETTING,
    INVERTER_STATUS,
    SETTING_BLOCKS,
    SOC,
    STATUS_ADDRESSES,
    STATUS_BLOCK,
    SYSTEM_ERROR_1,
    held,
)

from .clock import Clock

READ = {*(entry.key for entry in REGISTER_CHANNELS), *(entry.key for entry in BITS)}
CONFIGURED = {*SITE_CHANNELS, "battery_groups"}


async def test_nobody_can_change_a_picture(device: RefuEss, unit: MockModbusUnit) -> None:
    """A picture stays as it was taken, whatever later polls bring."""
    await device.async_poll()
    picture = device.picture
    with pytest.raises(FrozenInstanceError):
        picture.values = {}  # type: ignore[misc]
    for mapping in (picture.values, picture.words, picture.words["status"], picture.codes):
        with pytest.raises(TypeError):
            mapping["soc"] = 1  # type: ignore[index]
    unit.input[SOC] = 51
    await device.async_poll()
    assert (picture.values["soc"], device.picture.values["soc"]) == (50, 51)
    assert (picture.words["battery"][SOC], device.picture.words["battery"][SOC]) == (50, 51)


async def test_half_a_poll_is_no_picture(
    device: RefuEss, unit: MockModbusUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that is cancelled in the middle leaves the picture as it was."""
    await device.async_poll()
    before, read = device.picture, unit.read_input_registers
    unit.input.update({ACTIVE_POWER: 250, SOC: 51})

    async def hang(address: int, count: int) -> list[int]:
        assert device.picture is before
        if address == BATTERY_BLOCK:
            await asyncio.sleep(60)
        return await read(address, count)

    monkeypatch.setattr(unit, "read_input_registers", hang)
    task = asyncio.create_task(device.async_poll())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert device.picture is before
    monkeypatch.undo()
    await device.async_poll()
    assert {"active_power", "soc"} <= device.picture.changed


def test_needs_are_read_or_configured() -> None:
    """Computed values depend on read values only, so that one pass is enough."""
    for key, computed in COMPUTED.items():
        assert set(computed.needs) <= READ | CONFIGURED, key
        assert len(computed.needs) == len(set(computed.needs)), key
    assert COMPUTED.keys().isdisjoint(READ | CONFIGURED)


def test_conditions_are_told_after_what_explains_them() -> None:
    """Categories come after the channels and bits, and fault and warning after the categories."""
    ranks = {key: condition.rank for key, condition in CONDITIONS.items()}
    assert {key for key, rank in ranks.items() if rank == 2} == {"fault", "warning"}
    assert {key for key, rank in ranks.items() if rank == 0} == {"charging"}


async def test_everything_is_new_at_first(device: RefuEss) -> None:
    """The first picture changes every key, and the first reading each that is read or computed."""
    assert device.picture.changed == device.picture.values.keys() == READ | CONFIGURED | COMPUTED.keys()
    await device.async_poll()
    assert device.picture.changed == READ | COMPUTED.keys()
    assert {entry.key for entry in CHANNELS} < device.picture.values.keys()


async def test_nothing_changed(device: RefuEss, clock: Clock) -> None:
    """A poll that brings the same words changes nothing but the time of the reading."""
    for _ in range(3):
        await device.async_poll()
    before = device.picture
    clock.now += 5
    await device.async_poll(settings=False)
    assert device.picture.changed == frozenset()
    assert device.picture.values is before.values
    assert device.blocks["status"].read_at == 1005


def shown_with(entry: BitEntry) -> set[str]:
    """Return the keys that differ when an alarm comes into a healthy system: its word and what sums it up."""
    keys = {entry.key, entry.word.key}
    if entry.bit.severity is not Severity.INFO:
        keys |= {"active_alarms", "most_severe_alarm", f"{entry.bit.category.value}_problem"}
        keys.add("fault" if effective_severity(entry) is Severity.FAULT else "warning")
    return {key.replace("contactors_", "contactor_") for key in keys}


@pytest.mark.parametrize("entry", BITS, ids=lambda entry: entry.key)
async def test_a_flipped_bit(device: RefuEss, unit: MockModbusUnit, entry: BitEntry) -> None:
    """A bit changes itself, its word, and what is computed from it; nothing else."""
    unit.input[INVERTER_STATUS] = 0
    for _ in range(3):  # a counter that reads zero is shown at the third poll
        await device.async_poll()
    address, mask = entry.field.address, entry.field.mask
    for _ in range(2):
        unit.input[address] = held(unit.input, address) ^ mask
        await device.async_poll()
        assert device.picture.changed == shown_with(entry)


async def test_another_alarm_in_its_place(device: RefuEss, unit: MockModbusUnit) -> None:
    """The list of alarms changes although their number does not."""
    unit.input[BATTERY_FAULT_10] = 1 << 8
    await device.async_poll()
    unit.input[BATTERY_FAULT_10] = 1 << 11
    await device.async_poll()
    assert device.picture.values["active_alarms"] == 1
    assert "active_alarms" in device.picture.changed
    assert "fault" not in device.picture.changed


async def test_a_code_without_a_name(device: RefuEss, unit: MockModbusUnit) -> None:
    """A code that no source names is unknown, but which one it is can be seen."""
    unit.input[BATTERY_MODE] = 7
    await device.async_poll()
    unit.input[BATTERY_MODE] = 8
    await device.async_poll()
    assert device.picture.values["battery_mode"] is None
    assert device.picture.codes["battery_mode"] == 8
    assert device.picture.changed == {"battery_mode"}


async def test_availability_is_a_change(device: RefuEss, unit: MockModbusUnit) -> None:
    """All keys of a failing block are among the changes, also those unknown before, and so is its return."""
    unit.input[SOC] = 101
    await device.async_poll()
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    picture = device.picture
    assert picture.values["soc"] is None
    assert {"soc", "stored_energy", "battery_voltage", "fuse_fault", "active_alarms", "fault"} <= picture.changed
    for key in ("soc", "stored_energy", "fuse_fault", "insulation_problem", "time_to_full"):
        assert not picture.available(key), key
    for key in ("active_power", "bms_ready", "fault", "most_severe_alarm", "inverter_problem", "charging", "capacity"):
        assert picture.available(key), key
    await device.async_poll()
    assert device.picture.changed == frozenset()
    unit.fail_read(BATTERY_BLOCK, None, register_type="input")
    await device.async_poll()
    assert device.picture.changed >= picture.changed - {"fault"}
    assert device.picture.unavailable == frozenset()


async def test_a_site_that_changes(device: RefuEss) -> None:
    """A change of the site changes what is computed from it, and nothing else."""
    await device.async_poll()
    pictures: list[Picture] = []
    device.on_picture = pictures.append
    device.site = replace(device.site, min_soc=20)
    assert [picture.changed for picture in pictures] == [{"min_soc", "charge_soc", "energy_above_reserve"}]
    device.site = replace(device.site, battery_groups=2)
    assert device.picture.changed == {"battery_groups"}


async def test_most_severe_alarm_may_be_hidden(device: RefuEss, unit: MockModbusUnit) -> None:
    """A warning is the most severe alarm only while no fault may be hidden."""
    unit.input[SYSTEM_ERROR_1] = held(unit.input, SYSTEM_ERROR_1) | 1 << 6
    await device.async_poll()
    assert device.picture.values["most_severe_alarm"] == "overvoltage_warning"
    unit.fail_read(BATTERY_BLOCK, ServerDeviceBusyError(), register_type="input")
    await device.async_poll()
    assert device.picture.values["most_severe_alarm"] is None
    unit.input[SYSTEM_ERROR_1] = held(unit.input, SYSTEM_ERROR_1) | 1
    await device.async_poll()
    assert device.picture.values["most_severe_alarm"] == "bms_in_error"


REGISTERS: tuple[ChannelEntry | BitEntry, ...] = (*REGISTER_CHANNELS, *BITS)
KEYS = sorted(READ)
PART_OF = {entry.key: entry.block for entry in REGISTERS}
NUMBER = st.one_of(st.none(), st.integers(-5000, 5000))
VALUES = st.fixed_dictionaries(
    {
        **dict.fromkeys(READ, NUMBER),
        **{entry.key: st.sampled_from([False, True, None]) for entry in BITS},
        **dict.fromkeys(("capacity", "min_soc"), st.integers(1, 5)),
        "battery_groups": st.integers(1, 4),
    }
)
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def exposures(draw: st.DrawFn) -> Exposure:
    """Any values at all, of which whole blocks may be unavailable."""
    site = dict.fromkeys(SITE_CHANNELS)
    failed = draw(st.sets(st.sampled_from(sorted(BLOCKS))))
    values = site | draw(VALUES)
    unavailable = frozenset(key for key in READ if PART_OF[key] in failed)
    values |= dict.fromkeys(unavailable)
    codes = draw(st.dictionaries(st.just("battery_mode"), st.integers(0, 2)))
    return Exposure(values=values, unavailable=unavailable, codes=codes)


def looks(picture: Picture) -> Mapping[str, Any]:
    """Return what each key shows."""
    looks = {key: (value, picture.available(key), picture.codes.get(key)) for key, value in picture.values.items()}
    return looks | {"active_alarms": (looks["active_alarms"], picture.alarms)}


@given(st.lists(exposures(), min_size=2, max_size=4))
@QUIET
def test_step_by_step_is_as_from_scratch(steps: list[Exposure]) -> None:
    """However a picture came to be it is the one of its exposure alone, and its changes are the differences."""
    picture = develop(None, steps[0])
    for exposure in steps[1:]:
        before, picture = picture, develop(picture, exposure)
        scratch = develop(None, exposure)
        assert looks(picture) == looks(scratch)
        old, new = looks(before), looks(picture)
        assert picture.changed == {key for key in new if new[key] != old[key]}
        assert {key for key, value in picture.values.items() if value is not None}.isdisjoint(picture.unavailable)


EVERY_BLOCK = [STATUS_BLOCK, BATTERY_BLOCK, *SETTING_BLOCKS]
WORDS = st.dictionaries(st.sampled_from([*STATUS_ADDRESSES, *BATTERY_ADDRESSES]), st.integers(0, 0xFFFF), max_size=12)
FAILURES = st.dictionaries(
    st.sampled_from(EVERY_BLOCK),
    st.sampled_from([IllegalDataAddressError(), ServerDeviceBusyError(), ModbusTimeoutError("late")]),
    max_size=3,
)


@given(st.lists(st.tuples(WORDS, FAILURES, st.floats(0.5, 400)), min_size=1, max_size=6))
@QUIET
async def test_any_polls(polls: list[tuple[dict[int, int], dict[int, ModbusError], float]]) -> None:
    """After any polls each value is that of the words read last, unless it is implausible or its block failed."""
    logging.disable(logging.CRITICAL)
    unit, clock = MockModbusConnection().for_unit(1), Clock()
    unit.input.update(dict.fromkeys([*STATUS_ADDRESSES, *BATTERY_ADDRESSES], 0))
    device = RefuEss(unit, clock=clock)
    for words, failures, seconds in polls:
        unit.input.update(words)
        for address in EVERY_BLOCK:
            space = "input" if address < FIRST_SETTING else "holding"
            unit.fail_read(address, failures.get(address), register_type=space)  # type: ignore[arg-type]
        with suppress(ModbusError):
            await device.async_poll()
        clock.now += seconds
        check(device)
    logging.disable(logging.NOTSET)


def check(device: RefuEss) -> None:
    """Decode and compute everything again."""
    picture = device.picture
    for entry in REGISTERS:
        assert entry.block is not None
        assert entry.field is not None
        words = picture.words[entry.block]
        addresses = range(entry.field.address, entry.field.address + entry.field.count)
        if not picture.available(entry.key):
            assert picture.values[entry.key] is None
        elif entry.key in device.plausibility.overrides:
            assert picture.values[entry.key] == device.plausibility.overrides[entry.key]
        elif isinstance(entry, BitEntry) and entry.bit.depends_on_layout and picture.suggested_layout:
            assert picture.values[entry.key] is None
        else:
            assert picture.values[entry.key] == entry.field.decode([words[address] for address in addresses])
    assert looks(picture) == looks(develop(None, picture.exposure))


def test_all_alarms_are_summed_up() -> None:
    """Each alarm is part of its severity and of its category."""
    for entry in ALARMS:
        using = {key for key, condition in CONDITIONS.items() if entry.key in condition.needs}
        assert len(using) == 2
        assert using & {"fault", "warning"}


async def test_layout_in_doubt_is_a_change(device: RefuEss, unit: MockModbusUnit) -> None:
    """When the layout is disproved its bits change to unknown, and what they may hide with them."""
    unit.input.update({INVERTER_STATUS: 1 << 13 | 1 << 8, ACTIVE_POWER: 250})
    for _ in range(3):
        await device.async_poll()
    assert device.picture.suggested_layout is InverterStatusLayout.SHIFTED
    in_doubt = {entry.key for entry in BITS if entry.bit.depends_on_layout}
    sums = {"warning", "inverter_problem", "active_alarms", "most_severe_alarm"}
    assert device.picture.changed >= in_doubt | sums - {"most_severe_alarm"}
