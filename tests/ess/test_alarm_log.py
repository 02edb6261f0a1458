"""The memory of alarms: every change once, in order, and nothing else."""

import json
from collections import defaultdict
from collections.abc import Iterable

import pytest
from hypothesis import given, settings, strategies as st
from modbus_connection import IllegalDataAddressError
from modbus_connection.mock import MockModbusUnit

from custom_components.refu_ess.ess import ALARMS, AlarmChange, AlarmLog, Look, RefuEss, Site, effective_severity, look
from custom_components.refu_ess.ess.alarm_log import CHANGES_KEPT, CHANGES_KEPT_PER_ALARM
from tests.registers import ACTIVE_POWER, BATTERY_BLOCK, BATTERY_FAULT_10

KEYS = frozenset(entry.key for entry in ALARMS)
SMOKE, FAULT, WARNING, READY = "fog_alarm", "inverter_fault", "normal_high_temperature", "bms_ready"


def seen(*active: str, unknown: Iterable[str] = (), possible: Iterable[str] = KEYS) -> Look:
    """Return a reading that shows these alarms."""
    return Look(
        active=frozenset(active), unknown=frozenset(unknown), possible=frozenset(possible), snapshot={"soc": 62}
    )


def short(changes: Iterable[AlarmChange]) -> list[str]:
    """Return `+` and `-` with keys, and `?` where a change was found at the start."""
    return [f"{'+' if one.raised else '-'}{one.key}{'?' if one.found_at_start else ''}" for one in changes]


def restarted(log: AlarmLog) -> AlarmLog:
    """Return the log of the next run."""
    return AlarmLog.from_dict(json.loads(json.dumps(log.as_dict())))


@pytest.fixture
def log() -> AlarmLog:
    """A log that has seen a healthy system."""
    log = AlarmLog()
    assert log.observe(seen(), 100.0) == ()
    return log


def test_order_of_severity() -> None:
    """Smoke comes first, then the faults, the warnings, and what is not ready."""
    assert ALARMS[0].key == SMOKE
    ranks = [("fault", "warning").index(effective_severity(entry).value) for entry in ALARMS]
    assert ranks == sorted(ranks)
    assert ALARMS[-1].bit.severity.value == "ready"


def test_raised_and_cleared(log: AlarmLog) -> None:
    """A change says when, since when, and how long it took, with what was read then."""
    (raised,) = log.observe(seen(FAULT), 110.0)
    assert raised == AlarmChange(
        key=FAULT, raised=True, at=110.0, since=110.0, duration_s=None, found_at_start=False, snapshot={"soc": 62}
    )
    assert log.observe(seen(FAULT), 120.0) == ()
    assert [(one.key, one.since, one.found_at_start) for one in log.active] == [(FAULT, 110.0, False)]
    (cleared,) = log.observe(seen(), 125.5)
    assert cleared == AlarmChange(
        key=FAULT, raised=False, at=125.5, since=110.0, duration_s=15.5, found_at_start=False, snapshot={"soc": 62}
    )
    assert log.active == ()
    assert log.history == (raised, cleared)


def test_many_at_once_in_order(log: AlarmLog) -> None:
    """All alarms at once are as many changes, the most severe first, and so is their end."""
    order = [entry.key for entry in ALARMS]
    assert [one.key for one in log.observe(seen(*KEYS), 110.0)] == order
    assert [one.key for one in log.observe(seen(), 120.0)] == order
    log.observe(seen(WARNING), 130.0)
    assert short(log.observe(seen(SMOKE, FAULT), 140.0)) == [f"+{SMOKE}", f"+{FAULT}", f"-{WARNING}"]


