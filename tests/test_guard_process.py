"""The guard as a real process beside a real parent, against the simulated ESS on real sockets and serial ports."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from custom_components.refu_ess.ess.guard import GuardReport, Orders, Outcome, Reason, read_report
from custom_components.refu_ess.ess.guardian import LAUNCHER

from .registers import ACTIVE_SETPOINT, ACTIVE_SETPOINT_L1, REACTIVE_SETPOINT, REACTIVE_SETPOINT_L1
from .simulator import Simulator, carry_out

pytestmark = [pytest.mark.usefixtures("socket_enabled"), pytest.mark.real_guard]

PARENT = Path(__file__).parent / "guard_parent.py"
TRANSPORTS = ["tcp", "rtu_over_tcp", "serial"]
SILENCE_S = 1.5


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """An ESS on every transport."""
    async with Simulator(tcp=("127.0.0.1", 0), rtu_over_tcp=("127.0.0.1", 0), pty=True, speed=0) as simulator:
        yield simulator


def link(sim: Simulator, transport: str) -> dict[str, Any]:
    """Return the link in the guard's orders."""
    if transport == "serial":
        return {"kind": "ModbusSerialParams", "params": {"device": sim.serial_port}}
    params = {"host": "127.0.0.1", "port": sim.cables[transport].port}
    framer = {"framer": "rtu"} if transport == "rtu_over_tcp" else {}
    return {"kind": "ModbusTcpParams", "params": params | framer}


class Parent:
    """A process that holds power under a guard."""

    def __init__(self, process: asyncio.subprocess.Process, report: Path) -> None:
        """Take the running process, and where its guard reports."""
        self.process = process
        self.report = report
        self.guard = 0
        self.ready_ms = 0.0

    async def heard(self, key: str) -> Any:
        """Wait for a line that has this key, and return its value."""
        assert self.process.stdout is not None
        async with asyncio.timeout(15):
            while True:
                line = await self.process.stdout.readline()
                assert line, "the parent has ended"
                if key in (found := json.loads(line)):
                    return found[key]

    async def reported(self) -> GuardReport:
        """Wait for the report of a guard that has finished trying."""
        async with asyncio.timeout(15):
            while True:
                report = read_report(self.report)
                if report is not None and report.outcome is not Outcome.TRYING:
                    return report
                await asyncio.sleep(0.005)

    def command(self, text: str) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")

    def signal(self, what: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.process.pid, what)


@asynccontextmanager
async def parent(
    sim: Simulator, tmp_path: Path, transport: str = "tcp", *, silence_s: float = SILENCE_S, per_phase: bool = False
) -> AsyncIterator[Parent]:
    """Start a parent in a process group of its own; it holds power when this enters."""
    report = tmp_path / "guard.json"
    orders = {"report_path": str(report), "silence_s": silence_s, "per_phase": per_phase}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # the folder of the tests has an `ess` of its own
        str(PARENT),
        json.dumps(link(sim, transport) | orders),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        process_group=0,
    )
    found = Parent(process, report)
    try:
        assert process.stdout is not None
        first = json.loads(await process.stdout.readline())
        assert first["started"]
        found.guard, found.ready_ms = first["guard"], first["ready_ms"]
        assert held(sim)
        yield found
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        with suppress(ProcessLookupError):
            if found.guard:
                os.kill(found.guard, signal.SIGKILL)


def held(sim: Simulator) -> bool:
    """True if any setpoint is not zero."""
    return sim.model.commanded


def files(folder: Path) -> list[str]:
    """The names in a folder."""
    return [path.name for path in folder.iterdir()]


def is_alive(process_id: int) -> bool:
    """True while a process runs; one that has ended but was not collected does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], bool], seconds: float = 15) -> float:
    """Wait for a condition; return the seconds it took."""
    began = time.perf_counter()
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return time.perf_counter() - began
            await asyncio.sleep(0.005)


def written_by_guard(sim: Simulator) -> list[tuple[int, tuple[int, ...]]]:
    """Return what was written beyond the parent's own two writes."""
    assert {write.function for write in sim.write_log} == {16}
    return [(write.address, write.values) for write in sim.write_log[2:]]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_killed(sim: Simulator, tmp_path: Path, transport: str) -> None:
    """A parent that is killed leaves zero behind, and a report for its next start."""
    async with parent(sim, tmp_path, transport) as one:
        one.signal(signal.SIGKILL)
        assert await until(lambda: not held(sim)) < 5
        report = await one.reported()
        if transport == "tcp":
            await until(lambda: not is_alive(one.guard))
            assert read_report(one.report) == dataclasses.replace(report, seconds=ANY)
    assert written_by_guard(sim) == [(ACTIVE_SETPOINT, (0,)), (REACTIVE_SETPOINT, (0,))]
    assert (report.reason, report.outcome, report.tries) == (Reason.CLOSED, Outcome.ZERO_WRITTEN, 1)
    assert report.held_before == {"set_active_power": -20_000, "set_reactive_power": -20_000}
    assert report.held_after == {"set_active_power": 0, "set_reactive_power": 0}
    assert one.report.stat().st_mode & 0o777 == 0o600
    assert files(tmp_path) == ["guard.json"]


