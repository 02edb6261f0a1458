"""A device in memory whose words are typed in by each test."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import Moment, RefuEss, Site
from tests.registers import HEALTHY


class Clock:
    """Time that goes by when it is told to, on both clocks unless one of them is told to stand still."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1000.0
        self.ahead = 1_800_000_000.0
        """Seconds that the clock on the wall is ahead."""

    def __call__(self) -> float:
        """The monotonic time in seconds."""
        return self.now

    def moment(self) -> Moment:
        """The time on both clocks."""
        return Moment(self.now, self.now + self.ahead)

    @contextmanager
    def pauses(self) -> Iterator[None]:
        """Let this clock go by instead of sleeping."""

        async def sleep(seconds: float) -> None:
            self.now += seconds

        with patch.object(asyncio, "sleep", sleep):
            yield


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def connection() -> MockModbusConnection:
    """The link in memory."""
    return MockModbusConnection()


@pytest.fixture
def unit(connection: MockModbusConnection) -> MockModbusUnit:
    """A healthy system at rest."""
    unit = connection.for_unit(1)
    unit.input.update(HEALTHY)
    return unit


@pytest.fixture
def device(unit: MockModbusUnit, clock: Clock) -> RefuEss:
    """The device package over it."""
    return RefuEss(unit, clock=clock)


type Poll = Callable[..., RefuEss]


async def polled(words: Mapping[int, int], *, site: Site | None = None, times: int = 3) -> RefuEss:
    """Poll a device that has these words and is 0 elsewhere; a zero counter needs three polls to prove itself."""
    unit = MockModbusConnection().for_unit(1)
    for address, word in words.items():
        (unit.holding if address >= 0x200 else unit.input)[address] = word
    clock = Clock()
    found = RefuEss(unit, site, clock=clock)
    for _ in range(times):
        clock.now += 10
        await found.async_poll()
    return found


def alarms(device: RefuEss) -> tuple[str, ...]:
    """Return the keys of the active alarms, the most severe first."""
    return tuple(entry.key for entry in device.picture.alarms)
