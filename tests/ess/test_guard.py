"""The guard's own logic on a device in memory, and its parent's side with stand-ins for the process."""

import asyncio
import gc
import json
import os
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, MagicMock, patch

import pytest
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusSerialParams,
    ModbusTcpParams,
    ModbusTimeoutError,
)
from modbus_connection.mock import MockModbusConnection, MockModbusUnit, WriteEvent

from custom_components.refu_ess.ess import guard, guardian
from custom_components.refu_ess.ess.guard import (
    EXIT_DONE,
    EXIT_MALFORMED,
    EXIT_NOT_LOADED,
    Device,
    GuardReport,
    Orders,
    Outcome,
    Reason,
    Timing,
    async_guard,
    delete_report,
    load,
    main,
    read_report,
    store_report,
)
from custom_components.refu_ess.ess.guardian import Guardian, GuardLink
from custom_components.refu_ess.ess.settings import PhaseSetpoints, TotalSetpoints
from tests.registers import (
    ACTIVE_SETPOINT,
    ACTIVE_SETPOINT_L1,
    ACTIVE_SETPOINT_L2,
    REACTIVE_SETPOINT,
    REACTIVE_SETPOINT_L1,
)

from .clock import Clock

QUICK = Timing(check=0.01, retry=0.01, settle=0.05, give_up=0.3)
REPORT = GuardReport(
    reason=Reason.CLOSED,
    outcome=Outcome.ZERO_WRITTEN,
    at=1_700_000_000.5,
    tries=2,
    seconds=1.5,
    held_before={"set_active_power": -20_000.0},
)
MINUS_20_KW = 0x10000 - 200


@pytest.fixture
def unit() -> MockModbusUnit:
    """A device that holds -20 kW and -20 kvar."""
    unit = MockModbusConnection().for_unit(1)
    unit.holding.update({ACTIVE_SETPOINT: MINUS_20_KW, REACTIVE_SETPOINT: MINUS_20_KW})
    return unit


class Bench:
    """The guard in this process, with what it was sent and what it did."""

    def __init__(self, unit: MockModbusUnit, path: Path) -> None:
        """Take the device, and where reports are stored."""
        self.unit = unit
        self.lines = asyncio.StreamReader()
        self.said: list[bytes] = []
        self.writes: list[WriteEvent] = []
        self.connects = 0
        self.refuses = 0
        self.orders = Orders(
            sys_path=["", "relative", sys.path[-1]],
            kind="ModbusTcpParams",
            params={"host": "192.0.2.10"},
            unit_id=1,
            timeout_s=0.02,
            per_phase=False,
            report_path=str(path / "guard.json"),
            silence_s=10.0,
        )
        unit.on_write(self.writes.append)

    def load(self, orders: Orders) -> Device:
        """Reach the device in memory, which refuses the first connections."""

        @asynccontextmanager
        async def connect(_: Reason) -> AsyncIterator[MockModbusUnit]:
            self.connects += 1
            if self.connects <= self.refuses:
                raise ModbusConnectionError
            yield self.unit

        component = PhaseSetpoints if orders.per_phase else TotalSetpoints
        return Device(setpoints=component.declared_fields, connect=connect)  # type: ignore[arg-type]

    async def run(self, *said: bytes, closed: bool = True, **changes: Any) -> int:
        """Send orders and lines, and run the guard."""
        self.lines.feed_data(self.orders.to_line() + b"".join(line + b"\n" for line in said))
        if closed:
            self.lines.feed_eof()
        settings: dict[str, Any] = {"load": self.load, "timing": QUICK, "clock": time.monotonic}
        async with asyncio.timeout(10):
            return await async_guard(self.lines, self.said.append, **settings | changes)

    @property
    def reports(self) -> list[GuardReport]:
        """The reports that it said."""
        return [GuardReport.from_line(line) for line in self.said[1:]]

    @property
    def written(self) -> list[tuple[int, list[int] | list[bool], int]]:
        """The writes so far: address, values, function."""
        return [(write.address, write.values, write.function_code) for write in self.writes]


@pytest.fixture
def bench(unit: MockModbusUnit, tmp_path: Path) -> Iterator[Bench]:
    """The guard on this device; its threads for the report end after it, a little later on a busy machine."""
    yield Bench(unit, tmp_path)
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("report"):
            thread.join(5)


