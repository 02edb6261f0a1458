"""The dead man's switch: a process beside Home Assistant that writes zero when Home Assistant dies or hangs.

It runs while power is commanded. Home Assistant sends one line of orders, then a line "beat" with every cycle, and
"paid" once zero was delivered. If the pipe closes without "paid", or no beat comes for 10 s, the guard connects to the
device on its own, writes zero to the setpoint registers in use, reads them back, and retries for a minute. It never
writes any other value or register. `guardian.py` is Home Assistant's side.

Until the orders are read this module needs nothing but the standard library. The Modbus library is imported right
after that, while Home Assistant goes on, and nothing is imported later: the guard works even when the file system is
gone.

Not covered: the end of the whole computer or container, a gateway that accepts only one client while a hung Home
Assistant holds its connection, and SIGKILL of the guard itself.
"""

import asyncio
import importlib
import json
import math
import os
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from modbus_connection import ModbusUnit
    from modbus_connection.model import RegisterField

READY = b"ready"
BEAT = b"beat"
PAID = b"paid"

SILENCE_S = 10.0
"""Seconds without a beat after which Home Assistant counts as hung."""
LINK_KINDS = ("ModbusTcpParams", "ModbusSerialParams")
"""Names of the Modbus library's link settings that the guard accepts."""
ATTEMPT_TIMEOUTS = 10
"""Limit of one attempt, in request timeouts: connecting, and four requests before and after the two writes."""
STORE_S = 0.5
"""Seconds that a slow disk may hold up the first attempt."""
LAST_STORE_S = 5.0
"""Seconds that a slow disk may hold up the end."""

EXIT_DONE = 0
EXIT_MALFORMED = 2
EXIT_NOT_LOADED = 3


class Reason(StrEnum):
    """The event that made the guard act."""

    CLOSED = "closed"
    """The pipe closed without "paid": Home Assistant died, or gave up on the zero."""
    SILENT = "silent"
    """No beat in time: Home Assistant hung, or the computer slept."""


class Outcome(StrEnum):
    """The result of the guard's attempts."""

    TRYING = "trying"
    """Not finished. In a file that a later start finds: the guard was killed while it tried."""
    ZERO_WRITTEN = "zero_written"
    """Zero was acknowledged and, where the setpoints can be read, read back."""
    ALREADY_ZERO = "already_zero"
    """The setpoints read zero; nothing was written."""
    NOT_WRITTEN = "not_written"
    """Zero could not be delivered within the time limit: the device may still hold power."""
    PAID = "paid"
    """Home Assistant came back and delivered zero first."""


@dataclass(frozen=True, kw_only=True)
class GuardReport:
    """The guard's report on its actions without Home Assistant."""

    reason: Reason
    outcome: Outcome
    at: float
    """When it began, in seconds since 1970."""
    tries: int
    """Attempts, each over a fresh connection."""
    seconds: float
    """Seconds from its beginning to the outcome."""
    held_before: Mapping[str, float] | None = None
    """The setpoints that it found, in W or var by channel key; `None` if they could not be read."""
    held_after: Mapping[str, float] | None = None
    """The setpoints when it last looked; `None` if they could not be read."""

    def to_line(self) -> bytes:
        """The report as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read a report; unknown keys are ignored. Raises `ValueError` if it is not one."""
        try:
            found = json.loads(line)
            return cls(
                reason=Reason(found["reason"]),
                outcome=Outcome(found["outcome"]),
                at=float(found["at"]),
                tries=int(found["tries"]),
                seconds=float(found["seconds"]),
                held_before=_held(found["held_before"]),
                held_after=_held(found["held_after"]),
            )
        except (AttributeError, KeyError, TypeError) as err:
            raise ValueError("not a report of the guard") from err


def _held(found: Mapping[str, Any] | None) -> dict[str, float] | None:
    return None if found is None else {key: float(value) for key, value in found.items()}


def read_report(path: Path) -> GuardReport | None:
    """Return the report that an earlier guard left, or `None` if there is none that can be read. Blocks on the disk."""
    try:
        return GuardReport.from_line(path.read_bytes())
    except OSError, ValueError:
        return None


def delete_report(path: Path) -> None:
    """Delete the report, if there is one. Blocks on the disk; raises `OSError` if the file cannot be deleted."""
    path.unlink(missing_ok=True)


