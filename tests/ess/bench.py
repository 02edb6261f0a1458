"""A controller on a device in memory, polled every second as the coordinator does."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from modbus_connection import ModbusError
from modbus_connection.mock import MockModbusUnit, WriteEvent

from custom_components.refu_ess.ess import (
    Controller,
    ControlSettings,
    Event,
    EventKind,
    Guard,
    Limit,
    Power,
    Record,
    RefuEss,
)
from tests.registers import ACTIVE_SETPOINT, REACTIVE_SETPOINT, word

from .clock import Clock

WITHOUT_RAMP = ControlSettings(start_delay_s=0, ramp_w_per_s=1_000_000)
ZERO = [(ACTIVE_SETPOINT, [0]), (REACTIVE_SETPOINT, [0])]
"""The zero of active power; reactive power that reads zero need not be written."""

type Written = list[tuple[int, list[int]]]


class Store:
    """Keeps the record as a file would, and may fail."""

    def __init__(self, record: Record | None = None) -> None:
        """Begin with what an earlier run left."""
        self.record = record or Record()
        self.saves = 0
        self.error: Exception | None = None

    async def keep(self, record: Record) -> None:
        """Save the record, by the way of what a file can hold."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.saves += 1
        self.record = Record.from_dict(record.as_dict())


class Bench:
    """A controller on a device in memory."""

    def __init__(
        self,
        unit: MockModbusUnit,
        clock: Clock,
        *,
        settings: ControlSettings = WITHOUT_RAMP,
        per_phase: bool = False,
        read_only: bool = False,
        record: Record | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Connect them; nothing is read yet."""
        self.unit = unit
        self.clock = clock
        self.written: Written = []
        self.events: list[Event] = []
        self.store = Store(record)
        self._options = {"settings": settings, "per_phase": per_phase, "read_only": read_only, "guard": guard}
        unit.on_write(self._note)
        self.restart()

    def restart(self, **changes: object) -> None:
        """Begin another run, with the record that the last one left."""
        self.device = RefuEss(self.unit, clock=self.clock)
        options = self._options | changes
        self.controller = Controller(
            self.device,
            clock=self.clock.moment,
            record=self.store.record,
            keep=self.store.keep,
            report=self.events.append,
            **options,  # type: ignore[arg-type]
        )

    def _note(self, event: WriteEvent) -> None:
        assert event.function_code == 16
        self.written.append((event.address, [int(value) for value in event.values]))

    def taken(self) -> Written:
        """Return the writes since the last call."""
        found, self.written = self.written, []
        return found

    async def poll(self, times: int = 1) -> None:
        """Poll every second, as the coordinator does."""
        for _ in range(times):
            self.clock.now += 1
            with suppress(ModbusError):
                await self.device.async_poll(also=self.controller.blocks_to_read)
            await self.controller.async_cycle()

    async def power(self, watts: float, var: float = 0, duration_s: float | None = None, owner: str = "user") -> None:
        """Ask for a total."""
        asked = Power.total(watts, var, self.controller.phases)
        await self.controller.async_set_power(asked, owner=owner, duration_s=duration_s)

    async def change(self, *, watts: float | None = None, var: float | None = None) -> None:
        """Change one part of the power."""

        def changed(power: Power) -> Power:
            if watts is not None:
                power = replace(power, active_w=(watts,))
            return power if var is None else replace(power, reactive_var=(var,))

        await self.controller.async_change_power(changed, owner="user")

    async def see_release(self) -> None:
        """Release the setpoint: the device rests at zero, and nothing is owed."""
        await self.controller.async_release()
        await self.poll(12)
        assert self.holds(0)
        assert not self.busy()

    async def shut_down(self) -> None:
        """Stop, with the pauses taken from the clock."""
        with self.clock.pauses():
            await self.controller.async_shut_down()

    def busy(self) -> bool:
        """Return whether control has anything to look after."""
        return self.controller.busy

    def limit(self) -> Limit:
        """Why less is sent than what was asked for."""
        return self.controller.limit

    def told(self, kind: EventKind) -> list[dict[str, object]]:
        """Return the details of the events of a kind."""
        return [dict(event.details) for event in self.events if event.kind == kind]

    def holds(self, watts: float, var: float = 0) -> bool:
        """Return whether the device holds this setpoint."""
        held = self.unit.holding.get(ACTIVE_SETPOINT, 0), self.unit.holding.get(REACTIVE_SETPOINT, 0)
        return held == (word(watts), word(var))


type MakeBench = Callable[..., Awaitable[Bench]]