ZEROS = [(ACTIVE_SETPOINT, [0], 16), (REACTIVE_SETPOINT, [0], 16)]


# What is said and stored


def test_report_survives_its_file(tmp_path: Path) -> None:
    """A stored report reads back the same, replaces an earlier one, is its owner's alone, and can be deleted."""
    path = tmp_path / "guard.json"
    assert read_report(path) is None
    store_report(path, replace(REPORT, tries=1))
    (tmp_path / "guard.json.new").write_text("left over")
    store_report(path, REPORT)
    assert read_report(path) == REPORT
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    delete_report(path)
    delete_report(path)
    assert list(tmp_path.iterdir()) == []


def test_report_is_on_the_disk_before_it_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of power leaves one of the two."""
    path = tmp_path / "guard.json"
    synced: list[tuple[int, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_size, path.exists())))
    store_report(path, REPORT)
    assert synced == [(len(REPORT.to_line()), False)]


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}", b"3", b'{"reason": "other"}'])
def test_what_is_no_report(tmp_path: Path, text: bytes) -> None:
    """A file that holds anything else is no report."""
    path = tmp_path / "guard.json"
    path.write_bytes(text)
    assert read_report(path) is None


def test_report_of_a_later_version() -> None:
    """Keys that are not known yet are ignored; values of the wrong kind are not."""
    found = asdict(REPORT) | {"new": 1}
    assert GuardReport.from_line(json.dumps(found).encode()) == REPORT
    with pytest.raises(ValueError, match="not a report"):
        GuardReport.from_line(json.dumps(found | {"held_after": 3}).encode())


WRONG_PARTS: list[dict[str, Any]] = [
    {"sys_path": "folder"},
    {"sys_path": [1]},
    {"kind": "ModbusTlsParams"},
    {"params": []},
    {"unit_id": "1"},
    {"per_phase": 0},
    {"report_path": None},
    {"timeout_s": "2"},
    {"timeout_s": 0},
    {"silence_s": float("inf")},
    {"silence_s": float("nan")},
    {"more": 1},
]


@pytest.mark.parametrize("wrong", WRONG_PARTS, ids=str)
async def test_malformed_orders(bench: Bench, wrong: dict[str, Any]) -> None:
    """A guard whose orders have a part that is not of its kind ends at once."""
    bench.lines.feed_data(json.dumps(asdict(bench.orders) | wrong).encode() + b"\n")
    assert await async_guard(bench.lines, bench.said.append, load=bench.load) == EXIT_MALFORMED
    assert bench.said == []
    assert bench.connects == 0


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"{}\n", b"{", b"x" * 100_000])
async def test_no_orders(bench: Bench, line: bytes) -> None:
    """Nor does it start with anything else."""
    bench.lines.feed_data(line)
    bench.lines.feed_eof()
    assert await async_guard(bench.lines, bench.said.append, load=bench.load) == EXIT_MALFORMED
    assert bench.said == []


async def test_parent_that_never_sends_orders(bench: Bench) -> None:
    """The end of the pipe before any orders ends it, without a word."""
    bench.lines.feed_eof()
    assert await async_guard(bench.lines, bench.said.append, load=bench.load) == EXIT_DONE
    assert bench.said == []


@pytest.mark.parametrize(
    ("error", "code"), [(ImportError, EXIT_NOT_LOADED), (TypeError, EXIT_MALFORMED), (ValueError, EXIT_MALFORMED)]
)
async def test_cannot_load(bench: Bench, error: type[Exception], code: int) -> None:
    """A guard that cannot load what acting needs says that by its end."""
    assert await bench.run(load=MagicMock(side_effect=error)) == code
    assert bench.said == [b"ready\n"]


async def test_ready_before_it_loads(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is ready before it imports, finds modules where its parent does, and lets none hide Python's own."""
    own = [str(tmp_path / "python")]
    monkeypatch.setattr(sys, "path", own.copy())
    bench.orders = replace(bench.orders, sys_path=["", "relative", *own, str(tmp_path)])

    def look(_: Orders) -> Device:
        assert bench.said == [b"ready\n"]
        assert sys.path == [*own, str(tmp_path)]
        raise ImportError

    assert await bench.run(load=look) == EXIT_NOT_LOADED


