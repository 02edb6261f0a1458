"""Home Assistant's side of the dead man's switch in `guard.py`: starts the process, feeds it, and reads its reports.

The process is not one of asyncio's, which kills its processes when their transport goes: a guard has to outlive us.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, cast

from modbus_connection import ModbusSerialParams, ModbusTcpParams

from .guard import BEAT, PAID, READY, SILENCE_S, GuardReport, Orders, Outcome

_LOGGER = logging.getLogger(__name__)

LAUNCHER = Path(__file__).resolve().parent.parent / "guard" / "__main__.py"
READY_S = 5.0
"""Seconds that a new process has to read its orders."""
END_S = 2.0
"""Seconds that a process has to end after "paid"."""
POLL_S = 0.01


@dataclass(frozen=True, kw_only=True)
class GuardLink:
    """The guard's own link to the device."""

    params: ModbusTcpParams | ModbusSerialParams
    unit_id: int
    timeout_s: float
    """Seconds that the device has to answer a request."""


class Guardian:
    """One guard process at a time. To be used from the event loop only."""

    def __init__(
        self,
        link: GuardLink,
        *,
        per_phase: bool,
        report_path: Path,
        on_acted: Callable[[GuardReport], None] | None = None,
        python: str = sys.executable,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Start nothing yet. `on_acted` is called once a guard that acted has ended, with its last report."""
        self._link = link
        self._per_phase = per_phase
        self._report_path = report_path
        self._on_acted = on_acted
        self._python = python
        self._silence_s = silence_s
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: IO[bytes]
        self._answers: IO[bytes]
        self._unread = b""
        self._ready = asyncio.Event()
        """Also set when the process ends, so that no start waits for nothing."""
        self._reaped = asyncio.Event()
        self._reaping: asyncio.Task[None] | None = None
        self._is_ready = False
        self._told = False
        self._acted: GuardReport | None = None
        self._lost = False

    @property
    def running(self) -> bool:
        """True while there is a guard process, also one that is acting or was abandoned."""
        self._listen()
        return self._process is not None

    @property
    def acted(self) -> GuardReport | None:
        """The report of a guard that acted, or is acting (outcome "trying"), since the last start.

        Also up to date right after the event loop was blocked.
        """
        self._listen()
        return self._acted

    @property
    def lost(self) -> bool:
        """True if the process ended without an order and without having finished acting: a new one is needed."""
        self._listen()
        return self._lost

    async def async_start(self) -> bool:
        """Make sure that a guard runs that has its orders. Returns False if none could be started within 5 s.

        A guard that is acting, or was abandoned, is ended first.
        """
        if self.running:
            if self._is_ready and not self._told and self._acted is None:
                return True
            await self.async_paid()
            if self.running:
                return False
        self._is_ready = self._told = self._lost = False
        self._acted, self._unread = None, b""
        self._ready.clear()
        self._reaped = asyncio.Event()  # of its own: the one before may still be on its way out
        try:
            self._spawn()
        except Exception:  # whatever the reason, there is no guard
            _LOGGER.debug("The guard process cannot be started", exc_info=True)
            return False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(READY_S):
                    await self._ready.wait()
        finally:
            if not self._is_ready:
                self._kill()
                self._lost = False
        return self._is_ready

    def beat(self) -> None:
        """Report to the guard that we are alive. Never raises, also when there is none."""
        self._say(BEAT)

    async def async_paid(self) -> None:
        """Report to the guard that zero was delivered, and wait for its end. It is killed after 2 s. Never raises."""
        if not self.running:
            self._acted = None  # what it did is settled with the debt
            return
        heard = self._say(PAID)
        self.abandon()
        if heard and await self._async_reaped():
            self._acted = None
            return
        self._kill()
        if not await self._async_reaped():  # it waits for a broken disk
            _LOGGER.debug("The guard process cannot be killed")

    async def _async_reaped(self) -> bool:
        """Wait for the end of the process; False if it has not ended in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._reaped.wait()
        return self._reaped.is_set()

    def abandon(self) -> None:
        """Close the pipe: without a "paid" before, the guard delivers zero on its own."""
        self._told = True
        if self._process is not None:
            self._orders.close()

    def _spawn(self) -> None:
        orders = Orders(
            sys_path=sys.path,
            kind=type(self._link.params).__name__,
            params=asdict(self._link.params),
            unit_id=self._link.unit_id,
            timeout_s=self._link.timeout_s,
            per_phase=self._per_phase,
            report_path=str(self._report_path.absolute()),
            silence_s=self._silence_s,
        )
        # No environment, no site packages but those in the orders, and a session of its own: neither Ctrl-C nor a kill
        # of our process group takes it along.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [self._python, "-I", "-S", str(LAUNCHER)],
            bufsize=0,
            cwd="/",
            env={},
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._process = process
        self._orders, self._answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        for pipe in (self._orders, self._answers):
            os.set_blocking(pipe.fileno(), False)
        asyncio.get_running_loop().add_reader(self._answers.fileno(), self._listen)
        if not self._say(orders.to_line().rstrip()):
            self._kill()

    def _say(self, word: bytes) -> bool:
        """Send a line without waiting; False if it did not fit into the pipe or there is no reader."""
        if self._process is None or self._orders.closed:
            return False
        line = word + b"\n"
        try:
            return self._orders.write(line) == len(line)
        except OSError:
            return False

    def _listen(self) -> None:
        """Process what the guard has reported, without waiting."""
        while self._process is not None and (said := self._answers.read(4096)) is not None:
            if not said:
                self._hang_up(self._process)
                return
            *lines, self._unread = (self._unread + said).split(b"\n")
            for line in lines:
                self._hear(line)

    def _hear(self, line: bytes) -> None:
        if line == READY:
            self._is_ready = True
            self._ready.set()
            return
        try:
            self._acted = GuardReport.from_line(line)
        except ValueError:
            _LOGGER.debug("The guard process said something unknown")

    def _hang_up(self, process: subprocess.Popen[bytes]) -> None:
        """The process has ended or is about to."""
        self._process = None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._answers.fileno())
        self._orders.close()
        self._answers.close()
        finished = self._acted is not None and self._acted.outcome is not Outcome.TRYING
        self._lost = not self._told and not finished
        self._ready.set()
        if self._acted is not None and self._on_acted is not None:
            loop.call_soon(self._on_acted, self._acted)
        self._reaping = loop.create_task(self._reap(process, self._reaped))

    @staticmethod
    async def _reap(process: subprocess.Popen[bytes], reaped: asyncio.Event) -> None:
        while process.poll() is None:  # noqa: ASYNC110 - there is no event for it in every event loop
            await asyncio.sleep(POLL_S)
        reaped.set()

    def _kill(self) -> None:
        if self._process is not None:
            self._told = True
            self._process.kill()
