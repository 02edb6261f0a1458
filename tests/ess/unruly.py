"""An ESS in memory that is as unruly as the hazards say: late, lost, clamped, silent, shared with another system.

It knows who wrote each setpoint that it holds, which no controller can.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
    ServerDeviceFailureError,
)

from tests.registers import (
    ACTIVE_SETPOINT,
    BATTERY_FAULT_10,
    ERROR_CODE,
    ERROR_RESET,
    FAULT,
    HEALTHY,
    INIT,
    PERMITTING,
    RUNNING,
    SMOKE,
    STANDBY,
    SYSTEM_STATE,
    WORK_STATE,
    power_of,
    word,
)

LATENCY_S = 0.02
TIMEOUT_S = 1.0
TRANSITION_S = 2
SETPOINTS = range(ACTIVE_SETPOINT, ACTIVE_SETPOINT + 8)
COMMANDS = range(WORK_STATE, WORK_STATE + 3)


class Trouble(StrEnum):
    """The fate of a request."""

    LOST_REQUEST = "lost_request"
    """It never arrives."""
    LOST_ANSWER = "lost_answer"
    """It arrives, and no answer comes."""
    GATEWAY = "gateway"
    """It arrives, and the gateway says that the device did not answer."""
    GONE = "gone"
    HANGING = "hanging"
    BUSY = "busy"
    REJECTED = "rejected"
    UNEXPECTED = "unexpected"
    """It arrives, and something raises that is no Modbus error."""


ERRORS: dict[Trouble | None, Callable[[], Exception]] = {
    Trouble.LOST_REQUEST: lambda: ModbusTimeoutError("no answer"),
    Trouble.LOST_ANSWER: lambda: ModbusTimeoutError("no answer"),
    Trouble.GATEWAY: GatewayTargetError,
    Trouble.GONE: lambda: ModbusConnectionError("gone"),
    Trouble.BUSY: ServerDeviceBusyError,
    Trouble.REJECTED: ServerDeviceFailureError,
    Trouble.UNEXPECTED: lambda: RuntimeError("unexpected"),
}
"""The exception that a request raises; only a write raises one that is not a Modbus error."""


class Author(StrEnum):
    """The writer of a setpoint."""

    OURS = "ours"
    ANOTHER = "another"


@dataclass(frozen=True)
class Setpoint:
    """The word of a setpoint register and who wrote it."""

    raw: int
    author: Author


@dataclass
class UnrulyEss:
    """The device, behind a link that is as unruly."""

    true_time: Callable[[], float]
    """Seconds that go by also while the computer sleeps."""
    late_s: float = 0.0
    """Setpoints show this long after they were written."""
    shape: Callable[[float], float] = lambda watts: watts
    """The device's treatment of a setpoint."""
    unreadable: dict[int, type[Exception]] = field(default_factory=dict)
    """Holding registers that cannot be read, and the error."""
    input: dict[int, int] = field(default_factory=lambda: HEALTHY | PERMITTING)
    holding: dict[int, int] = field(default_factory=lambda: {WORK_STATE: 1})
    setpoints: dict[int, Setpoint] = field(default_factory=dict)
    troubles: deque[Trouble | None] = field(default_factory=deque)
    """The fate of the next requests; `None` for success."""
    dead: bool = False
    """The cable is out."""
    on_arrival: Callable[[int, list[int]], None] = lambda _, __: None
    changed_at: dict[int, float] = field(default_factory=dict)
    """Since when each setpoint has held its value."""
    faulty: bool = False
    """The cause of a fault is still there."""
    _pending: list[tuple[float, int, Setpoint]] = field(default_factory=list)
    _next_state: tuple[float, int] | None = None

    # What it holds

    def held(self, address: int) -> Setpoint:
        """The setpoint in a register."""
        self.settle()
        return self.setpoints.get(address, Setpoint(0, Author.ANOTHER))

    def ours(self) -> dict[int, float]:
        """The setpoints other than zero that the controller wrote, by register."""
        self.settle()
        return {
            address: power_of(one.raw)
            for address, one in self.setpoints.items()
            if one.raw and one.author is Author.OURS
        }

    def zero_is_coming(self, address: int) -> bool:
        """Return whether a zero for a register has arrived that does not show yet."""
        coming = [one for _, where, one in self._pending if where == address]
        return bool(coming) and coming[-1].raw == 0

    def power_is_coming(self) -> bool:
        """Return whether power has arrived that does not show yet."""
        return any(one.raw for _, _, one in self._pending)

    def settle(self) -> None:
        """Let show what has been written long enough ago, and let states follow."""
        now = self.true_time()
        while self._pending and self._pending[0][0] <= now:
            at, address, setpoint = self._pending.pop(0)
            if self.setpoints.get(address) != setpoint:
                self.changed_at[address] = at
            self.setpoints[address] = setpoint
        if self._next_state is not None and self._next_state[0] <= now:
            at, state = self._next_state
            self._next_state = None
            self.input[SYSTEM_STATE] = state
            if state == INIT:
                self._next_state = (at + TRANSITION_S, STANDBY)

    def put(self, address: int, watts: float, author: Author = Author.ANOTHER) -> None:
        """Write a setpoint."""
        setpoint = Setpoint(word(self.shape(watts)), author)
        self._pending.append((self.true_time() + self.late_s, address, setpoint))
        self.settle()

    # What happens to it

    @property
    def state(self) -> int:
        """SystemState."""
        self.settle()
        return self.input[SYSTEM_STATE]

    def fail(self) -> None:
        """Go into Fault."""
        self.faulty = True
        self._next_state = None
        self.input.update({SYSTEM_STATE: FAULT, ERROR_CODE: 7})

    def cure(self, *, alone: bool) -> None:
        """Take the cause of the fault away; `alone` clears the fault without a reset."""
        self.faulty = False
        if alone and self.state == FAULT:
            self._clear()

    def smoke(self, *, on: bool) -> None:
        """Raise the smoke alarm, or end it."""
        self.input[BATTERY_FAULT_10] = SMOKE if on else 0

    def start_at_panel(self) -> None:
        """Start it by another way than the controller."""
        if self.state == STANDBY:
            self._command(1)

    def _clear(self) -> None:
        self.input.update({SYSTEM_STATE: INIT, ERROR_CODE: 0})
        self._next_state = (self.true_time() + TRANSITION_S, STANDBY)

    def _command(self, value: int) -> None:
        self.holding[WORK_STATE] = value
        if value and self.state == STANDBY:
            self._next_state = (self.true_time() + TRANSITION_S, RUNNING)
        elif not value and self.state in {RUNNING, STANDBY}:
            self._next_state = (self.true_time() + TRANSITION_S, STANDBY)

    def arrive(self, address: int, words: list[int]) -> None:
        """Take a write of the controller."""
        self.on_arrival(address, words)
        for offset, raw in enumerate(words):
            where = address + offset
            if where in SETPOINTS:
                self.put(where, power_of(raw), Author.OURS)
            elif where == WORK_STATE:
                self._command(raw)
            else:
                rises = where == ERROR_RESET and raw and not self.holding.get(where)
                if rises and not self.faulty and self.state == FAULT:
                    self._clear()
                self.holding[where] = raw