# The need to act


async def test_paid(bench: Bench, tmp_path: Path) -> None:
    """After "paid" the guard ends without having done anything; unknown lines are ignored."""
    assert await bench.run(b"beat", b"anything", b"x" * 100_000, b"beat", b"paid") == EXIT_DONE
    assert bench.said == [b"ready\n"]
    assert bench.connects == 0
    assert read_report(tmp_path / "guard.json") is None


async def test_silence(bench: Bench, clock: Clock) -> None:
    """It acts when no beat came for as long as ordered, and not before."""
    running = asyncio.create_task(bench.run(closed=False, clock=clock))
    await asyncio.sleep(0.05)
    for _ in range(10):
        clock.now += 9
        bench.lines.feed_data(b"beat\n")
        await asyncio.sleep(0.02)
    assert bench.connects == 0
    for _ in range(2):
        clock.now += 5.5
        bench.lines.feed_data(b"anything\n")
        await asyncio.sleep(0.02)
    assert await running == EXIT_DONE
    assert bench.written == ZEROS
    assert bench.reports[-1].reason is Reason.SILENT


async def test_silence_without_a_line(bench: Bench, clock: Clock) -> None:
    """A parent that hangs says nothing at all."""
    running = asyncio.create_task(bench.run(closed=False, clock=clock))
    await asyncio.sleep(0.05)
    clock.now += 10.5
    assert await running == EXIT_DONE
    assert bench.written == ZEROS
    assert bench.reports[-1].reason is Reason.SILENT


@pytest.mark.parametrize(("missing", "used"), [((), "CLOCK_BOOTTIME"), (("CLOCK_BOOTTIME",), "CLOCK_MONOTONIC")])
def test_clock_counts_the_sleep_of_the_computer(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], used: str
) -> None:
    """Where the system has such a clock."""
    clocks = {"CLOCK_BOOTTIME": 7, "CLOCK_MONOTONIC": 1}
    there = {name: number for name, number in clocks.items() if name not in missing}
    monkeypatch.setattr(guard, "time", types.SimpleNamespace(clock_gettime=lambda number: 100 + number, **there))
    assert guard.uptime() == 100 + clocks[used]


async def test_computer_that_slept(bench: Bench, clock: Clock) -> None:
    """A beat that comes right after a long sleep comes too late."""
    running = asyncio.create_task(bench.run(b"beat", closed=False, clock=clock))
    await asyncio.sleep(0.05)
    clock.now += 10.5
    bench.lines.feed_data(b"beat\n")
    assert await running == EXIT_DONE
    assert bench.reports[-1].reason is Reason.SILENT


# Acting


async def test_closed(bench: Bench, tmp_path: Path) -> None:
    """It reads, writes zero with function 16, reads back, looks once more, and reports before and after."""
    assert await bench.run(b"beat") == EXIT_DONE
    assert bench.written == ZEROS
    first, zero = bench.reports
    assert (first.reason, first.outcome, first.tries, first.seconds) == (Reason.CLOSED, Outcome.TRYING, 0, 0)
    assert abs(first.at - time.time()) < 10
    assert (zero.outcome, zero.tries) == (Outcome.ZERO_WRITTEN, 1)
    assert 0 <= zero.seconds < 10
    assert zero.held_before == {"set_active_power": -20_000, "set_reactive_power": -20_000}
    assert zero.held_after == {"set_active_power": 0, "set_reactive_power": 0}
    assert read_report(tmp_path / "guard.json") == zero


async def test_report_that_was_taken_does_not_come_back(bench: Bench, tmp_path: Path) -> None:
    """A start that takes the report before the guard has looked once more finds it only once."""
    path = tmp_path / "guard.json"
    running = asyncio.create_task(bench.run())
    while (report := read_report(path)) is None or report.outcome is not Outcome.ZERO_WRITTEN:  # noqa: ASYNC110
        await asyncio.sleep(0)
    delete_report(path)
    assert await running == EXIT_DONE
    assert read_report(path) is None


