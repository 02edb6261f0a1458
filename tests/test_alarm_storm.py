"""A storm of alarms: what is reported is what changed between the words served, by an oracle of its own."""

import random
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from modbus_connection import IllegalDataAddressError, ModbusTimeoutError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry

from .alarm_oracle import ADDRESSES, LABELLED_BITS, SEVERITIES, SMOKE, Alarm, Change, changes, is_active, rank
from .conftest import RUNNING_INPUT
from .helpers import ALARM_EVENT, Reported, poll, state
from .registers import BATTERY_ADDRESSES, STATUS_ADDRESSES

BLOCKS = {"status": STATUS_ADDRESSES, "battery": BATTERY_ADDRESSES}
FIVE = [
    SMOKE,
    Alarm("SystemError1", 0),
    Alarm("InverterStatus", 3),
    Alarm("BatteryAlarm1", 6),
    Alarm("CommunicationInformations", 4),
]
FLAPPING = Alarm("BatteryAlarm1", 6)


class Storm:
    """An ESS whose alarms come and go, with what it served last."""

    def __init__(
        self, hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
    ) -> None:
        """It has just been read for the first time."""
        self.hass, self.entry, self.unit, self.freezer = hass, entry, unit, freezer
        self.served: dict[int, int] = self._words()

    def _words(self, *blocks: str) -> dict[int, int]:
        inputs = self.unit.input
        return {one: int(inputs.get(one, 0)) for name in blocks or BLOCKS for one in BLOCKS[name]}  # type: ignore[arg-type]

    def put(self, *alarms: Alarm, on: bool = True) -> None:
        """Let the device have these alarms, or not have them."""
        for alarm in alarms:
            if is_active(alarm, self._words()) is not on:
                self.unit.input[ADDRESSES[alarm.word]] = self._words()[ADDRESSES[alarm.word]] ^ 1 << alarm.bit

    def serve(self, *blocks: str) -> set[Change]:
        """Return what is new in these blocks for one that reads them now."""
        before, self.served = self.served, {**self.served, **self._words(*blocks)}
        return changes(before, self.served)

    async def poll(self, found: Reported, *blocks: str) -> None:
        """Let the device be read once, and compare what is reported with what changed."""
        found.clear()
        await poll(self.hass, self.freezer)
        compare(found, self.serve(*blocks))


def compare(found: Reported, expected: set[Change]) -> None:
    """Each change is one event, the most severe alarm first."""
    told = [Change(one["event_type"] == "raised", Alarm(one["word"], one["bit"])) for one in found]
    assert len(told) == len(expected)
    assert set(told) == expected
    assert [rank(one.alarm) for one in told] == sorted(rank(one.alarm) for one in told)


@pytest.fixture
def storm(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory) -> Storm:
    """A healthy ESS."""
    return Storm(hass, loaded, unit, freezer)


def test_the_oracle() -> None:
    """It knows 123 labelled bits, of which those of operation are no alarms, and that what is ready is none."""
    assert LABELLED_BITS == 123
    assert set(SEVERITIES.values()) == {"fault", "warning", "ready"}
    healthy = {address: RUNNING_INPUT.get(address, 0) for block in BLOCKS.values() for address in block}
    assert [alarm for alarm in SEVERITIES if is_active(alarm, healthy)] == []
    assert changes(healthy, healthy | {0x101: 0, 0x140: 1 << 7}) == {
        Change(raised=True, alarm=alarm) for alarm in (Alarm("SystemError1", 9), Alarm("SystemError1", 10), SMOKE)
    }


async def test_one_and_five(storm: Storm, reported: Reported) -> None:
    """Every alarm on its own, then five at once, come and gone."""
    for alarm in SEVERITIES:
        storm.put(alarm)
        await storm.poll(reported)
        assert len(reported) == 1
        storm.put(alarm, on=False)
        await storm.poll(reported)
        assert len(reported) == 1
    for on in (True, False):
        storm.put(*FIVE, on=on)
        await storm.poll(reported)
        assert len(reported) == 5


