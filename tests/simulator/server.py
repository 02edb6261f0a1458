"""The simulated ESS on the wire: a pymodbus server that answers what the device would."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from custom_components.refu_ess import ess

from .cable import Cable, SerialCable, Wire
from .frames import WRITES
from .model import Model
from .registers import ADDRESSES, FIELDS, Registers
from .replay import Replay

READ_INPUT = 4
FUNCTIONS = (3, READ_INPUT, *WRITES)
INPUT_BLOCKS = tuple(
    range(first, last + 1) for name in ess.INPUT_BLOCKS for first, last in ess.BLOCKS[name].register_ranges or ()
)
HOLDING_BLOCK = range(0x200, 0x20B)
TICK_S = 0.1
HISTORY_S = 120.0


@dataclass(frozen=True)
class LoggedWrite:
    """A write that arrived, whether it was taken or not."""

    seconds: float
    """Simulated time."""
    function: int
    address: int
    values: tuple[int, ...]
    outcome: str
    """`done`, `refused` or `ignored`."""
    at: float = field(compare=False)
    """Real time, in seconds since 1970."""


@dataclass(frozen=True)
class Reboot:
    """A reboot in the middle of a request, which stays without an answer."""

    during: str
    """`read` or `write`; a write takes effect before it."""
    seconds: float
    """Until the device answers again, in its first state."""
    keeps: bool
    """The setpoints survive."""


@dataclass
class Behaviour:
    """The device's answers beyond its physics."""

    exception: int | None = None
    """A Modbus exception code for every request."""
    refused: list[range] = field(default_factory=list)
    """Addresses that it does not know (exception 2)."""
    silent: list[range] = field(default_factory=list)
    """Addresses that it leaves unanswered when they are read."""
    age_s: float | None = None
    """Age in seconds of the words in its answers."""
    reboot: Reboot | None = None
    """It reboots at the next request of a kind."""
    writes: str = "done"
    """`done`, `refused` (exception 4) or `ignored` (acknowledged, without effect)."""
    second_master_w: float | None = None
    """The setpoint that another system writes to SetActivePower at every tick."""


async def _nobody(*_: object) -> None:
    """Leave a request unanswered."""
    raise NoSuchIdException