async def test_closed_per_phase(bench: Bench, unit: MockModbusUnit) -> None:
    """Only the registers in use become zero."""
    bench.orders = replace(bench.orders, per_phase=True)
    unit.holding[ACTIVE_SETPOINT_L2] = MINUS_20_KW
    assert await bench.run() == EXIT_DONE
    assert bench.written == [(ACTIVE_SETPOINT_L1, [0, 0, 0], 16), (REACTIVE_SETPOINT_L1, [0, 0, 0], 16)]
    assert unit.holding[ACTIVE_SETPOINT] == MINUS_20_KW


async def test_already_zero(bench: Bench, unit: MockModbusUnit) -> None:
    """Nothing is written to setpoints that are zero, also where the first connection failed."""
    unit.holding.clear()
    bench.refuses = 1
    assert await bench.run() == EXIT_DONE
    assert bench.written == []
    assert (bench.reports[-1].outcome, bench.reports[-1].tries) == (Outcome.ALREADY_ZERO, 2)


async def test_zero_that_does_not_stay(bench: Bench, unit: MockModbusUnit) -> None:
    """A last write of Home Assistant that the device shows late is found by the second look."""
    unit.holding.clear()
    running = asyncio.create_task(bench.run())
    while not bench.connects:  # noqa: ASYNC110 - what it waits for is a counter
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    unit.holding[ACTIVE_SETPOINT] = MINUS_20_KW
    assert await running == EXIT_DONE
    assert bench.written == ZEROS
    assert [report.outcome for report in bench.reports] == ["trying", "already_zero", "zero_written"]


async def test_zero_that_does_not_stay_is_paid_by_the_parent(bench: Bench, unit: MockModbusUnit) -> None:
    """The result of the first look no longer counts."""
    unit.holding.clear()
    bench.orders = replace(bench.orders, silence_s=0.02)
    running = asyncio.create_task(bench.run(closed=False, timing=replace(QUICK, give_up=60)))
    while not bench.connects:  # noqa: ASYNC110 - what it waits for is a counter
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    unit.holding[ACTIVE_SETPOINT] = MINUS_20_KW
    unit.fail_write(ACTIVE_SETPOINT, IllegalDataAddressError())
    await asyncio.sleep(0.1)
    bench.lines.feed_data(b"paid\n")
    assert await running == EXIT_DONE
    assert [report.outcome for report in bench.reports] == ["trying", "already_zero", "paid"]


@pytest.mark.parametrize("refuses", [0, 2], ids=["answers", "connects"])
async def test_second_look_that_fails(bench: Bench, unit: MockModbusUnit, refuses: int) -> None:
    """Zero that was read back counts although the device cannot be asked once more."""
    running = asyncio.create_task(bench.run())
    while not bench.writes:  # noqa: ASYNC110 - what it waits for is a counter
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    bench.refuses = refuses
    unit.fail_requests(ModbusConnectionError())
    assert await running == EXIT_DONE
    assert bench.reports[-1].outcome is Outcome.ZERO_WRITTEN
    assert bench.written == ZEROS


async def test_setpoints_that_cannot_be_read(bench: Bench, unit: MockModbusUnit) -> None:
    """If nothing can be read, an acknowledged zero is enough."""
    unit.fail_read(ACTIVE_SETPOINT, IllegalDataAddressError())
    assert await bench.run() == EXIT_DONE
    assert bench.written == ZEROS
    last = bench.reports[-1]
    assert (last.outcome, last.tries, last.held_before, last.held_after) == (Outcome.ZERO_WRITTEN, 1, None, None)


async def test_unanswered_reading_ends_the_connection(bench: Bench, unit: MockModbusUnit) -> None:
    """Before anything else is asked: a late answer must not be taken for that to the next request."""
    unit.fail_read(ACTIVE_SETPOINT, ModbusTimeoutError())
    with patch.object(unit, "disconnect", AsyncMock(side_effect=lambda: bench.said.append(b"disconnected"))):
        unit.on_write(lambda _: bench.said.append(b"write"))
        assert await bench.run() == EXIT_DONE
    assert [line for line in bench.said if not line.endswith(b"\n")] == [b"disconnected", b"write", b"write"]


