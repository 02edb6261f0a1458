"""The first oracle: the register map, which the declarations never read, field by field."""

from typing import Any

import pytest
from modbus_connection.model import NumberField

from custom_components.refu_ess.ess import ALARMS, BITS, BLOCKS, CHANNELS, DERIVED, REGISTER_CHANNELS, Severity, Site
from custom_components.refu_ess.ess.catalogue import SITE_ENTRIES
from custom_components.refu_ess.ess.status import ShiftedStatus, Status
from tests.registers import REGISTER_MAP as MAP

BY_NAME: dict[str, dict[str, Any]] = {channel["name"]: channel for channel in MAP["channels"]}
DECLARED = {entry.channel.table_name: entry for entry in CHANNELS if entry.channel.table_name}
REGISTERS = [channel for channel in MAP["channels"] if channel["address"] is not None]
TO_OURS = {"mV": ("V", 0.001), "mA": ("A", 0.001)}
CELLS = ("BatteryHighestVoltage", "BatteryLowestVoltage")
SEVERITIES = {"fault": Severity.FAULT, "warning": Severity.WARNING, "info": Severity.INFO, "ready": Severity.READY}


def test_every_channel_and_no_other() -> None:
    """Every channel of the table is declared once, and those of registers on registers."""
    names = [entry.channel.table_name for entry in CHANNELS if entry.channel.table_name]
    assert sorted(names) == sorted(BY_NAME)
    assert len(names) == len(MAP["channels"]) == MAP["about"]["channel_count"]
    counts = MAP["about"]["counts_by_table"]
    assert len(REGISTER_CHANNELS) == len(REGISTERS) == counts["input"] + counts["holding"]


@pytest.mark.parametrize("channel", REGISTERS, ids=lambda one: one["name"])
def test_place(channel: dict[str, Any]) -> None:
    """Address, width, space and block are those of the map."""
    entry = DECLARED[channel["name"]]
    assert entry.field is not None
    assert entry.field.address == channel["address"]
    assert entry.field.count == channel["registers"]
    assert entry.block is not None
    component = BLOCKS[entry.block]
    assert component.register_space == channel["table"]
    (block,) = (one for one in MAP["read_blocks"] if one["id"] == channel["block"])
    start, end = block["start"], block["start"] + block["count"] - 1
    assert (start, end) in (component.register_ranges or ())


@pytest.mark.parametrize("channel", REGISTERS, ids=lambda one: one["name"])
def test_value(channel: dict[str, Any]) -> None:
    """Sign, scale, negation, word order and unit are those of the map, shown by what words decode to."""
    entry = DECLARED[channel["name"]]
    assert entry.field is not None
    unit, factor = channel["unit_effective"] or None, 1.0
    if channel["name"] not in CELLS and unit in TO_OURS:
        unit, factor = TO_OURS[unit]
    assert entry.unit == unit
    if channel["kind"] == "enum":
        return
    for probe in (0, 1, 7, 0x7FFF, 0x8000, 0xFFFF):
        words = [probe] * channel["registers"]
        if channel["registers"] == 2:
            assert channel["word_order"] == "LSW_FIRST"
            words = [probe, 2]
            raw, width = probe + (2 << 16), 32
        else:
            raw, width = probe, 16
        if channel["signed"] and raw >= 1 << (width - 1):
            raw -= 1 << width
        expected = raw * channel["scale_effective"] * factor * (-1 if channel["negate"] else 1)
        assert entry.field.decode(words) == pytest.approx(expected)


@pytest.mark.parametrize("channel", [one for one in REGISTERS if one["kind"] == "enum"], ids=lambda one: one["name"])
def test_codes(channel: dict[str, Any]) -> None:
    """Every code has the map's label, and no other code has a meaning."""
    field = DECLARED[channel["name"]].field
    assert isinstance(field, NumberField)
    labels = {label["value"]: label["table_text"] for label in channel["labels"]}
    found = {code: field.decode([code]) for code in range(10)}
    assert {code: value.label for code, value in found.items() if value is not None} == labels
    assert DECLARED[channel["name"]].codes is type(found[0])


LABELS = [(channel, label) for channel in REGISTERS if channel["kind"] == "bitfield" for label in channel["labels"]]


