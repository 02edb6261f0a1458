"""A device in memory whose words are typed in by each test."""

import pytest
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import RefuEss
from tests.registers import HEALTHY, PERMITTING

from .bench import Bench, MakeBench
from .clock import Clock


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


@pytest.fixture
def bench(unit: MockModbusUnit, clock: Clock) -> MakeBench:
    """Create a bench with a running system that has been polled."""

    async def make(**options: object) -> Bench:
        unit.input.update(PERMITTING)
        made = Bench(unit, clock, **options)  # type: ignore[arg-type]
        await made.poll(2)
        return made

    return make