def test_flapping_loses_nothing(log: AlarmLog) -> None:
    """An alarm that flaps at each reading is reported each time, and pushes nothing else out of the history."""
    log.observe(seen(SMOKE), 101.0)
    reported = [change for n in range(2000) for change in log.observe(seen(SMOKE, *[FAULT] * (n % 2)), 102.0 + n)]
    assert len(reported) == 1999
    assert len(log.history) == 1 + CHANGES_KEPT_PER_ALARM
    assert short(log.history)[0] == f"+{SMOKE}"
    assert log.history[-1] == reported[-1]


def test_history_is_bounded(log: AlarmLog) -> None:
    """However many alarms flap, the history stays of one size and keeps the latest."""
    for n in range(20):
        log.observe(seen(*KEYS if n % 2 else ()), 110.0 + n)
    assert len(log.history) == CHANGES_KEPT
    assert log.history[-1].at == 129.0


def test_first_reading_ever_changes_nothing() -> None:
    """Alarms that are active when nothing is remembered are active since they were seen, and are no change."""
    log = AlarmLog()
    assert log.observe(seen(unknown=KEYS), 90.0) == ()
    assert log.observe(seen(FAULT), 100.0) == ()
    assert [(one.key, one.since, one.found_at_start) for one in log.active] == [(FAULT, 100.0, True)]
    assert log.history == ()
    (cleared,) = log.observe(seen(), 130.0)
    assert (cleared.since, cleared.duration_s) == (100.0, None)  # it may have begun much earlier


def test_restart_finds_differences(log: AlarmLog) -> None:
    """After a restart only differences from the remembered alarms are changes, marked as found at the start."""
    log.observe(seen(FAULT, WARNING), 110.0)
    log = restarted(log)
    assert short(log.observe(seen(FAULT, SMOKE), 200.0)) == [f"+{SMOKE}?", f"-{WARNING}?"]
    assert log.history[-1].duration_s is None  # it ended somewhere in between
    (cleared,) = log.observe(seen(SMOKE), 210.0)
    assert (cleared.key, cleared.duration_s, cleared.found_at_start) == (FAULT, 100.0, False)
    assert short(log.history) == [f"+{FAULT}", f"+{WARNING}", f"+{SMOKE}?", f"-{WARNING}?", f"-{FAULT}"]


def test_what_cannot_be_read_keeps_its_state(log: AlarmLog) -> None:
    """Alarms of a block that fails are neither raised nor cleared; what happened meanwhile is found when it is back."""
    log.observe(seen(SMOKE, FAULT), 110.0)
    hidden = {SMOKE, WARNING}
    assert log.observe(seen(FAULT, unknown=hidden), 120.0) == ()
    assert [one.key for one in log.active] == [SMOKE, FAULT]
    assert short(log.observe(seen(unknown=hidden), 130.0)) == [f"-{FAULT}"]
    assert short(log.observe(seen(WARNING), 140.0)) == [f"-{SMOKE}?", f"+{WARNING}?"]
    assert log.observe(seen(unknown=KEYS), 150.0) == ()
    assert log.observe(seen(WARNING), 160.0) == ()


def test_groups_that_are_gone_are_forgotten(log: AlarmLog) -> None:
    """An alarm of a battery group that is no longer configured is not active, and was not cleared."""
    group = "group_4_can_interrupted"
    log.observe(seen(group), 110.0)
    assert log.observe(seen(possible=KEYS - {group}), 120.0) == ()
    assert log.active == ()
    assert short(log.observe(seen(group), 130.0)) == [f"+{group}?"]


def test_a_clock_set_back_gives_no_duration(log: AlarmLog) -> None:
    """A duration is unknown rather than negative."""
    log.observe(seen(FAULT), 110.0)
    (cleared,) = log.observe(seen(), 50.0)
    assert cleared.duration_s is None


@pytest.mark.parametrize("stored", [None, [], "text", 7, {}, {"active": "x"}, {"history": []}])
def test_nothing_useful_stored(stored: object) -> None:
    """A stored log that cannot be understood at all is as good as none."""
    log = AlarmLog.from_dict(stored)
    assert log.observe(seen(FAULT), 100.0) == ()