class Simulator:
    """An ESS that can be reached. Use it as an asynchronous context manager."""

    def __init__(
        self,
        model: Model | None = None,
        *,
        tcp: tuple[str, int] | None = ("127.0.0.1", 0),
        rtu_over_tcp: tuple[str, int] | None = None,
        serial: str | None = None,
        pty: bool = False,
        unit: int = 1,
        speed: float = 1.0,
        replay: Replay | None = None,
    ) -> None:
        """Take the model and where to listen; port 0 takes a free one, `speed` 0 lets time stand still.

        With a `replay` its words are served; what is written to the holding registers is read back, and that is all.
        `pty` makes a serial line of pseudo-terminals, `serial` uses a port that is there.
        """
        self.model = model or Model()
        if replay is not None:
            self.model.shifted = replay.shifted
        self.registers = Registers(self.model, None if replay is None else dict(replay.words))
        self.behaviour = Behaviour()
        self.write_log: list[LoggedWrite] = []
        self.requests = 0
        self.cables = {
            name: Cable(*address, rtu=name == "rtu_over_tcp")
            for name, address in (("tcp", tcp), ("rtu_over_tcp", rtu_over_tcp))
            if address is not None
        }
        self.unit = unit
        self.speed = speed
        self.serial: SerialCable | None = None
        """The serial line, if it is one of pseudo-terminals."""
        self.served: list[tuple[int, tuple[int, ...]]] = []
        """Each answer to a read unless it is as the last about the same registers: the first address, and the words."""
        self._last_served: dict[tuple[int, int], tuple[int, ...]] = {}
        self._serial = serial
        self._pty = pty
        self._down = False
        self._history: deque[tuple[float, dict[int, int]]] = deque()
        self._servers: list[ModbusTcpServer | ModbusSerialServer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._device_ports: dict[str, int] = {}

    @property
    def wire(self) -> Cable:
        """The first cable."""
        return next(iter(self.cables.values()))

    @property
    def port(self) -> int:
        """The port of the first cable."""
        return self.wire.port

    @property
    def serial_port(self) -> str:
        """The path at which a client opens the serial line of pseudo-terminals; `RuntimeError` if there is none."""
        if self.serial is None:
            raise RuntimeError("No serial line of pseudo-terminals")
        return self.serial.client_end

    @property
    def rebooting(self) -> bool:
        """A reboot is in progress or pending."""
        return self._down or self.behaviour.reboot is not None

    @property
    def wires(self) -> list[Wire]:
        """All wires that can be disturbed."""
        return [*self.cables.values(), *([] if self.serial is None else [self.serial])]

    async def __aenter__(self) -> Self:
        """Listen."""
        framers = {"tcp": FramerType.SOCKET, "rtu_over_tcp": FramerType.RTU}
        for name, cable in self.cables.items():
            server = ModbusTcpServer(
                self._device(), framer=framers[name], address=("127.0.0.1", 0), ignore_missing_devices=True
            )
            await server.listen()
            self._servers.append(server)
            listening: object = server.transport  # pymodbus declares another type
            assert isinstance(listening, asyncio.Server)
            self._device_ports[name] = listening.sockets[0].getsockname()[1]
            await cable.plug(self._device_ports[name])
        if self._pty:
            self.serial = SerialCable()
            self._serial = self.serial.device_end
        if self._serial is not None:
            serial = ModbusSerialServer(
                self._device(), framer=FramerType.RTU, port=self._serial, ignore_missing_devices=True
            )
            await serial.listen()
            self._servers.append(serial)
        self._tasks.append(asyncio.create_task(self._live()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for cable in self.cables.values():
            await cable.heal()
            await cable.unplug()
        for server in self._servers:
            await server.shutdown()  # type: ignore[no-untyped-call]
        if self.serial is not None:
            await self.serial.close()

    async def unplug(self) -> None:
        """Pull the cables."""
        for wire in self.wires:
            await wire.unplug()

    async def plug(self) -> None:
        """Put the cables in again, at the same ports."""
        for name, cable in self.cables.items():
            await cable.plug(self._device_ports[name])
        if self.serial is not None:
            await self.serial.plug()

    async def heal(self) -> None:
        """Mend the wires and let the device answer as it should; alarms and overrides stay."""
        for wire in self.wires:
            await wire.heal()
        self.behaviour = Behaviour()

    async def _live(self) -> None:
        """Let time go by."""
        while True:
            await asyncio.sleep(TICK_S)
            if self.behaviour.second_master_w is not None:
                self.model.total_w = self.behaviour.second_master_w
            self.model.step(TICK_S * self.speed)
            self._remember()

    def _remember(self) -> None:
        """Keep the words of each second."""
        now = asyncio.get_running_loop().time()
        if not self._history or now - self._history[-1][0] >= 1:
            self._history.append((now, self.registers.words()))
        while now - self._history[0][0] > HISTORY_S:
            self._history.popleft()

    def _words(self) -> dict[int, int]:
        """Return what is answered now."""
        if self.behaviour.age_s is None:
            return self.registers.words()
        wanted = asyncio.get_running_loop().time() - self.behaviour.age_s
        return next((words for at, words in reversed(self._history) if at <= wanted), self._history[0][1])

    async def _reboot(self, reboot: Reboot) -> None:
        """Be away for a while and come up in the first state, with the setpoints lost or kept."""
        self._down, self.behaviour.reboot = True, None
        self.model.reboot(keeps=reboot.keeps)
        for cable in self.cables.values():
            await cable.unplug()
        await asyncio.sleep(reboot.seconds)
        for name, cable in self.cables.items():
            await cable.plug(self._device_ports[name])
        self._down = False

    def _device(self) -> list[SimDevice]:
        blocks = [
            SimData(block.start, values=[0] * len(block), datatype=DataType.REGISTERS)
            for block in (*INPUT_BLOCKS, HOLDING_BLOCK)
        ]
        # Unit 0 stands for every other unit.
        return [SimDevice(self.unit, blocks, action=self._answer), SimDevice(0, blocks, action=_nobody)]

    async def _answer(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Serve one request."""
        self.requests += 1
        if self._down or (values is None and any(address in silent for silent in self.behaviour.silent)):
            await _nobody()
        if (refusal := self._refusal(function, set(range(address, address + count)))) is not None:
            return refusal
        taken = None if values is None else self._take(function, address, tuple(int(value) for value in values))
        reboot = self.behaviour.reboot
        if reboot is not None and reboot.during == ("read" if values is None else "write"):
            self._tasks.append(asyncio.create_task(self._reboot(reboot)))
            await _nobody()
        if values is not None:
            return taken
        words = self._words()
        answer = tuple(words[one] for one in range(address, address + count))
        if self._last_served.get((address, count)) != answer:
            self._last_served[address, count] = answer
            self.served.append((address, answer))
        registers[address - start : address - start + count] = answer
        return None

    def _refusal(self, function: int, asked: set[int]) -> ExcCodes | None:
        """Return the exception for a request."""
        if self.behaviour.exception is not None:
            return ExcCodes(self.behaviour.exception)
        if function not in FUNCTIONS:
            return ExcCodes.ILLEGAL_FUNCTION
        blocks = INPUT_BLOCKS if function == READ_INPUT else (HOLDING_BLOCK,)
        # pymodbus allows a request to span the gap between two blocks.
        known = any(asked <= set(block) for block in blocks)
        if not known or any(asked & set(refused) for refused in self.behaviour.refused):
            return ExcCodes.ILLEGAL_ADDRESS
        if self.registers.replayed is not None and not asked <= self.registers.replayed.keys():
            return ExcCodes.ILLEGAL_ADDRESS
        return None

    def _take(self, function: int, address: int, values: tuple[int, ...]) -> ExcCodes | None:
        outcome = self.behaviour.writes
        self.write_log.append(LoggedWrite(self.model.seconds, function, address, values, outcome, time.time()))
        if outcome == "refused":
            return ExcCodes.DEVICE_FAILURE
        if outcome == "done":
            for offset, word in enumerate(values):
                self._write(address + offset, word)
        return None

    def _write(self, address: int, word: int) -> None:
        if self.registers.replayed is not None:
            self.registers.replayed[address] = word
            return
        key = next(key for key, addresses in ADDRESSES.items() if address in addresses)
        declared = FIELDS[key]
        assert declared is not None
        value = declared.decode([word])
        model = self.model
        match key:
            case "set_work_state":
                model.write_work_state(word)
            case "set_system_error_reset":
                model.write_reset(word)
            case "set_operation_mode":
                model.mode = word
            case "set_active_power":
                model.total_w = value
            case "set_reactive_power":
                model.total_var = value
            case _:
                phase = int(key[-1]) - 1
                (model.phases_w if "active_power" in key and "reactive" not in key else model.phases_var)[phase] = value