async def test_killed_per_phase(sim: Simulator, tmp_path: Path) -> None:
    """With per-phase registers in use, only these become zero."""
    async with parent(sim, tmp_path, per_phase=True) as one:
        sim.model.total_w = 7_000
        one.signal(signal.SIGKILL)
        await one.reported()
    assert written_by_guard(sim) == [(ACTIVE_SETPOINT_L1, (0, 0, 0)), (REACTIVE_SETPOINT_L1, (0, 0, 0))]
    assert sim.model.total_w == 7_000


async def test_killed_with_its_group(sim: Simulator, tmp_path: Path) -> None:
    """The guard is in a session of its own."""
    async with parent(sim, tmp_path) as one:
        os.killpg(one.process.pid, signal.SIGKILL)
        await until(lambda: not held(sim))


@pytest.mark.parametrize("way", ["return", "raise"])
async def test_parent_that_ends_without_paying(sim: Simulator, tmp_path: Path, way: str) -> None:
    """The end of the parent's interpreter does not take the guard along."""
    async with parent(sim, tmp_path) as one:
        one.command(way)
        await one.process.wait()
        await until(lambda: not held(sim))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_stopped(sim: Simulator, tmp_path: Path, transport: str) -> None:
    """A parent that is stopped loses its power although it keeps its connection, and learns it when it goes on."""
    async with parent(sim, tmp_path, transport) as one:
        one.signal(signal.SIGSTOP)
        assert await until(lambda: not held(sim)) > SILENCE_S * 0.8
        report = await one.reported()
        one.signal(signal.SIGCONT)
        one.command("look")
        assert await one.heard("acted") == Outcome.ZERO_WRITTEN
        assert await one.heard("told") == Outcome.ZERO_WRITTEN
    assert report.reason is Reason.SILENT
    assert written_by_guard(sim) == [(ACTIVE_SETPOINT, (0,)), (REACTIVE_SETPOINT, (0,))]


@pytest.mark.parametrize("transport", ["tcp", "serial"])
async def test_blocked(sim: Simulator, tmp_path: Path, transport: str) -> None:
    """A blocked event loop sees that the guard acted before it does anything else."""
    async with parent(sim, tmp_path, transport) as one:
        one.command("block 3")
        await until(lambda: not held(sim))
        # It is still making sure that zero stays.
        assert await one.heard("acted") == Outcome.ZERO_WRITTEN
        one.command("paid")
        assert await one.heard("running") is False
        assert not is_alive(one.guard)


async def test_paid(sim: Simulator, tmp_path: Path) -> None:
    """After "paid" the guard ends without a write or a report; signals did not end it before."""
    async with parent(sim, tmp_path) as one:
        for request_to_end in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(one.guard, request_to_end)
        await asyncio.sleep(SILENCE_S * 1.5)
        assert is_alive(one.guard)
        one.command("look")
        assert await one.heard("lost") is False
        one.command("paid")
        assert await one.heard("lost") is False
        assert not is_alive(one.guard)
    assert written_by_guard(sim) == []
    assert files(tmp_path) == []


async def test_lost(sim: Simulator, tmp_path: Path) -> None:
    """The parent sees that its guard was killed."""
    async with parent(sim, tmp_path) as one:
        os.kill(one.guard, signal.SIGKILL)
        await until(lambda: not is_alive(one.guard))
        one.command("look")
        assert await one.heard("lost") is True


async def test_stopped_guard_is_ended(sim: Simulator, tmp_path: Path) -> None:
    """A guard that does not read that zero was delivered is killed."""
    async with parent(sim, tmp_path) as one:
        os.kill(one.guard, signal.SIGSTOP)
        one.command("paid")
        assert await one.heard("running") is False
        assert not is_alive(one.guard)
    assert written_by_guard(sim) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "unplug"},
        {"do": "silence"},
        {"do": "exception", "code": 4},
        {"do": "disturb", "how": "garbage"},
    ],
    ids=lambda one: one.get("how", one["do"]),
)
async def test_bad_link(sim: Simulator, tmp_path: Path, fault: dict[str, Any]) -> None:
    """The guard retries until the link is good again, whatever signal asks it to end."""
    async with parent(sim, tmp_path) as one:
        await carry_out(sim, fault)
        one.signal(signal.SIGKILL)
        await until(one.report.exists)
        report = read_report(one.report)
        assert report is not None
        assert report.outcome is Outcome.TRYING
        for request_to_end in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(one.guard, request_to_end)
        await asyncio.sleep(2.5)
        # Garbled answers leave open what arrived, which is all of it.
        assert held(sim) is (fault["do"] != "disturb")
        assert is_alive(one.guard)
        await carry_out(sim, {"do": "heal"})
        if fault["do"] == "unplug":
            await carry_out(sim, {"do": "plug"})
        report = await one.reported()
        assert not held(sim)
    assert report.outcome is Outcome.ZERO_WRITTEN
    assert report.seconds > 2.5


