"""Which registers are asked for, and when."""

from modbus_connection.mock import MockModbusUnit, ReadEvent

from custom_components.refu_ess.ess import RefuEss

from .conftest import Clock

STATUS = ReadEvent("input", 0x100, 25)
BATTERY = ReadEvent("input", 0x11A, 60)
SETTINGS = [
    ReadEvent("holding", 0x200, 3),
    ReadEvent("holding", 0x203, 1),
    ReadEvent("holding", 0x207, 1),
    ReadEvent("holding", 0x204, 3),
    ReadEvent("holding", 0x208, 3),
]


async def test_first_poll(device: RefuEss, unit: MockModbusUnit) -> None:
    """The first poll reads the two input blocks and the five pieces of the settings."""
    await device.async_poll()
    assert unit.read_events == [STATUS, BATTERY, *SETTINGS]


async def test_every_poll(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A poll is two requests; once a minute it is seven."""
    requests = []
    for _ in range(14):
        unit.read_events.clear()
        await device.async_poll()
        requests.append(len(unit.read_events))
        clock.now += 10
    assert requests == [7, 2, 2, 2, 2, 2, 7, 2, 2, 2, 2, 2, 7, 2]


async def test_settings_when_asked(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A block of the settings is read at once where it is asked for, and not at all where settings are not wanted."""
    await device.async_poll(settings=False)
    assert unit.read_events == [STATUS, BATTERY]
    await device.async_poll()
    unit.read_events.clear()
    clock.now += 1
    await device.async_poll(also=("total_setpoints",))
    assert unit.read_events == [STATUS, BATTERY, *SETTINGS[1:3]]


async def test_nothing_is_written(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Reading never writes."""
    written: list[object] = []
    unit.on_write(written.append)
    for _ in range(20):
        await device.async_poll()
        clock.now += 60
    assert written == []