def test_stored_by_another_version(log: AlarmLog) -> None:
    """Of a stored log, the parts that can be understood are kept and the rest is left out."""
    log.observe(seen(FAULT), 110.0)
    stored = log.as_dict()
    assert stored["version"] == 1
    good = dict(stored["history"][0])
    stored |= {"version": 9, "more": True}
    stored["active"] += [{"key": "gone", "since": 1.0, "found_at_start": False}, {"key": SMOKE}, 7]
    stored["history"] += [
        good | {"at": "noon"},
        good | {"key": ["x"]},
        good | {"snapshot": None},
        good | {"at": 120, "raised": False, "duration_s": 10, "colour": "red"},
        None,
    ]
    log = AlarmLog.from_dict(stored)
    assert [one.key for one in log.active] == [FAULT]
    assert short(log.history) == [f"+{FAULT}", f"-{FAULT}"]
    assert AlarmLog.from_dict({"active": [], "history": "x"}).history == ()


async def test_pictures(device: RefuEss, unit: MockModbusUnit) -> None:
    """A picture says what is active, what cannot be read, and how the system was doing."""
    unit.input[BATTERY_FAULT_10] = 1 << 7
    unit.input[ACTIVE_POWER] = 250
    await device.async_poll()
    found = look(device.picture)
    assert found.active == {SMOKE}
    assert found.unknown == frozenset()
    assert found.possible == KEYS
    assert found.snapshot == {
        "soc": 50,
        "active_power": 25_000,
        "battery_voltage": device.picture.values["battery_voltage"],
        "battery_highest_temperature": 0,
        "battery_lowest_temperature": 0,
        "system_state": "start",
        "error_code": 0,
        "dcdc_error": 0,
    }
    unit.fail_read(BATTERY_BLOCK, IllegalDataAddressError(), register_type="input")
    await device.async_poll()
    found = look(device.picture)
    assert {SMOKE, WARNING} <= found.unknown
    assert FAULT not in found.unknown
    assert found.snapshot["soc"] is None
    device.site = Site(battery_groups=1)
    assert KEYS - look(device.picture).possible == {entry.key for entry in ALARMS if (entry.bit.group or 0) > 1}


FEW = (SMOKE, FAULT, WARNING, READY, "group_4_can_interrupted")
READINGS = st.lists(
    st.tuples(st.frozensets(st.sampled_from(FEW)), st.frozensets(st.sampled_from(FEW)), st.booleans()), max_size=30
)


@settings(max_examples=300)
@given(READINGS)
def test_changes_add_up(readings: list[tuple[frozenset[str], frozenset[str], bool]]) -> None:
    """Through gaps and restarts, the changes add up to the active alarms, and each alarm alternates."""
    log = AlarmLog()
    log.observe(seen(), 0.0)
    reported: defaultdict[str, list[bool]] = defaultdict(list)
    truth: dict[str, bool] = dict.fromkeys(FEW, False)
    for n, (active, unknown, restart) in enumerate(readings, 1):
        if restart:
            log = restarted(log)
        changes = log.observe(seen(*active - unknown, unknown=unknown), float(n))
        for change in changes:
            reported[change.key].append(change.raised)
        expected = {key: key in active for key in FEW if key not in unknown and truth[key] != (key in active)}
        assert {change.key: change.raised for change in changes} == expected
        truth |= expected
        assert {one.key for one in log.active} == {key for key, value in truth.items() if value}
    for turns in reported.values():
        assert turns == [n % 2 == 0 for n in range(len(turns))]


def test_what_is_stored_is_plain(log: AlarmLog) -> None:
    """The stored log is JSON, and the same after a round trip."""
    log.observe(seen(FAULT), 110.0)
    kept = json.loads(json.dumps(log.as_dict()))
    assert AlarmLog.from_dict(kept).as_dict() == kept == log.as_dict()