async def test_zero_that_is_neither_acknowledged_nor_read_is_not_written(bench: Bench, unit: MockModbusUnit) -> None:
    """Nobody knows where the setpoint stands."""
    unit.fail_read(ACTIVE_SETPOINT, IllegalDataAddressError())
    unit.fail_write(ACTIVE_SETPOINT, IllegalDataAddressError())
    assert await bench.run() == EXIT_DONE
    last = bench.reports[-1]
    assert (last.outcome, last.held_before, last.held_after) == (Outcome.NOT_WRITTEN, None, None)
    assert last.tries > 2


async def test_read_back_that_fails(bench: Bench, unit: MockModbusUnit) -> None:
    """If the setpoints could be read before, zero counts when it reads back."""

    def lose_the_link(_: WriteEvent) -> None:
        unit.fail_read(ACTIVE_SETPOINT, ModbusTimeoutError())
        asyncio.get_running_loop().call_later(0.05, lambda: unit.fail_read(ACTIVE_SETPOINT, None))

    unsubscribe = unit.on_write(lose_the_link)
    running = asyncio.create_task(bench.run())
    while not bench.writes:  # noqa: ASYNC110 - what it waits for is a counter
        await asyncio.sleep(0)
    unsubscribe()
    assert await running == EXIT_DONE
    last = bench.reports[-1]
    assert last.outcome is Outcome.ZERO_WRITTEN
    assert last.held_after == {"set_active_power": 0, "set_reactive_power": 0}
    assert last.tries > 1


async def test_write_that_fails(bench: Bench, unit: MockModbusUnit) -> None:
    """A run that is refused does not keep the next from its zero, and is tried until the time is up."""
    unit.fail_write(ACTIVE_SETPOINT, IllegalDataAddressError())
    assert await bench.run() == EXIT_DONE
    last = bench.reports[-1]
    assert last.outcome is Outcome.NOT_WRITTEN
    assert last.tries > 2
    assert last.seconds >= QUICK.give_up
    assert last.held_before == {"set_active_power": -20_000, "set_reactive_power": -20_000}
    assert last.held_after == {"set_active_power": -20_000, "set_reactive_power": 0}
    assert {write.address for write in bench.writes} == {REACTIVE_SETPOINT}


async def test_last_attempt_counts(bench: Bench) -> None:
    """It was started in time, and zero is written however late."""
    assert await bench.run(timing=replace(QUICK, give_up=0)) == EXIT_DONE
    assert bench.reports[-1].outcome is Outcome.ZERO_WRITTEN


async def test_connections_that_fail(bench: Bench) -> None:
    """Each attempt has a connection of its own."""
    bench.refuses = 3
    assert await bench.run() == EXIT_DONE
    assert bench.reports[-1].outcome is Outcome.ZERO_WRITTEN
    assert bench.reports[-1].tries == 4


async def test_device_that_never_answers(bench: Bench, unit: MockModbusUnit) -> None:
    """An attempt that hangs is given up for the next."""
    with patch.object(unit, "read_holding_registers", lambda *_: asyncio.Event().wait()):
        assert await bench.run() == EXIT_DONE
    assert bench.reports[-1].outcome is Outcome.NOT_WRITTEN
    assert bench.connects > 1


async def test_answer_of_the_wrong_length(bench: Bench, unit: MockModbusUnit) -> None:
    """An answer with too few words is none."""
    with patch.object(unit, "read_holding_registers", AsyncMock(return_value=[])):
        assert await bench.run() == EXIT_DONE
    assert bench.written == ZEROS
    assert bench.reports[-1].held_before is None


async def test_paid_meanwhile(bench: Bench) -> None:
    """Home Assistant that comes back and delivers zero ends the guard's attempts."""
    bench.refuses = 1000
    bench.orders = replace(bench.orders, silence_s=0.02)
    running = asyncio.create_task(bench.run(closed=False, timing=replace(QUICK, give_up=60)))
    await asyncio.sleep(0.2)
    bench.lines.feed_data(b"beat\npaid\n")
    assert await running == EXIT_DONE
    assert bench.reports[-1].outcome is Outcome.PAID
    assert bench.writes == []


