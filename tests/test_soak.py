"""A long time changes nothing: after hundreds of reloads, days and faults Home Assistant holds what it held before.

The suite runs a short version. `scripts/soak` runs the long one and writes its numbers into `docs/performance.md`;
`REFU_ESS_SOAK` asks for that one and names the file that collects its numbers. Only that one has real guard processes.
"""

import asyncio
import gc
import json
import logging
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.ess import RefusedError, WriteFailedError

from .conftest import RUNNING_INPUT
from .helpers import state
from .registers import ACTIVE_POWER, ACTIVE_SETPOINT, BATTERY_FAULT_10, SOC, SYSTEM_ERROR_1
from .simulator import Simulator

LONG = "REFU_ESS_SOAK" in os.environ
CYCLES = 200 if LONG else 5
HOURS_OF_POLLING = 24 if LONG else 1
HOURS_OF_FAULTS = 7 * 24 if LONG else 1
OPTIONS = {"start_delay": 0, "ramp_rate": 1000, "guard": LONG}
POLL_S = 10
WARM_UP = 8 if LONG else 2
GUARD_ENDS_S = 90.0
SOC_SENSOR = "sensor.refu_ess_battery_state_of_charge_soc"
OBJECTS_EACH_TIME = 3
"""Objects that may remain after a single reload or hour; each has more entities than that."""
OBJECTS_AT_ALL = 8000
"""Objects that fill up to a limit: the history of alarms, the recent writes, Home Assistant's caches."""


@pytest.fixture
def hass_config_dir(tmp_path: Path) -> str:
    """A folder of its own on a real disk."""
    (tmp_path / ".storage").mkdir()
    return str(tmp_path)


@pytest.fixture
def hass_storage() -> dict[str, Any]:
    """Storage is not mocked: the mock remembers all that was ever stored."""
    return {}


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Keep no log: pytest's own would be what grows."""
    logging.disable(logging.CRITICAL)
    caplog.handler.setLevel(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@dataclass(frozen=True)
class Footprint:
    """Resources held by this process."""

    tasks: int
    timers: int
    listeners: int
    file_handles: int
    """Sockets among them."""
    child_processes: int
    threads: int
    objects: int
    memory_mb: float

    @property
    def countable(self) -> dict[str, int]:
        """Resources that must be unchanged. Threads belong to Home Assistant's pool, which grows to its size."""
        found = asdict(self)
        return {key: found[key] for key in ("tasks", "timers", "listeners", "file_handles", "child_processes")}


def _entries(folder: str) -> int:
    return len(list(Path("/proc/self", folder).iterdir()))


def _children() -> int:
    return sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))


def _memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def footprint(hass: HomeAssistant) -> Footprint:
    """Return what this process holds once everything that was put off is done."""
    await hass.async_block_till_done(wait_background_tasks=True)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)  # stores write at once what they put off
    await hass.async_block_till_done(wait_background_tasks=True)
    await asyncio.sleep(0)
    for _ in range(3):
        gc.collect()
    loop = asyncio.get_running_loop()
    handles = loop._scheduled  # type: ignore[attr-defined]
    return Footprint(
        tasks=len(asyncio.all_tasks()),
        timers=sum(not handle.cancelled() for handle in handles),
        listeners=sum(hass.bus.async_listeners().values()),
        file_handles=_entries("fd"),
        child_processes=_children(),
        threads=_entries("task"),
        objects=len(gc.get_objects()),
        memory_mb=round(_memory_mb(), 1),
    )


def registries(hass: HomeAssistant, entry: MockConfigEntry) -> tuple[Any, ...]:
    """Return what the registries hold of the entry, without times."""
    devices, entities = dr.async_get(hass), er.async_get(hass)
    found: list[dr.DeviceEntry | dr.ChildDeviceEntry] = [*dr.async_entries_for_config_entry(devices, entry.entry_id)]
    found.extend(dr.async_child_entries_for_config_entry(devices, entry.entry_id))
    return (
        sorted((one.id, str(sorted(one.identifiers)), one.name) for one in found),
        sorted(
            (one.entity_id, one.id, one.unique_id, str(one.disabled_by))
            for one in er.async_entries_for_config_entry(entities, entry.entry_id)
        ),
    )


def conclude(name: str, rounds: int, before: Footprint, after: Footprint, seconds: float) -> None:
    """Check that nothing grew, and tell the numbers."""
    row = {"name": name, "rounds": rounds, "before": asdict(before), "after": asdict(after), "seconds": seconds}
    if LONG:
        with Path(os.environ["REFU_ESS_SOAK"]).open("a") as file:
            file.write(json.dumps(row) + "\n")
    assert after.countable == before.countable
    assert after.objects - before.objects <= OBJECTS_AT_ALL + OBJECTS_EACH_TIME * rounds, row