def store_report(path: Path, report: GuardReport) -> None:
    """Replace the report file in one step, readable by its owner only. Blocks on the disk; raises `OSError`."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(report.to_line())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@dataclass(frozen=True, kw_only=True)
class Orders:
    """The first line that the guard is sent."""

    sys_path: list[str]
    """The folders of Home Assistant's modules: it may have installed the Modbus library outside of Python's folders."""
    kind: str
    """One of `LINK_KINDS`."""
    params: dict[str, Any]
    """The fields of these link settings."""
    unit_id: int
    timeout_s: float
    """Seconds that the device has to answer a request."""
    per_phase: bool
    """True if the setpoint registers of each phase are in use, False if those of the total."""
    report_path: str
    silence_s: float
    """Seconds without a beat after which the guard acts."""

    def to_line(self) -> bytes:
        """The orders as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read orders. Raises `ValueError` unless every part is there and of its kind."""
        found: Any = json.loads(line)
        if not (
            isinstance(found, dict)
            and found.keys() == {one.name for one in fields(cls)}
            and isinstance(found["sys_path"], list)
            and all(isinstance(folder, str) for folder in found["sys_path"])
            and found["kind"] in LINK_KINDS
            and isinstance(found["params"], dict)
            and isinstance(found["unit_id"], int)
            and isinstance(found["per_phase"], bool)
            and isinstance(found["report_path"], str)
            and all(
                isinstance(seconds, int | float) and 0 < seconds < math.inf
                for seconds in (found["timeout_s"], found["silence_s"])
            )
        ):
            raise ValueError("not the guard's orders")
        return cls(**found)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The guard's own pace, in seconds."""

    check: float = 0.5
    """Between two looks at the clock while no line comes: a computer that slept must be noticed."""
    retry: float = 1.0
    """Between two attempts."""
    settle: float = 3.0
    """After which zero is looked at once more: a write of Home Assistant may still have been on its way."""
    give_up: float = 60.0
    """After which no attempt is started."""


PACE = Timing()


