"""A Modbus unit with a deadline on each request and statistics."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from typing import Any

from modbus_connection import ModbusError, ModbusExceptionError, ModbusProtocolError, ModbusTimeoutError, ModbusUnit

type Read = Callable[[int, int], Coroutine[Any, Any, list[int]]]

DEADLINE_SECONDS = 5.0
"""Longer than the timeout of a private link. A shared link repeats a request for a minute while the device is busy."""
ANSWERS_REMEMBERED = 1000
WRITES_REMEMBERED = 100


STRAY_S = 10.0
"""An answer that did not come in time may still come this long after it was asked for."""


def is_unheard(err: ModbusError | None) -> bool:
    """Return whether an error says nothing about the registers: no answer came, or none to this request."""
    return err is not None and not isinstance(err, ModbusExceptionError)


@dataclass(frozen=True, kw_only=True)
class Write:
    """A write that was sent, once or several times without another one to the same registers in between."""

    address: int
    words: tuple[int, ...]
    outcome: str
    """`done` or `failed`."""
    first_at: float
    """Seconds of the monotonic clock."""
    last_at: float
    count: int = 1


OWN_REQUEST: ContextVar[bool] = ContextVar("refu_ess_own_request", default=False)
"""True while one of our requests is under way, and in the callbacks of the connection that it opened."""


@dataclass(frozen=True, kw_only=True)
class AnswerTimes:
    """Response times of the latest answers in seconds."""

    count: int
    median_s: float
    percentile_95_s: float
    longest_s: float


@dataclass
class LinkStatistics:
    """Statistics of the link since it was opened."""

    since: float
    """Times are seconds of the monotonic clock."""
    requests: int = 0
    reconnects: int = 0
    reconnected_at: float | None = None
    errors: Counter[str] = field(default_factory=Counter)
    """Number of failed requests by the name of the error."""
    failed_at: float | None = None
    answer_times_s: deque[float] = field(default_factory=lambda: deque(maxlen=ANSWERS_REMEMBERED))
    """Response times of the latest answers in seconds."""

    @property
    def answer_times(self) -> AnswerTimes | None:
        """A summary of `answer_times_s`, `None` before the first answer."""
        if not (times := self.answer_times_s):
            return None
        *_, percentile_95_s = quantiles(times, n=20, method="inclusive")
        return AnswerTimes(
            count=len(times), median_s=median(times), percentile_95_s=percentile_95_s, longest_s=max(times)
        )


class GuardedUnit:
    """The requests that this device needs, over a shared link each within `DEADLINE_SECONDS`.

    It serves `modbus_connection.model.Component` as its unit.
    """

    def __init__(self, unit: ModbusUnit, clock: Callable[[], float] = time.monotonic, *, numbered: bool = True) -> None:
        """Start with empty statistics. Answers are `numbered` over Modbus TCP, not on a serial line."""
        self.writes: deque[Write] = deque(maxlen=WRITES_REMEMBERED)
        """The most recent writes; equal repeats are one."""
        self._unit = unit
        self._clock = clock
        self._numbered = numbered
        self._strays: dict[tuple[int, int], float] = {}
        """Reads without a good answer, by address and count: when each was last asked for."""
        self._was_connected = False
        self._left: set[asyncio.Task[list[int]]] = set()
        """Reads past their deadline that wait for the link to open, or for that to fail."""
        self.statistics = LinkStatistics(since=clock())

    @property
    def connected(self) -> bool:
        """Return whether the link is up."""
        return self._unit.connected

    async def read_input_registers(self, address: int, count: int) -> list[int]:
        """Read with function 4. Raises `ModbusProtocolError` if the answer is, or might be, to another request."""
        return await self._read(self._unit.read_input_registers, address, count)

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Read with function 3. Raises as `read_input_registers`."""
        return await self._read(self._unit.read_holding_registers, address, count)

    async def _read(self, read: Read, address: int, count: int) -> list[int]:
        now, asked = self._clock(), (address, count)
        self._strays = {one: at for one, at in self._strays.items() if now - at < STRAY_S}
        alike = any(length == count and first != address for first, length in self._strays)
        if alike and not self._numbered:
            raise ModbusProtocolError("an answer of this length to another request may still be under way")
        try:
            words = _complete(count, await self._request(self._read_to_the_end, read, address, count))
        except ModbusError as err:
            if is_unheard(err):
                self._strays[asked] = now
            raise
        if asked not in self._strays:  # answers come in the order of requests, so no earlier one is under way
            self._strays.clear()
        return words

    async def write_registers(self, address: int, values: list[int]) -> None:
        """Write with function 16, also one register, and remember it."""
        outcome = "failed"
        try:
            await self._request(self._unit.write_registers, address, values)
            outcome = "done"
        finally:
            self._remember(address, tuple(values), outcome)

    def _remember(self, address: int, words: tuple[int, ...], outcome: str) -> None:
        """Remember a write; a setpoint that is repeated every second must not push out what was written before it."""
        at = self._clock()
        for index in range(len(self.writes) - 1, -1, -1):
            if (last := self.writes[index]).address == address:
                if (last.words, last.outcome) == (words, outcome):
                    self.writes[index] = replace(last, last_at=at, count=last.count + 1)
                    return
                break
        self.writes.append(Write(address=address, words=words, outcome=outcome, first_at=at, last_at=at))

    async def disconnect(self) -> None:
        """Drop the link, so that the next request opens a new one."""
        await self._unit.disconnect()

    async def _read_to_the_end(self, read: Read, address: int, count: int) -> list[int]:
        """Read; past the deadline, leave a read that waits for the link to open to end on its own.

        If it were cancelled, asyncio would log the failure to open the link as an unhandled exception, at every poll.
        A write is cancelled: it must not arrive late.
        """
        if self._unit.connected:
            return await read(address, count)
        task = asyncio.create_task(read(address, count))
        self._left.add(task)
        task.add_done_callback(self._end)
        await asyncio.wait((task,))
        return task.result()

    def _end(self, task: asyncio.Task[list[int]]) -> None:
        self._left.discard(task)
        with suppress(asyncio.CancelledError):
            task.exception()  # its caller may no longer be waiting

    async def _request[**P, T](self, send: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        self.statistics.requests += 1
        was_down = not self._unit.connected
        began = time.monotonic()
        own = OWN_REQUEST.set(True)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                answer = await send(*args, **kwargs)
        except ModbusError as err:
            self._count(type(err))
            raise
        except TimeoutError as err:
            self._count(ModbusTimeoutError)
            raise ModbusTimeoutError(f"no answer within {DEADLINE_SECONDS} s") from err
        finally:
            OWN_REQUEST.reset(own)
        self.statistics.answer_times_s.append(time.monotonic() - began)
        if was_down and self._was_connected:
            self.statistics.reconnects += 1
            self.statistics.reconnected_at = self._clock()
        self._was_connected = True
        return answer

    def _count(self, error: type[ModbusError]) -> None:
        self.statistics.errors[error.__name__] += 1
        self.statistics.failed_at = self._clock()


def _complete(count: int, words: list[int]) -> list[int]:
    """Return the words of an answer. Raises `ModbusProtocolError` if they are not as many as were asked for."""
    if len(words) != count:
        raise ModbusProtocolError(f"{len(words)} registers instead of {count}")
    return words