async def test_flapping(storm: Storm, reported: Reported) -> None:
    """One that flaps at each poll, alone and while others come and go."""
    for n in range(30):
        storm.put(FLAPPING, on=not n % 2)
        if n % 5 == 4:
            storm.put(SMOKE, on=n % 10 == 4)
        await storm.poll(reported)
        assert FLAPPING.bit in {one["bit"] for one in reported}


@pytest.mark.parametrize("seed", range(3))
async def test_all_at_random(storm: Storm, reported: Reported, seed: int) -> None:
    """Any set of all alarms follows any other, the full one and none too; undeclared bits change nothing."""
    chance = random.Random(seed)  # noqa: S311 - a storm that can be repeated
    every = list(SEVERITIES)
    for n in range(12):
        wanted = {0: every, 6: []}.get(n, chance.sample(every, chance.randint(0, len(every))))
        storm.put(*every, on=False)
        storm.put(*wanted)
        storm.unit.input[0x142] = chance.randint(0, 0xFFFF)
        await storm.poll(reported)


async def test_reconnect_in_the_middle(storm: Storm, reported: Reported, unit: MockModbusUnit) -> None:
    """While nothing can be read nothing is reported; then what differs, once, and as found afterwards."""
    storm.put(*FIVE)
    await storm.poll(reported)
    unit.fail_requests(ModbusTimeoutError("late"))
    reported.clear()
    await poll(storm.hass, storm.freezer, 3)
    assert reported == []
    assert state(storm.hass, ALARM_EVENT) == STATE_UNAVAILABLE
    storm.put(SMOKE, on=False)
    storm.put(Alarm("BatteryFault1", 0))
    unit.fail_requests(None)
    await storm.poll(reported)
    assert len(reported) == 2
    assert {one["found_at_start"] for one in reported} == {True}
    unit.fail_read(0x11A, IllegalDataAddressError(), register_type="input")
    storm.put(SMOKE, Alarm("SystemError1", 1))
    await storm.poll(reported, "status")
    assert [(one["word"], one["snapshot"]["soc"]) for one in reported] == [("SystemError1", None)]
    unit.fail_read(0x11A, None, register_type="input")
    reported.clear()
    await poll(storm.hass, storm.freezer, 30)  # a refused block is asked again after five minutes
    compare(reported, storm.serve())
    assert len(reported) == 1


async def test_restart_in_the_middle(storm: Storm, reported: Reported) -> None:
    """A restart reports neither twice nor too little: what came and went meanwhile, against what was on disk."""
    config_entries = storm.hass.config_entries
    storm.put(*FIVE, *list(SEVERITIES)[::7])
    await storm.poll(reported)
    reported.clear()
    assert await config_entries.async_reload(storm.entry.entry_id)
    await storm.hass.async_block_till_done()
    assert reported == []
    assert await config_entries.async_unload(storm.entry.entry_id)
    storm.put(*list(SEVERITIES)[::7], on=False)
    storm.put(*list(SEVERITIES)[::11])
    assert await config_entries.async_setup(storm.entry.entry_id)
    await storm.hass.async_block_till_done()
    expected = storm.serve()
    assert len(expected) > 15
    compare(reported, expected)
    assert {one["found_at_start"] for one in reported} == {True}
    storm.put(*SEVERITIES, on=False)
    await storm.poll(reported)


async def test_between_two_polls(storm: Storm, reported: Reported) -> None:
    """One that comes and goes between two polls cannot be seen; one that goes and comes back was active throughout."""
    storm.put(SMOKE)
    storm.put(SMOKE, on=False)
    await storm.poll(reported)
    assert reported == []
    storm.put(SMOKE)
    await storm.poll(reported)
    storm.put(SMOKE, on=False)
    storm.put(SMOKE)
    await storm.poll(reported)
    assert reported == []


async def test_the_history_is_the_events(storm: Storm, reported: Reported) -> None:
    """The history of the action is the reported events, newest first."""
    told: list[dict[str, Any]] = []
    for on in (True, False):
        storm.put(*list(SEVERITIES)[:40], on=on)
        await storm.poll(reported)
        told += reported
    answer = storm.entry.runtime_data.alarms.as_data()
    history = [(one["event"], one["word"], one["bit"]) for one in reversed(answer["history"])]
    assert history == [(one["event_type"], one["word"], one["bit"]) for one in told]