def test_every_bit_and_no_other() -> None:
    """Every labelled bit is declared once."""
    declared = sorted((entry.word.channel.table_name, entry.field.start) for entry in BITS)
    assert declared == sorted((channel["name"], label["bit"]) for channel, label in LABELS)
    assert len(declared) == MAP["about"]["labelled_bits"]


@pytest.mark.parametrize(
    ("channel", "label"), LABELS, ids=[f"{channel['name']}.{label['bit']}" for channel, label in LABELS]
)
def test_bit(channel: dict[str, Any], label: dict[str, Any]) -> None:
    """Mask, text, severity and inversion are those of the map, and so is the place in the shifted layout."""
    place = (channel["name"], label["bit"])
    (entry,) = (one for one in BITS if (one.word.channel.table_name, one.field.start) == place)
    assert entry.field.address == channel["address"]
    assert entry.field.mask == label["mask"]
    assert entry.bit.label == label["table_text"].strip()
    assert entry.bit.severity is SEVERITIES[label["severity"]]
    assert (entry.bit.severity is Severity.READY) is label["inverted"]
    assert entry.bit.depends_on_layout is ("bit_2018plus" in label)
    if entry.block == "status":
        shifted = ShiftedStatus.declared_fields[entry.key]
        assert shifted.mask == label.get("mask_2018plus", label["mask"])  # type: ignore[union-attr]
        assert shifted.address == channel["address"]


def test_battery_group_is_the_one_in_the_text() -> None:
    """A bit that speaks for a battery group names that group in its label."""
    for entry in BITS:
        if entry.bit.group is not None:
            assert f"group {entry.bit.group}" in entry.bit.label
            assert entry.field.start == entry.bit.group - 1
        else:
            assert "group 1" not in entry.bit.label


def test_constants() -> None:
    """The static channels have the map's values by default, and the configured ones those of OpenEMS 2017."""
    site = Site()
    assert site.capacity == BY_NAME["capacity"]["static_value"]
    assert site.max_nominal_power == BY_NAME["maxNominalPower"]["static_value"]
    assert site.allowed_apparent == BY_NAME["allowedApparent"]["static_value"]
    assert site.grid_mode == BY_NAME["GridMode"]["static_value"]
    assert site.grid_mode.label == BY_NAME["GridMode"]["labels"][0]["table_text"]
    assert (site.min_soc, site.effective_charge_soc) == (10, 8)


def test_nothing_else_is_read() -> None:
    """The declared ranges are the map's blocks, so what it names as never read lies outside or is dropped."""
    ranges = {
        (component.register_space, one) for component in BLOCKS.values() for one in component.register_ranges or ()
    }
    wanted = {
        ("input" if block["function"] == 4 else "holding", (block["start"], block["start"] + block["count"] - 1))
        for block in MAP["read_blocks"]
    }
    assert ranges == wanted
    addresses = {field.address for component in BLOCKS.values() for field in component.declared_fields.values()}
    assert not {0x119, 0x134} & addresses


def test_both_layouts_are_alike_but_for_the_doubtful_bits() -> None:
    """The shifted block declares the same names."""
    assert list(ShiftedStatus.declared_fields) == list(Status.declared_fields)


def test_channels_without_a_register() -> None:
    """Channels without a register are configured or computed, in the map's unit."""
    elsewhere = {channel["name"]: channel for channel in MAP["channels"] if channel["address"] is None}
    site = {entry.channel.table_name: entry for entry in SITE_ENTRIES if entry.channel.table_name}
    computed = {value.channel.table_name for value in DERIVED.values() if value.channel.table_name}
    assert set(site) == {name for name, channel in elsewhere.items() if channel["table"] in {"static", "config"}}
    assert computed == {name for name, channel in elsewhere.items() if channel["table"] == "computed"}
    for name, entry in site.items():
        assert (entry.unit or "") == elsewhere[name]["unit_effective"], name
        assert (entry.block, entry.field) == (None, None), name


def test_what_the_warning_channel_lists_is_an_alarm() -> None:
    """Every labelled bit of a word that the channel Warning gathers can be an alarm."""
    gathered = set(BY_NAME["Warning"]["members"])
    assert {entry for entry in BITS if entry.word.channel.table_name in gathered} <= set(ALARMS)