async def test_disk_that_hangs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero does not wait for the report's file."""
    monkeypatch.setattr(guard, "STORE_S", 0.05)
    monkeypatch.setattr(guard, "LAST_STORE_S", 0.05)
    disk = threading.Event()
    monkeypatch.setattr(guard, "store_report", lambda *_: disk.wait())
    assert await bench.run() == EXIT_DONE
    disk.set()
    assert bench.written == ZEROS


async def test_disk_that_fails(bench: Bench) -> None:
    """Nor does it need one."""
    bench.orders = replace(bench.orders, report_path="/dev/null/guard.json")
    assert await bench.run() == EXIT_DONE
    assert bench.written == ZEROS


# The device for real


@pytest.mark.parametrize(
    ("reason", "kind", "params"),
    [
        (Reason.CLOSED, "ModbusTcpParams", {"host": "192.0.2.10", "framer": "rtu"}),
        (Reason.SILENT, "ModbusTcpParams", {"host": "192.0.2.10"}),
        (Reason.CLOSED, "ModbusSerialParams", {"device": "/dev/ttyUSB0"}),
        (Reason.SILENT, "ModbusSerialParams", {"device": "/dev/ttyUSB0"}),
    ],
)
async def test_connect(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, reason: Reason, kind: str, params: dict[str, Any]
) -> None:
    """A connection is closed after use; the lock of a port counts unless a hung parent may hold it."""
    port = type("Serial", (), {"exclusive": None})
    monkeypatch.setitem(sys.modules, "serial", types.SimpleNamespace(Serial=port))
    with patch("modbus_connection.pymodbus.ModbusConnection", return_value=AsyncMock()) as opened:
        opened.return_value.for_unit = MagicMock()
        device = load(replace(bench.orders, kind=kind, params=params, per_phase=True))
        opened.assert_not_called()
        async with device.connect(reason) as unit:
            assert unit is opened.return_value.for_unit.return_value
            opened.return_value.connect.assert_awaited_once()
            opened.return_value.close.assert_not_awaited()
        opened.return_value.close.assert_awaited_once()
    assert opened.call_args.kwargs == {"timeout": 0.02}
    one = port()
    one.exclusive = True
    ignored = reason is Reason.SILENT and kind == "ModbusSerialParams"
    assert one.exclusive is (None if ignored else True)


@pytest.mark.parametrize(
    ("per_phase", "runs"),
    [(False, (range(0x203, 0x204), range(0x207, 0x208))), (True, (range(0x204, 0x207), range(0x208, 0x20B)))],
)
def test_registers_in_use(bench: Bench, runs: tuple[range, ...], *, per_phase: bool) -> None:
    """The total, or the phases: the others are never written."""
    assert load(replace(bench.orders, per_phase=per_phase)).runs == runs


def test_main_on_pipes(bench: Bench) -> None:
    """It reads and says on file descriptors; a closed pipe is not an error."""
    for listened in (True, False):
        to_guard, orders = os.pipe()
        answers, from_guard = os.pipe()
        os.write(orders, bench.orders.to_line() + b"paid\n")
        os.close(orders)
        if not listened:
            os.close(answers)
        assert main(to_guard, from_guard) == EXIT_DONE
        os.close(from_guard)
        if listened:
            assert os.read(answers, 100) == b"ready\n"
            os.close(answers)


# The parent's side

pytestmark = pytest.mark.real_guard
LINK = GuardLink(params=ModbusTcpParams(host="192.0.2.10"), unit_id=1, timeout_s=2.0)
READY_SCRIPT = "read orders; echo ready"