class Wire:
    """The link of one run of the controller; a run that has crashed reaches nothing."""

    connected = True

    def __init__(self, ess: UnrulyEss) -> None:
        """Lead to a device."""
        self.ess = ess
        self.cut = False
        """The run is over."""

    async def read_input_registers(self, address: int, count: int) -> list[int]:
        """Read with function 4."""
        await self._pass(lambda: None)
        self.ess.settle()
        return [self.ess.input.get(one, 0) for one in range(address, address + count)]

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Read with function 3."""
        await self._pass(lambda: None)
        if (error := self.ess.unreadable.get(address)) is not None:
            if error is ModbusTimeoutError:
                await asyncio.sleep(TIMEOUT_S)
            raise error("unreadable") if error is ModbusTimeoutError else error()
        return [
            self.ess.held(one).raw if one in SETPOINTS else self.ess.holding.get(one, 0)
            for one in range(address, address + count)
        ]

    async def write_registers(self, address: int, values: list[int]) -> None:
        """Write with function 16."""
        await self._pass(lambda: self.ess.arrive(address, values), write=True)

    async def disconnect(self) -> None:
        """Drop the link."""
        await asyncio.sleep(0)

    async def _pass(self, arrive: Callable[[], None], *, write: bool = False) -> None:
        await asyncio.sleep(LATENCY_S)
        if self.cut or self.ess.dead:
            raise ModbusConnectionError("gone")
        trouble = self.ess.troubles.popleft() if self.ess.troubles else None
        if trouble in {None, Trouble.LOST_ANSWER, Trouble.GATEWAY, Trouble.UNEXPECTED}:
            arrive()
        if trouble is None:
            await asyncio.sleep(LATENCY_S)
        elif trouble is Trouble.HANGING:
            await asyncio.sleep(600)
        elif trouble in {Trouble.LOST_REQUEST, Trouble.LOST_ANSWER}:
            await asyncio.sleep(TIMEOUT_S)
        if trouble in ERRORS and (write or trouble is not Trouble.UNEXPECTED):
            error = ERRORS[trouble]()
            raise error


UNREADABLE = (IllegalDataAddressError, ServerDeviceFailureError, ModbusTimeoutError)