async def test_link_that_drops_the_first_connections(sim: Simulator, tmp_path: Path) -> None:
    """Three connections that close at once cost three attempts."""
    async with parent(sim, tmp_path) as one:
        serve, dropped = sim.wire._serve, 0

        async def drop_three(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal dropped
            dropped += 1
            sim.wire.faults.refused = dropped <= 3
            await serve(reader, writer)

        await sim.unplug()
        sim.wire._serve = drop_three  # type: ignore[method-assign]
        await sim.plug()
        one.signal(signal.SIGKILL)
        report = await one.reported()
        assert not held(sim)
    assert report.tries == 4


async def test_killed_while_it_tries(sim: Simulator, tmp_path: Path) -> None:
    """A guard that is killed leaves the trace that it was trying."""
    async with parent(sim, tmp_path) as one:
        await sim.unplug()
        one.signal(signal.SIGKILL)
        await until(one.report.exists)
        os.kill(one.guard, signal.SIGKILL)
        await until(lambda: not is_alive(one.guard))
    report = read_report(one.report)
    assert report is not None
    assert report.outcome is Outcome.TRYING


def orders(sim: Simulator, tmp_path: Path, transport: str = "tcp") -> bytes:
    """Return orders as a parent sends them."""
    return Orders(
        sys_path=sys.path,
        **link(sim, transport),
        unit_id=1,
        timeout_s=1.0,
        per_phase=False,
        report_path=str(tmp_path / "guard.json"),
        silence_s=10.0,
    ).to_line()


async def run(python: list[str], said: bytes) -> tuple[int | None, bytes, bytes]:
    """Run a process with this on its standard input, in an empty environment."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", *python, stdin=pipe, stdout=pipe, stderr=pipe, env={}
    )
    out, err = await process.communicate(said)
    return process.returncode, out, err


@pytest.mark.parametrize(("said", "code"), [(b"", 0), (b"\n", 2), (b"{}\n", 2), (b'{"sys_path', 2)])
async def test_no_orders(said: bytes, code: int) -> None:
    """Without orders nothing happens."""
    assert await run([str(LAUNCHER)], said) == (code, b"", b"")


async def test_no_modbus_library(sim: Simulator, tmp_path: Path) -> None:
    """A guard that cannot load the Modbus library says so by its end."""
    found = json.loads(orders(sim, tmp_path)) | {"sys_path": []}
    assert await run([str(LAUNCHER)], json.dumps(found).encode() + b"\n") == (3, b"ready\n", b"")


AUDIT = """
import os, runpy, sys
loaded = []
def end(code):
    print("modules", *sys.modules)
    print("late", *sorted(set(sys.modules) - set(loaded)))
    print("path", *sys.path)
    print("rss", open("/proc/self/status").read().partition("VmRSS:")[2].split()[0], flush=True)
    os.kill(os.getpid(), 9)
os._exit = end
def mark(event, arguments):
    if not loaded and (event == "socket.connect" or event == "open" and str(arguments[0]).endswith("/client")):
        loaded.extend(sys.modules)
sys.addaudithook(mark)
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Runs the launcher, and prints what it has loaded: all, and after it began to connect."""


@pytest.mark.parametrize("transport", ["tcp", "serial"])
async def test_what_is_loaded(sim: Simulator, tmp_path: Path, transport: str) -> None:
    """The guard loads no Home Assistant, little of the device package, and nothing once it has begun to connect."""
    sim.model.total_w = 7_000
    _, out, err = await run(["-c", AUDIT, str(LAUNCHER)], orders(sim, tmp_path, transport))
    assert err == b""
    assert sim.model.total_w == 0
    lines = [line.partition(" ") for line in out.decode().splitlines()]
    found = {name: rest.split() for name, _, rest in lines}
    ours = {name for name in found["modules"] if name.partition(".")[0] == "ess"}
    assert ours == {"ess", "ess.guard", "ess.settings", "ess.setpoint", "ess.enums", "ess.facts"}
    assert not [name for name in found["modules"] if name.startswith(("homeassistant", "custom_components", "aiohttp"))]
    assert {"modbus_connection.pymodbus", "serial", "encodings.idna"} <= set(found["modules"])
    assert found["late"] == []
    assert str(LAUNCHER.parents[1]) not in found["path"][:3]  # where the standard library is
    assert int(found["rss"][0]) < 60_000
