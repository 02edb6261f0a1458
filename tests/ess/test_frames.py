"""The second oracle: frames typed by a second reader of the documents, who has not seen the declarations."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_components.refu_ess.ess import BITS_BY_WORD, CHANNELS, InverterStatusLayout, RefuEss, Severity, Site
from custom_components.refu_ess.ess.enums import Code
from tests.registers import REGISTER_MAP

from .polled import polled

FIXTURES = Path(__file__).parents[1] / "fixtures"
FRAMES: list[dict[str, Any]] = [
    frame for path in sorted((FIXTURES / "frames").glob("*.json")) for frame in json.loads(path.read_text())
]
BY_NAME = {entry.channel.table_name: entry for entry in CHANNELS}
MAP = {channel["name"]: channel for channel in REGISTER_MAP["channels"]}


def plain(text: str) -> str:
    """Return a label without what spelling alone changes."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def table_text(channel: str, bit: int) -> str:
    """Return the channel table's own label of a bit; the second of two equal ones is marked as in the frames."""
    labels = MAP[channel]["labels"]
    (label,) = (one for one in labels if one["bit"] == bit)
    text = str(label["table_text"]).strip()
    earlier = [one for one in labels if one["bit"] < bit and str(one["table_text"]).strip() == text]
    return f"{text} (second)" if earlier else text


def set_bits(device: RefuEss, channel: str) -> list[str]:
    """Return the labels of the set bits of a word."""
    entries = BITS_BY_WORD[BY_NAME[channel].key]
    return [table_text(channel, entry.field.start) for entry in entries if device.picture.values[entry.key]]


async def poll(frame: dict[str, Any]) -> RefuEss:
    """Return a device that has read the frame."""
    words = {int(address, 16): word for address, word in frame["registers"].items()}
    layout = InverterStatusLayout[frame.get("layout", "documented").upper()]
    # More than two polls with bit 14 set would disprove the shifted layout and hide what is to be seen.
    # Every word has its value, also those that would be beyond belief on a system of 100 kVA.
    site = Site(inverter_status_layout=layout, max_nominal_power=1_000_000)
    return await polled(words, site=site, times=3 if layout is InverterStatusLayout.DOCUMENTED else 1)


def test_enough_frames() -> None:
    """There are at least forty frames, each with a name of its own."""
    names = [frame["name"] for frame in FRAMES]
    assert len(names) == len(set(names)) >= 40


@pytest.mark.parametrize("frame", FRAMES, ids=lambda one: one["name"])
async def test_frame(frame: dict[str, Any]) -> None:
    """Words in, expected values, bits, unknown bits and alarms out."""
    device = await poll(frame)
    for channel, expected in frame.get("values", {}).items():
        value = device.picture.values[BY_NAME[channel].key]
        if isinstance(expected, str):
            assert isinstance(value, Code), channel
            assert plain(value.label) == plain(expected), channel
        elif expected is None:
            assert value is None, channel
        else:
            assert value == pytest.approx(expected), channel
    for channel, expected in frame.get("bits", {}).items():
        assert sorted(set_bits(device, channel)) == sorted(text.strip() for text in expected), channel
    for channel, expected in frame.get("unknown_bits", {}).items():
        mask = device.unknown_bits.get(BY_NAME[channel].key, 0)
        assert [bit for bit in range(16) if mask >> bit & 1] == sorted(expected), channel
    if "problems" in frame:
        found = {
            f"{entry.word.channel.table_name}: {table_text(entry.word.channel.table_name or '', entry.field.start)}"
            for entry in device.picture.alarms
            if entry.word.channel.table_name in frame["bits"]
        }
        assert found == set(frame["problems"])
        # A word that the frame leaves at 0 can at most be not ready.
        untold = [entry for entry in device.picture.alarms if entry.word.channel.table_name not in frame["bits"]]
        assert {entry.word.channel.table_name for entry in untold} <= {"SystemError1", "CommunicationInformations"}
        assert {entry.bit.severity for entry in untold} <= {Severity.READY}


def test_every_channel_is_read_by_some_frame() -> None:
    """The second reader looked at every channel that a register carries."""
    covered = {channel for frame in FRAMES for part in ("values", "bits") for channel in frame.get(part, {})}
    registers = {name for name, channel in MAP.items() if channel["address"] is not None}
    assert registers - covered == set()


def test_every_bit_is_read_alone_by_some_frame() -> None:
    """Each labelled bit is the only one set in its word in some frame."""
    alone = {
        (channel, texts[0].strip())
        for frame in FRAMES
        if frame.get("layout", "documented") == "documented"
        for channel, texts in frame.get("bits", {}).items()
        if len(texts) == 1
    }
    wanted = {
        (name, table_text(name, label["bit"]))
        for name, channel in MAP.items()
        if channel["kind"] == "bitfield"
        for label in channel["labels"]
    }
    assert wanted - alone == set()
