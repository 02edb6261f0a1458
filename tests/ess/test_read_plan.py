"""Which registers are asked for, and when."""

from modbus_connection.mock import MockModbusUnit, ReadEvent

from custom_components.refu_ess.ess import RefuEss, async_probe
from tests.registers import BATTERY_ADDRESSES, STATUS_ADDRESSES

from .clock import Clock

STATUS = ReadEvent("input", STATUS_ADDRESSES.start, len(STATUS_ADDRESSES))
BATTERY = ReadEvent("input", BATTERY_ADDRESSES.start, len(BATTERY_ADDRESSES))
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


async def test_settings_wait_a_minute(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """The settings are not read before 60 s are over, and are at 60 s."""
    await device.async_poll()
    unit.read_events.clear()
    clock.now += 59.9
    await device.async_poll()
    assert unit.read_events == [STATUS, BATTERY]
    unit.read_events.clear()
    clock.now += 0.1
    await device.async_poll()
    assert unit.read_events == [*SETTINGS, STATUS, BATTERY]


async def test_settings_wait_a_minute_of_real_time(unit: MockModbusUnit) -> None:
    """Requests take time, and still a poll every 10 s reads the settings at every sixth."""
    clock = Clock()

    def tick() -> float:
        clock.now += 0.01
        return clock.now

    device, requests = RefuEss(unit, clock=tick), []
    for number in range(13):
        clock.now = 1000.0 + 10 * number
        unit.read_events.clear()
        await device.async_poll()
        requests.append(len(unit.read_events))
    assert requests == [7, 2, 2, 2, 2, 2, 7, 2, 2, 2, 2, 2, 7]


async def test_only_known_addresses(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """No poll asks for anything but these seven requests, and none of them reaches 0x119."""
    for _ in range(20):
        await device.async_poll()
        clock.now += 20
    assert set(unit.read_events) == {STATUS, BATTERY, *SETTINGS}
    asked = {
        address
        for event in unit.read_events
        if event.register_type == "input"
        for address in range(event.address, event.address + event.count)
    }
    assert asked == {*STATUS_ADDRESSES, *BATTERY_ADDRESSES}


async def test_settings_when_asked(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """A block of the settings is read at once where it is asked for, and not at all where settings are not wanted."""
    await device.async_poll(settings=False)
    assert unit.read_events == [STATUS, BATTERY]
    await device.async_poll()
    unit.read_events.clear()
    clock.now += 0.5
    await device.async_poll(also={"total_setpoints": 0.0})
    assert unit.read_events == [*SETTINGS[1:3], STATUS, BATTERY]


async def test_nothing_is_written(device: RefuEss, unit: MockModbusUnit, clock: Clock) -> None:
    """Neither the probe nor a poll ever writes."""
    written: list[object] = []
    unit.on_write(written.append)
    await async_probe(unit)
    for _ in range(20):
        await device.async_poll()
        clock.now += 60
    assert written == []
