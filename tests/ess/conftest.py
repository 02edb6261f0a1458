"""A device in memory whose words are typed in by each test."""

from collections.abc import Callable, Mapping

import pytest
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import RefuEss, Site

HEALTHY = {0x100: 4, 0x101: 0x600, 0x102: 0x17, 0x103: 0x7C07, 0x11C: 3, 0x121: 50}


class Clock:
    """Time that goes by when it is told to."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


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