def uptime() -> float:
    """Seconds on a clock that never jumps but counts the computer's sleep, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, kw_only=True)
class Device:
    """The link to the setpoints in use."""

    setpoints: Mapping[str, RegisterField[float]]
    """Their declared fields by channel key."""
    connect: Callable[[Reason], AbstractAsyncContextManager[ModbusUnit]]
    """Opens a fresh connection; entering it raises if that fails."""
    runs: tuple[range, ...] = field(init=False)
    """Their addresses, each contiguous run on its own."""

    def __post_init__(self) -> None:
        """Find the runs."""
        runs: list[range] = []
        for one in sorted(self.setpoints.values(), key=lambda one: one.address):
            stop = one.address + one.count
            if runs and runs[-1].stop == one.address:
                runs[-1] = range(runs[-1].start, stop)
            else:
                runs.append(range(one.address, stop))
        object.__setattr__(self, "runs", tuple(runs))

    async def async_held(self, unit: ModbusUnit) -> dict[str, float] | None:
        """Read the setpoints; `None` if any of them cannot be read."""
        words: dict[int, int] = {}
        try:
            for run in self.runs:
                words |= zip(run, await unit.read_holding_registers(run.start, len(run)), strict=True)
        except Exception:  # noqa: BLE001 - whatever fails, the setpoints are unknown and zero is still owed
            return None
        return {
            key: one.decode([words[one.address + offset] for offset in range(one.count)])
            for key, one in self.setpoints.items()
        }

    async def async_write_zero(self, unit: ModbusUnit) -> bool:
        """Write zero to every run, with function 16; False if any was not acknowledged."""
        acknowledged = True
        for run in self.runs:
            try:
                await unit.write_registers(run.start, [0] * len(run))
            except Exception:  # noqa: BLE001 - a run that fails must not keep the next from its zero
                acknowledged = False
        return acknowledged


def load(orders: Orders) -> Device:
    """Import the required modules, and return how to reach the device. Nothing is sent yet.

    Raises `ImportError` without the Modbus library, `TypeError` or `ValueError` if the link settings are not its.
    """
    # Name resolution imports the first in the middle of a connect.
    import encodings.idna  # noqa: F401, PLC0415 - here, as below: not before the orders are read

    import modbus_connection  # noqa: PLC0415
    from modbus_connection.pymodbus import ModbusConnection  # noqa: PLC0415

    from .settings import PhaseSetpoints, TotalSetpoints  # noqa: PLC0415

    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of the framer, as in `connection.py`
        params = getattr(modbus_connection, orders.kind)(**orders.params)

    @asynccontextmanager
    async def connect(reason: Reason) -> AsyncIterator[ModbusUnit]:
        if reason is Reason.SILENT and orders.kind == "ModbusSerialParams":
            ignore_port_locks()
        connection = ModbusConnection(params, timeout=orders.timeout_s)
        try:
            await connection.connect()
            yield connection.for_unit(orders.unit_id)
        finally:
            await connection.close()

    component = PhaseSetpoints if orders.per_phase else TotalSetpoints
    setpoints = cast("Mapping[str, RegisterField[float]]", component.declared_fields)
    return Device(setpoints=setpoints, connect=connect)


def ignore_port_locks() -> None:
    """Let this process open a serial port that another one has locked.

    pymodbus locks its port, and a hung Home Assistant keeps it locked without using it.
    """
    serial = importlib.import_module("serial")  # which pymodbus has imported
    serial.Serial.exclusive = property(lambda _: None, lambda _self, _locked: None)


async def _async_line(lines: asyncio.StreamReader) -> bytes | None:
    """The next line, stripped; `None` at the end of the pipe."""
    try:
        line = await lines.readline()
    except ValueError:  # longer than any of ours
        return b""
    return line.strip() if line else None


async def async_watch(
    lines: asyncio.StreamReader, silence_s: float, *, timing: Timing, clock: Callable[[], float]
) -> Reason | None:
    """Wait until the guard has to act; `None` means that Home Assistant delivered zero."""
    last_beat = clock()
    while True:
        line: bytes | None = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(timing.check):
                line = await _async_line(lines)
        if line == PAID:
            return None
        if line is None:
            return Reason.CLOSED
        # Even if a beat has just come: the setpoint stood there unattended.
        if clock() - last_beat > silence_s:
            return Reason.SILENT
        if line == BEAT:
            last_beat = clock()


class Debt:
    """The zero that is owed, and the report on it."""

    def __init__(
        self,
        reason: Reason,
        device: Device,
        *,
        timeout_s: float,
        say: Callable[[bytes], None],
        store: Callable[[GuardReport], None],
        timing: Timing,
        clock: Callable[[], float],
    ) -> None:
        """Store where reports are sent and stored, and a clock in seconds that never jumps. Nothing is sent yet."""
        self.report = GuardReport(reason=reason, outcome=Outcome.TRYING, at=time.time(), tries=0, seconds=0.0)
        self._device = device
        self._attempt_s = timeout_s * ATTEMPT_TIMEOUTS
        self._say = say
        self._store = store
        self._timing = timing
        self._clock = clock
        self._began = clock()
        self._written = False
        """True once a zero was sent, acknowledged or not."""
        self._pen = ThreadPoolExecutor(max_workers=1, thread_name_prefix="report")
        """Writes the file: a disk that hangs must not keep the zero from the device."""
        self._told: GuardReport | None = None
        self._storing: asyncio.Future[None]

    async def async_pay(self, lines: asyncio.StreamReader) -> None:
        """Deliver zero, unless Home Assistant comes back and says that it did."""
        await self._async_report(STORE_S)
        paying = asyncio.create_task(self._async_pay())
        listening = asyncio.create_task(self._async_until_paid(lines))
        await asyncio.wait({paying, listening}, return_when=asyncio.FIRST_COMPLETED)
        for task in (paying, listening):
            task.cancel()
        await asyncio.gather(paying, listening, return_exceptions=True)
        if self.report.outcome is Outcome.TRYING:
            self._note(outcome=Outcome.PAID)
        await self._async_report(LAST_STORE_S)
        self._pen.shutdown(wait=False)

    @staticmethod
    async def _async_until_paid(lines: asyncio.StreamReader) -> None:
        while (line := await _async_line(lines)) != PAID:
            if line is None:
                await asyncio.get_running_loop().create_future()  # no parent is left

    async def _async_pay(self) -> None:
        await self._async_until_zero()
        if self.report.held_after is None:
            return
        await self._async_report(0)
        await asyncio.sleep(self._timing.settle)
        if not await self._async_still_zero():
            self._note(outcome=Outcome.TRYING)
            await self._async_until_zero()

    def _note(self, **changes: Any) -> None:
        self.report = replace(self.report, seconds=round(self._clock() - self._began, 3), **changes)

    async def _async_report(self, patience_s: float) -> None:
        """Send and store the report unless it is unchanged; wait for the disk no longer than `patience_s`.

        An unchanged one is not stored again: the next start may have read it already, and would report it twice.
        """
        report = self.report
        if report != self._told:
            self._told = report
            self._say(report.to_line())
            self._storing = asyncio.get_running_loop().run_in_executor(self._pen, self._try_to_store, report)
        await asyncio.wait({self._storing}, timeout=patience_s)

    def _try_to_store(self, report: GuardReport) -> None:
        with suppress(OSError):
            self._store(report)

    async def _async_until_zero(self) -> None:
        while True:
            self._note(tries=self.report.tries + 1)
            outcome = None
            with suppress(Exception):  # whatever fails, zero is still owed
                async with asyncio.timeout(self._attempt_s):
                    outcome = await self._async_attempt()
            if outcome is None and self._clock() - self._began >= self._timing.give_up:
                outcome = Outcome.NOT_WRITTEN
            if outcome is not None:
                self._note(outcome=outcome)
                return
            await asyncio.sleep(self._timing.retry)

    async def _async_attempt(self) -> Outcome | None:
        """Deliver zero over a fresh connection; `None` if it was not. Raises what connecting raises."""
        device = self._device
        async with device.connect(self.report.reason) as unit:
            held = await device.async_held(unit)
            if held is None:
                # A late answer must not be taken for that to the next request.
                await unit.disconnect()
            elif self.report.held_before is None:
                self._note(held_before=held)
            self._note(held_after=held)
            if held is not None and not any(held.values()):
                return Outcome.ZERO_WRITTEN if self._written else Outcome.ALREADY_ZERO
            self._written = True
            acknowledged = await device.async_write_zero(unit)
            held = await device.async_held(unit)
            self._note(held_after=held)
            if held is not None:
                return None if any(held.values()) else Outcome.ZERO_WRITTEN
            # Where it was readable before, it is looked at again.
            return Outcome.ZERO_WRITTEN if acknowledged and self.report.held_before is None else None

    async def _async_still_zero(self) -> bool:
        """False if a setpoint is not zero; True also if the device cannot be asked."""
        with suppress(Exception):
            async with asyncio.timeout(self._attempt_s), self._device.connect(self.report.reason) as unit:
                held = await self._device.async_held(unit)
                return held is None or not any(held.values())
        return True


async def async_guard(
    lines: asyncio.StreamReader,
    say: Callable[[bytes], None],
    *,
    load: Callable[[Orders], Device] = load,
    timing: Timing = PACE,
    clock: Callable[[], float] = uptime,
) -> int:
    """Read orders and carry them out. Returns the exit code; after other codes than 0 nothing was written."""
    try:
        line = await lines.readline()
        if not line:
            return EXIT_DONE
        orders = Orders.from_line(line)
    except ValueError:
        return EXIT_MALFORMED
    say(READY + b"\n")
    # Behind Python's own folders, which nothing may hide.
    sys.path += [folder for folder in orders.sys_path if Path(folder).is_absolute() and folder not in sys.path]
    try:
        device = load(orders)
    except ImportError:
        return EXIT_NOT_LOADED
    except TypeError, ValueError:
        return EXIT_MALFORMED
    reason = await async_watch(lines, orders.silence_s, timing=timing, clock=clock)
    if reason is not None:
        path = Path(orders.report_path)
        debt = Debt(
            reason,
            device,
            timeout_s=orders.timeout_s,
            say=say,
            store=lambda report: store_report(path, report),
            timing=timing,
            clock=clock,
        )
        await debt.async_pay(lines)
    return EXIT_DONE


def main(stdin: int = 0, stdout: int = 1) -> int:
    """Run the guard on two file descriptors and return its exit code."""

    def say(line: bytes) -> None:
        with suppress(OSError):  # the parent no longer listens
            os.write(stdout, line)

    async def run() -> int:
        lines = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(stdin, "rb", buffering=0)
        )
        try:
            return await async_guard(lines, say)
        finally:
            pipe.close()

    # Not `asyncio.run`, which waits for threads that are still resolving a name.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()