# Reloads


class Cycles:
    """An entry on real sockets, and what is done to it again and again."""

    def __init__(self, hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry) -> None:
        """Take what runs."""
        self.hass, self.sim, self.entry = hass, sim, entry

    async def unload_and_load(self, _: int) -> None:
        """Unload the entry and set it up again."""
        assert await self.hass.config_entries.async_unload(self.entry.entry_id)
        assert await self.hass.config_entries.async_setup(self.entry.entry_id)

    async def reload(self, _: int) -> None:
        """Reload it."""
        assert await self.hass.config_entries.async_reload(self.entry.entry_id)

    async def reconfigure(self, _: int) -> None:
        """Go through the reconfigure flow."""
        flow = await self.entry.start_reconfigure_flow(self.hass)
        flow = await self.hass.config_entries.flow.async_configure(flow["flow_id"], {"next_step_id": "tcp"})
        link = {"unit_id": 1, "share_connection": self.entry.data["share_connection"]}
        answers = {"host": "127.0.0.1", "port": self.sim.port, "connection": link}
        done = await self.hass.config_entries.flow.async_configure(flow["flow_id"], answers)
        assert done["reason"] == "reconfigure_successful"

    async def change_options(self, number: int) -> None:
        """Go through the options with another number each time."""
        form = await self.hass.config_entries.options.async_init(self.entry.entry_id)
        assert form["data_schema"] is not None
        words = form["data_schema"]({"poll_interval": 20 + number % 30, "control": OPTIONS})
        await self.hass.config_entries.options.async_configure(form["flow_id"], words)

    async def hold_power(self) -> None:
        """Hold power for a moment, with a guard process; what comes next ends it."""
        await asyncio.sleep(0.3)
        await self.hass.services.async_call(DOMAIN, "set_power", {"active_power": 20_000}, blocking=True)
        assert self.sim.model.total_w == 20_000

    async def once(self, number: int) -> None:
        """Do each once, with power held before one of them now and then."""
        ways = (self.unload_and_load, self.reload, self.reconfigure, self.change_options)
        for index, way in enumerate(ways):
            if number % 8 == index:
                await self.hold_power()
            await way(number)
            await self.hass.async_block_till_done()
            assert self.entry.state is ConfigEntryState.LOADED
            assert self.sim.model.total_w == 0
            assert state(self.hass, SOC_SENSOR) == "62"


async def _no_guard_left() -> None:
    async with asyncio.timeout(GUARD_ENDS_S):
        while _children():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.1)


@pytest.mark.real_guard
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("socket_enabled")
@pytest.mark.parametrize("link", ["private", "shared"])
async def test_reloads(hass: HomeAssistant, link: str) -> None:
    """Load, unload, reload, reconfigure and options, again and again, with power held before some of them."""
    async with Simulator(speed=0) as sim:
        data = {
            "transport": "tcp",
            "host": "127.0.0.1",
            "port": sim.port,
            "unit_id": 1,
            "share_connection": link == "shared",
        }
        entry = MockConfigEntry(domain=DOMAIN, title="REFU ESS", data=data, options=OPTIONS)
        entry.add_to_hass(hass)
        assert await hass.config_entries.async_setup(entry.entry_id)
        cycles = Cycles(hass, sim, entry)
        for number in range(WARM_UP):
            await cycles.once(number)
        await _no_guard_left()
        sim.write_log.clear()
        before, registered, began = await footprint(hass), registries(hass, entry), os.times().elapsed
        for number in range(CYCLES):
            await cycles.once(number)
        seconds = os.times().elapsed - began
        await _no_guard_left()
        assert {write.function for write in sim.write_log} == {16}
        sim.write_log.clear()
        after = await footprint(hass)
        name = f"{CYCLES} times each: unload and load, reload, reconfigure, options; {link} link"
        conclude(name, CYCLES * 4, before, after, seconds)
        assert registries(hass, entry) == registered


# Days


async def let_go_by(hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: int, step: int = POLL_S) -> None:
    """Let time go by."""
    for _ in range(0, seconds, step):
        freezer.tick(timedelta(seconds=step))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)


def move(unit: MockModbusUnit, chance: random.Random) -> None:
    """Let readings move as they do, and an alarm come and go."""
    unit.input[ACTIVE_POWER] = chance.randrange(-500, 500) & 0xFFFF
    unit.input[SOC] = chance.randrange(20, 90)
    unit.input[BATTERY_FAULT_10] = (chance.random() < 0.1) << 8


