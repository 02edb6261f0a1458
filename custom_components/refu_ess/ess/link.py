"""A Modbus unit with a deadline on each request and a count of what happened."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from modbus_connection import ModbusError, ModbusTimeoutError, ModbusUnit

DEADLINE_SECONDS = 5.0
"""Longer than the time-out of a private link. A shared link repeats a request for a minute while the device is busy."""


OWN_REQUEST: ContextVar[bool] = ContextVar("refu_ess_own_request", default=False)
"""True while one of our requests is under way, and in the callbacks of the connection that it opened."""


@dataclass
class LinkStatistics:
    """What happened on the link since it was opened."""

    requests: int = 0
    reconnects: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """How many requests failed, by the name of the error."""


class GuardedUnit:
    """The requests that this device needs, each within `DEADLINE_SECONDS`.

    It serves `modbus_connection.model.Component` as its unit.
    """

    def __init__(self, unit: ModbusUnit) -> None:
        """Count from here on."""
        self._unit = unit
        self._was_connected = False
        self.statistics = LinkStatistics()

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self._unit.connected

    async def read_input_registers(self, address: int, count: int) -> list[int]:
        """Read with function 4."""
        return await self._request(lambda: self._unit.read_input_registers(address, count))

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Read with function 3."""
        return await self._request(lambda: self._unit.read_holding_registers(address, count))

    async def write_registers(self, address: int, values: list[int]) -> None:
        """Write with function 16, which this device took for the longest time, also for one register."""
        await self._request(lambda: self._unit.write_registers(address, values))

    async def disconnect(self) -> None:
        """Drop the link, so that the next request opens a new one."""
        await self._unit.disconnect()

    async def _request[T](self, send: Callable[[], Awaitable[T]]) -> T:
        self.statistics.requests += 1
        was_down = not self._unit.connected
        own = OWN_REQUEST.set(True)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                answer = await send()
        except ModbusError as err:
            self.statistics.errors[type(err).__name__] += 1
            raise
        except TimeoutError as err:
            self.statistics.errors[ModbusTimeoutError.__name__] += 1
            raise ModbusTimeoutError(f"no answer within {DEADLINE_SECONDS} s") from err
        finally:
            OWN_REQUEST.reset(own)
        if was_down and self._was_connected:
            self.statistics.reconnects += 1
        self._was_connected = True
        return answer
