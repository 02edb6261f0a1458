"""Hours of random commands, faults, lost links, restarts and crashes against the simulated ESS."""

import random
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from modbus_connection import ModbusConnectionError, ModbusError, ModbusUnit

from custom_components.refu_ess.ess import (
    Controller,
    ControlSettings,
    Event,
    Power,
    Record,
    RefuEss,
    RefusedError,
    WorkState,
    WriteFailedError,
)
from tests.registers import ACTIVE_SETPOINT, ERROR_RESET, OPERATION_MODE, REACTIVE_SETPOINT, WORK_STATE, power_of
from tests.simulator import Model, Simulator, State

from .bench import Store
from .clock import Clock

SHARE_OF_A_DAY_S = 21_600
IDLE_S, BUSY_S = 10, 1
ORPHANED_POLLS = 5
SETPOINTS = {ACTIVE_SETPOINT, REACTIVE_SETPOINT}


class Wire:
    """A unit connected directly to the simulator, without a socket, that can be cut."""

    connected = True

    def __init__(self, sim: Simulator) -> None:
        """Take the simulator."""
        self.sim = sim
        self.cut = False

    def _pass(self) -> None:
        if self.cut:
            raise ModbusConnectionError("cut")

    async def _read(self, address: int, count: int) -> list[int]:
        self._pass()
        words = self.sim.registers.words()
        return [words[one] for one in range(address, address + count)]

    read_input_registers = read_holding_registers = _read

    async def write_registers(self, address: int, values: list[int]) -> None:
        """Write with function 16."""
        self._pass()
        self.sim._take(16, address, tuple(values))

    async def disconnect(self) -> None:
        """There is nothing to drop."""


@dataclass
class Day:
    """One run of Home Assistant after the other, on one device."""

    seed: int
    clock: Clock = field(default_factory=Clock)
    sim: Simulator = field(default_factory=lambda: Simulator(Model(soc=50), tcp=None))
    store: Store = field(default_factory=lambda: Store(Record(fault_recovery=True)))
    events: list[Event] = field(default_factory=list)
    crashes: int = 0
    refusals: int = 0
    commands: int = 0

    def __post_init__(self) -> None:
        """Start for the first time."""
        self.random = random.Random(self.seed)  # noqa: S311
        self.wire = Wire(self.sim)
        self.orphaned_s = 0
        self.start()

    def start(self) -> None:
        """Start again: nothing is remembered but the record, and nothing may be written but what it owes."""
        unit: ModbusUnit = self.wire  # type: ignore[assignment]
        self.device = RefuEss(unit, clock=self.clock)
        self.controller = Controller(
            self.device,
            clock=self.clock.moment,
            settings=ControlSettings(),
            record=self.store.record,
            keep=self.store.keep,
            report=self.events.append,
        )
        self.asked_since_start = False

    async def poll(self) -> None:
        """Let time go by as the coordinator does, and look at what was written."""
        step = BUSY_S if self.controller.busy else IDLE_S
        self.clock.now += step
        self.sim.model.step(step)
        before = len(self.sim.write_log)
        with suppress(ModbusError):
            await self.device.async_poll(also=self.controller.blocks_to_read)
        await self.controller.async_cycle()
        self.check(before)

    def check(self, since: int) -> None:
        """Check every write against the rules."""
        model = self.sim.model
        for write in self.sim.write_log[since:]:
            assert write.function == 16
            assert write.address in {WORK_STATE, ERROR_RESET, OPERATION_MODE, *SETPOINTS}
            if not self.asked_since_start:
                # Without a command there are STOP, START and reset of the recovery, and zeros that are owed.
                assert write.address in {WORK_STATE, ERROR_RESET} or write.values == (0,)
                assert self.controller.recovery is not None
            if write.address == ACTIVE_SETPOINT and write.values != (0,):
                watts = power_of(write.values[0])
                assert model.state is State.START
                assert -model.allowed_charge_w - 1000 <= watts <= model.allowed_discharge_w + 1000
                assert not (model.allowed_charge_w < 100 and 0 < watts <= 5000)
                assert not (model.allowed_discharge_w < 100 and -5000 <= watts < 0)
                assert self.controller.lease.lease is not None
                assert self.store.record.zero is not None

    def look_for_orphans(self) -> None:
        """Power without a holder is gone within seconds of a working link, also after a crash."""
        held = self.controller.lease.lease is not None
        self.orphaned_s = 0 if self.wire.cut or held or not self.sim.model.total_w else self.orphaned_s + 1
        assert self.orphaned_s <= ORPHANED_POLLS

    async def command(self) -> None:
        """Ask for something at random."""
        self.asked_since_start = True
        self.commands += 1
        before = len(self.sim.write_log)
        try:
            match self.random.randrange(10):
                case 0:
                    await self.controller.async_release()
                case 1:
                    await self.controller.async_set_work_state(self.random.choice(list(WorkState)))
                case _:
                    watts = self.random.choice([-100_000, -20_000, -3000, 0, 3000, 20_000, 100_000])
                    duration = self.random.choice([60, 600, 3600])
                    await self.controller.async_set_power(Power.total(watts, 0, 1), owner="user", duration_s=duration)
        except RefusedError, WriteFailedError:
            self.refusals += 1
        self.check(before)

    async def happen(self) -> None:
        """Let something happen at random."""
        match self.random.randrange(12):
            case 0:
                self.wire.cut = True
            case 1 | 2 | 3:
                self.wire.cut = False
            case 4:
                self.sim.model.fail(7)
            case 5:
                self.sim.registers.alarms["normal_high_temperature"] = self.random.random() < 0.5
            case 6:
                with self.clock.pauses():
                    await self.controller.async_shut_down()
                assert self.wire.cut or self.sim.model.total_w == 0
                self.start()
            case 7 if self.random.random() < 0.5:
                self.crashes += 1  # the device keeps what it had, and the record says so
                self.start()
            case 8:
                self.sim.model.soc = self.random.choice([1.0, 50.0, 99.5, 100.0])
            case _:
                await self.command()


@pytest.mark.parametrize("seed", [2, 3])
async def test_day(seed: int) -> None:
    """No write is outside the rules, and two hours lie between any two resets."""
    day = Day(seed)
    began = day.clock.now
    while day.clock.now - began < SHARE_OF_A_DAY_S:
        await day.poll()
        day.look_for_orphans()
        if day.random.random() < (0.002 if day.controller.busy else 0.05):
            await day.happen()
    assert day.commands > 10
    assert day.crashes > 0
    assert day.refusals > 2
    log = day.sim.write_log
    on = [write.seconds for write in log if write.address == ERROR_RESET and write.values == (1,)]
    assert on
    assert all(later - earlier >= 7200 for earlier, later in pairwise(on))
    # At the end of the day everything that was commanded has been taken back.
    day.wire.cut = False
    day.asked_since_start = True
    for _ in range(30):
        await day.poll()
    with suppress(RefusedError, WriteFailedError):
        await day.controller.async_release()
    assert day.sim.model.total_w == 0
    assert day.sim.model.reset == 0