def restore(unit: MockModbusUnit) -> None:
    """Take back everything that was done to the device."""
    unit.fail_requests(None)
    for address in (0x100, 0x11A):
        unit.fail_read(address, None, register_type="input")
    for address in (0x200, 0x203, 0x204, 0x207, 0x208):
        unit.fail_read(address, None)
        unit.fail_write(address, None)
    unit.input.update(RUNNING_INPUT)
    unit.input[BATTERY_FAULT_10] = 0
    unit.holding[ACTIVE_SETPOINT] = 0


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("link")
async def test_days_of_polling(
    hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """Hours of polls with readings that move."""
    chance = random.Random(1)  # noqa: S311
    restore(unit)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await _live(hass, freezer, unit, entry, hours=HOURS_OF_POLLING, name="of polling", act=lambda: move(unit, chance))


ERRORS: tuple[Callable[[], ModbusError], ...] = (
    lambda: ModbusTimeoutError("late"),
    lambda: ModbusConnectionError("gone"),
    ServerDeviceBusyError,
    IllegalDataAddressError,
)
"""A new one each time: an error that is raised again keeps the frames of every time before."""


class Trouble:
    """Random events: faults, their end, other words, commands."""

    def __init__(self, hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit) -> None:
        """Take what it happens to."""
        self.hass, self.entry, self.unit = hass, entry, unit
        self.chance = random.Random(2)  # noqa: S311
        self.commands: list[asyncio.Task[None]] = []
        """They may wait for time to go by."""
        self.kinds: list[Callable[[], object]] = [
            lambda: unit.fail_requests(self.error),
            lambda: unit.fail_read(self.chance.choice((0x100, 0x11A)), self.error, register_type="input"),
            self.fail_settings,
            lambda: unit.input.update({SYSTEM_ERROR_1: self.chance.randrange(0x10000)}),
            lambda: unit.input.update({address: self.chance.randrange(0x10000) for address in RUNNING_INPUT}),
            lambda: unit.holding.update({ACTIVE_SETPOINT: self.chance.randrange(0x10000)}),
            self.begin_command,
            self.begin_command,
            *[lambda: restore(unit)] * 12,
            *[lambda: None] * 20,
        ]

    def happen(self) -> None:
        """Let readings move, and one thing happen."""
        move(self.unit, self.chance)
        self.chance.choice(self.kinds)()

    @property
    def error(self) -> ModbusError:
        """One of them."""
        return self.chance.choice(ERRORS)()

    def fail_settings(self) -> None:
        """Let one setting block fail."""
        address, error = self.chance.choice((0x200, 0x203, 0x204, 0x207, 0x208)), self.error
        self.unit.fail_read(address, error)
        self.unit.fail_write(address, error)

    def begin_command(self) -> None:
        """Command something."""
        self.commands = [task for task in self.commands if not task.done()]
        self.commands.append(self.hass.async_create_task(self.command(), eager_start=True))

    async def command(self) -> None:
        """Release, or hold power for a minute; refusals are none of this test's business."""
        words = {"active_power": 5000, "duration": 60}
        try:
            if self.chance.random() < 0.5:
                await self.entry.runtime_data.commander.async_release()
            else:
                await self.hass.services.async_call(DOMAIN, "set_power", words, blocking=True)
        except HomeAssistantError, RefusedError, WriteFailedError:
            return


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("link")
async def test_week_of_faults(
    hass: HomeAssistant, entry: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """Hours of faults of every kind at random, with commands among them; then all is as before, without help."""
    restore(unit)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options=OPTIONS | {"guard": False})
    assert await hass.config_entries.async_setup(entry.entry_id)
    trouble = Trouble(hass, entry, unit)
    await _live(hass, freezer, unit, entry, hours=HOURS_OF_FAULTS, name="of faults at random", act=trouble.happen)
    assert all(task.done() for task in trouble.commands)


async def _live(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    unit: MockModbusUnit,
    entry: MockConfigEntry,
    *,
    hours: int,
    name: str,
    act: Callable[[], None],
) -> None:
    """Live through the hours, and compare what is held at rest before and after."""

    async def rest() -> Footprint:
        restore(unit)
        await let_go_by(hass, freezer, 900)
        if (commander := entry.runtime_data.commander).controller.held is not None:
            await commander.async_release()
        await let_go_by(hass, freezer, 300)
        unit.read_events.clear()
        assert state(hass, SOC_SENSOR) == "62"
        return await footprint(hass)

    for _ in range(60):
        act()
        await let_go_by(hass, freezer, POLL_S)
    before, registered, began = await rest(), registries(hass, entry), os.times().elapsed
    for poll in range(hours * 3600 // POLL_S):
        act()
        await let_go_by(hass, freezer, POLL_S)
        if poll % 360 == 0:
            unit.read_events.clear()
    after = await rest()
    conclude(f"{hours} hours {name}", hours, before, after, os.times().elapsed - began)
    assert registries(hass, entry) == registered