def script(folder: Path, text: str) -> str:
    """Write a shell script that stands in for Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


type Hire = Callable[..., Guardian]


@pytest.fixture
async def hire(tmp_path: Path) -> AsyncIterator[Hire]:
    """Make guardians whose processes end with the test."""
    made: list[Guardian] = []

    def make(text: str | None = None, **settings: Any) -> Guardian:
        if text is not None:
            settings["python"] = script(tmp_path, text)
        found = Guardian(LINK, per_phase=False, report_path=tmp_path / "guard.json", **settings)
        made.append(found)
        return found

    yield make
    for one in made:
        if one.running:
            one._kill()
            await one._async_reaped()


async def ended(one: Guardian) -> None:
    """Wait until the process has ended."""
    async with asyncio.timeout(10):
        while one.running:  # noqa: ASYNC110 - it is a process
            await asyncio.sleep(0.01)
        await one._reaped.wait()


def echo(*reports: GuardReport) -> str:
    """Return shell commands that say these reports."""
    return "; ".join(f"echo '{report.to_line().decode().strip()}'" for report in reports)


TRYING = replace(REPORT, outcome=Outcome.TRYING)


async def test_hire_and_pay(hire: Hire) -> None:
    """A real guard starts once, hears beats, and ends at "paid"."""
    one = hire()
    assert not one.running
    one.beat()
    one.abandon()
    await one.async_paid()
    assert await one.async_start()
    process = one._process
    assert process is not None
    assert await one.async_start()
    assert one._process is process
    one.beat()
    await one.async_paid()
    assert process.returncode == EXIT_DONE
    assert (one.running, one.acted, one.lost) == (False, None, False)
    assert await one.async_start()
    await one.async_paid()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process has")
async def test_process_depends_on_nothing_of_ours(hire: Hire) -> None:
    """It has a session of its own, no environment, no folder that could be unmounted, and says nothing to our log."""
    one = hire()
    assert await one.async_start()
    assert one._process is not None
    pid = one._process.pid
    process = Path("/proc", str(pid))
    assert os.getsid(pid) == pid
    assert (process / "environ").read_bytes() == b""
    assert (process / "cwd").readlink() == Path("/")
    assert (process / "fd" / "2").readlink() == Path("/dev/null")
    await one.async_paid()


async def test_serial_link(tmp_path: Path) -> None:
    """The orders name the link's kind and carry its fields."""
    link = GuardLink(params=ModbusSerialParams(device="/dev/ttyUSB0", parity="E"), unit_id=2, timeout_s=1.0)
    one = Guardian(
        link, per_phase=True, report_path=tmp_path / "guard.json", python=script(tmp_path, 'cat > "$0.heard"')
    )
    with patch.object(guardian, "READY_S", 0.0):
        one._spawn()
    one.abandon()
    await ended(one)
    orders = Orders.from_line((tmp_path / "python.heard").read_bytes())
    assert orders.kind == "ModbusSerialParams"
    assert ModbusSerialParams(**orders.params) == link.params
    assert (orders.unit_id, orders.per_phase, orders.silence_s) == (2, True, 10.0)
    assert orders.sys_path == sys.path


@pytest.mark.parametrize("text", ["exit 3", "read orders; exec /bin/sleep 30", "exec 0<&-; exec /bin/sleep 30"])
async def test_process_that_never_gets_ready(hire: Hire, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A process that ends or does not answer in time is not a guard, and does not stay."""
    monkeypatch.setattr(guardian, "READY_S", 0.3)
    one = hire(text)
    assert not await one.async_start()
    await ended(one)
    assert not one.lost


async def test_process_that_ends_at_once_is_not_waited_for(hire: Hire) -> None:
    """The command behind it need not wait either."""
    one = hire("exit 3")
    async with asyncio.timeout(guardian.READY_S - 1):
        assert not await one.async_start()
    await ended(one)


@pytest.mark.parametrize("python", ["/nowhere/python", "", None])
async def test_no_process(hire: Hire, python: str | None) -> None:
    """If no process can be started, the answer is no, not an error."""
    one = hire(python=python)
    assert not await one.async_start()
    assert (one.running, one.lost) == (False, False)


async def test_orders_that_do_not_fit(hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that the pipe does not hold are not waited for."""
    monkeypatch.setattr(sys, "path", [*sys.path, "/" + "x" * 1_000_000])
    one = hire()
    assert not await one.async_start()
    await ended(one)


async def test_cancelled_start(hire: Hire) -> None:
    """A start that is cancelled leaves no process."""
    one = hire("read orders; exec /bin/sleep 30")
    starting = asyncio.create_task(one.async_start())
    await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await ended(one)


async def has_acted(one: Guardian) -> None:
    """Wait until the guard says that it acts."""
    while one.acted is None:  # noqa: ASYNC110 - it is a process
        await asyncio.sleep(0.01)


async def test_acted(hire: Hire) -> None:
    """The report is there at the first look after a blocked loop; the callback follows once the guard has ended."""
    on_acted = MagicMock()
    one = hire(f"{READY_SCRIPT}; echo rubbish; {echo(TRYING, REPORT)}", on_acted=on_acted)
    assert await one.async_start()
    time.sleep(0.3)  # noqa: ASYNC251 - a blocked event loop is the point
    acted = one.acted
    assert acted == REPORT
    assert (one.running, one.lost) == (False, False)
    await ended(one)
    on_acted.assert_called_once_with(REPORT)
    await one.async_paid()
    assert one.acted is None  # a settled matter refuses no new command
    one._python = sys.executable
    assert await one.async_start()
    assert one.acted is None
    await one.async_paid()


@pytest.mark.parametrize(("said", "acted"), [("exec 1>&-; exec /bin/sleep 0.1", None), (echo(TRYING), TRYING)])
async def test_lost(hire: Hire, said: str, acted: GuardReport | None) -> None:
    """A guard that ends unasked is lost, unless it finished acting."""
    one = hire(f"{READY_SCRIPT}; {said}")
    assert await one.async_start()
    await ended(one)
    assert one.lost
    assert one.acted == acted


async def test_lost_right_after_a_blocked_loop(hire: Hire) -> None:
    """A guard that ended meanwhile is missed at the first look."""
    one = hire(f"{READY_SCRIPT}; exit 1")
    assert (one.running, one.lost) == (False, False)
    assert await one.async_start()
    time.sleep(0.3)  # noqa: ASYNC251 - a blocked event loop is the point
    assert one.lost
    await ended(one)


async def test_lost_guard_is_replaced(hire: Hire) -> None:
    """That it was ready once is nothing to start from."""
    one = hire(f"{READY_SCRIPT}; exit 1")
    assert await one.async_start()
    await ended(one)
    one._python = sys.executable
    assert await one.async_start()
    assert (one.running, one.lost) == (True, False)
    await one.async_paid()


async def test_abandoned(hire: Hire) -> None:
    """A guard that was abandoned acts, and is not lost."""
    one = hire(f"{READY_SCRIPT}; cat > /dev/null; {echo(REPORT)}")
    assert await one.async_start()
    one.abandon()
    one.beat()
    await ended(one)
    assert one.acted == REPORT
    assert not one.lost


async def paid_and_killed_at_once(one: Guardian) -> None:
    """Report the zero to a guard that cannot hear it: it is killed without waiting for its end."""
    process = one._process
    async with asyncio.timeout(guardian.END_S - 0.5):
        await one.async_paid()
    assert process is not None
    assert process.returncode == -9


async def test_abandoned_guard_that_is_paid_is_killed_at_once(hire: Hire) -> None:
    """It can no longer be told."""
    one = hire(f"{READY_SCRIPT}; exec /bin/sleep 30")
    assert await one.async_start()
    one.abandon()
    await paid_and_killed_at_once(one)


async def test_new_guard_instead_of_one_that_acts(hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that is acting does not serve the next command: it is ended before another starts."""
    monkeypatch.setattr(guardian, "END_S", 0.2)
    one = hire(f"{READY_SCRIPT}; {echo(TRYING)}; exec /bin/sleep 30")
    assert await one.async_start()
    await has_acted(one)
    first = one._process
    assert first is not None
    one._python = sys.executable
    assert await one.async_start()
    assert first.returncode == -9
    assert one.acted is None
    monkeypatch.undo()
    await one.async_paid()


async def test_guard_that_does_not_listen(hire: Hire) -> None:
    """Beats into a closed pipe are not errors; a guard that cannot receive "paid" is killed at once."""
    one = hire(f"{READY_SCRIPT}; exec 0<&-; echo deaf; exec /bin/sleep 30")
    assert await one.async_start()
    await asyncio.sleep(0.2)
    one.beat()
    await paid_and_killed_at_once(one)
    assert not one.lost


async def test_guard_that_cannot_be_killed(hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paying does not wait forever, and there is never a second guard."""
    monkeypatch.setattr(guardian, "END_S", 0.05)
    monkeypatch.setattr(Guardian, "_kill", MagicMock())
    one = hire(f"{READY_SCRIPT}; exec /bin/sleep 30")
    assert await one.async_start()
    await one.async_paid()
    assert one.running
    assert not await one.async_start()
    monkeypatch.undo()
