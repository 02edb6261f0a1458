"""Commands: the lease on power, the work state, the operation mode, the error reset and the recovery from faults.

Nothing is written before someone asks, and nothing is written any more once what was asked for has ended. Every way
out of a lease writes zero to the setpoint registers in use.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from modbus_connection import ModbusConnectionError, ModbusError, ModbusTimeoutError

from .alarms import counts_as
from .catalogue import INPUT_BLOCKS
from .device import RefuEss
from .enums import BatteryState, ErrorReset, OperationMode, SystemState, WorkState
from .facts import Severity
from .power import Decision, Limit, Power, Reading, Settings, decide
from .recovery import (
    RESET_TIMEOUT_S,
    Action,
    Recovery,
    Step,
    Watched,
    advance,
    next_reset_allowed,
    reset_permitted,
    start_refusal,
)
from .refusal import RefusedError, WriteFailedError
from .soc_protection import UNBOUNDED, SocSettings, SocState, bounds, next_state

_LOGGER = logging.getLogger(__name__)

MISMATCHES_BEFORE_REPORT = 2
"""So often in a row must a setpoint read back different before it counts as somebody else's."""
NOT_DELIVERING_AFTER_S = 15.0
NOT_DELIVERING_TOLERANCE_W = 2000
NOT_DELIVERING_SHARE = 0.1
NO_CONNECTION = "no_connection"
READY_BITS = ("bms_ready", "trex_ready", "gateway_initialized", "first_communication_ok")
SUFFIXES = {1: ("",), 3: ("_l1", "_l2", "_l3")}

ENDS = frozenset({Limit.STALE_DATA, Limit.FAULT, Limit.SYSTEM_STATE, Limit.OTHER_SETPOINTS})
"""Limits that end a lease: power must not come back by itself when they are over."""
REFUSES = ENDS | {
    Limit.BATTERY_STATE,
    Limit.BATTERY_MODE,
    Limit.OPERATION_MODE,
    Limit.STOP_REQUEST,
    Limit.NOT_READY,
    Limit.MAINS,
}
"""Limits that refuse a new lease aloud: nothing at all could be delivered."""


class End(Enum):
    """How a lease ended."""

    RELEASED = "released"
    EXPIRED = "expired"
    FAULT = "fault"
    STALE_DATA = "stale_data"
    SYSTEM_STATE = "system_state"
    OTHER_SETPOINTS = "other_setpoints"
    FOREIGN_WRITER = "foreign_writer"
    WRITE_FAILED = "write_failed"
    STOPPED = "stopped"
    SHUT_DOWN = "shut_down"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A request for power with an end."""

    asked: Power
    owner: str
    ends_at: float | None
    """Seconds of the controller's clock; `None` means until it is released."""


@dataclass(frozen=True)
class Event:
    """Something that people should know."""

    kind: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Resets:
    """The error resets so far; outlives the controller."""

    last: float | None = None
    """Seconds since 1970."""
    count: int = 0


class Controller:
    """Carries commands to one ESS. What may be sent is decided by `power.decide` alone."""

    def __init__(
        self,
        device: RefuEss,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        settings: Settings | None = None,
        per_phase: bool = False,
        read_only: bool = False,
        resets: Resets | None = None,
        report: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """Take two clocks in seconds: one that never jumps, and that of the wall. Nothing is written yet."""
        self.device = device
        self.settings = settings or Settings()
        self.phases = 3 if per_phase else 1
        self.read_only = read_only
        self.report = report
        self.resets = resets or Resets()
        self.lease: Lease | None = None
        self.decision = Decision(Power.zero(self.phases), Limit.NOTHING_ASKED)
        self.last_end: End | None = None
        self.soc_settings: SocSettings | None = None
        """The protection of the state of charge; `None` means it is off."""
        self.soc_state = SocState.NORMAL
        self.recovery: Recovery | None = None
        """The recovery from faults; `None` means it is off."""
        self._clock = clock
        self._wall_clock = wall_clock
        self._running_since: float | None = None
        self._zero_owed = False
        self._reset_owed = False
        self._resetting = False
        self._written: Power | None = None
        self._written_at = 0.0
        self._mismatches = 0
        self._deviating_since: float | None = None
        self._touched: dict[str, float] = {}
        """When each block was last written: what was written is read back."""
        self._closed = False
        self._lock = asyncio.Lock()
        """Commands and the cycle take turns, so that no write of one is overtaken by the other."""

    # What is in force

    @property
    def per_phase(self) -> bool:
        """Whether the setpoints of each phase are in use."""
        return self.phases != 1

    @property
    def block(self) -> str:
        """The block of the setpoints in use."""
        return "phase_setpoints" if self.per_phase else "total_setpoints"

    @property
    def other_block(self) -> str:
        """The block of the setpoints that are never written."""
        return "total_setpoints" if self.per_phase else "phase_setpoints"

    @property
    def busy(self) -> bool:
        """Whether the device must be looked after every second."""
        recovering = self.recovery is not None and self.recovery.step is not Step.WATCHING
        return self.lease is not None or self._zero_owed or self._reset_owed or recovering

    @property
    def blocks_to_read(self) -> tuple[str, ...]:
        """The settings to read at the next poll, whether they are due or not."""
        if self.busy:
            return ("commands", self.block, self.other_block)
        blocks = self.device.blocks
        return tuple(name for name, at in self._touched.items() if (blocks[name].asked_at or 0.0) <= at)

    @property
    def limit(self) -> Limit:
        """What binds now."""
        if self.decision.limit is Limit.NONE and self._deviating_since is not None:
            deviating_for_s = self._clock() - self._deviating_since
            return Limit.NOT_DELIVERED if deviating_for_s > NOT_DELIVERING_AFTER_S else Limit.NONE
        return self.decision.limit

    @property
    def next_reset(self) -> float | None:
        """When an error reset is permitted again, in seconds since 1970; `None` means at once."""
        return next_reset_allowed(self.resets.last)

    # What was read, in the engine's words

    def reading(self) -> Reading:
        """What the last polls brought, with its age."""
        device, now = self.device, self._clock()
        status, battery = device.status, device.battery
        read_at = [device.blocks[name].read_at for name in INPUT_BLOCKS]
        known = [at for at in read_at if at is not None]
        other = device.blocks[self.other_block]
        return Reading(
            age_s=now - min(known) if len(known) == len(read_at) else None,
            system_state=status.system_state,
            battery_state=battery.battery_state,
            battery_mode=battery.battery_mode,
            operation_mode=self._command("set_operation_mode"),
            stop_request=battery.battery_stop_request,
            ready=all(getattr(status, key) for key in READY_BITS),
            fault=status.system_state is SystemState.FAULT
            or battery.battery_state is BatteryState.FAULT
            or any(counts_as(entry) is Severity.FAULT for entry in device.active_alarms),
            mains_ok=status.mains_ok if device.layout.confirmed else None,
            other_setpoints_zero=not any(other.words.values()) if other.available else None,
            allowed_charge_w=battery.allowed_charge,
            allowed_discharge_w=battery.allowed_discharge,
            inverter_charge_w=battery.pcs_allowed_charge,
            inverter_discharge_w=battery.pcs_allowed_discharge,
            soc=device.number("soc"),
        )

    def _command(self, key: str) -> Any:
        block = self.device.blocks["commands"]
        return getattr(block.component, key) if block.available else None

    def held(self) -> Power | None:
        """The setpoints in use as the device holds them, `None` if they cannot be read."""
        block = self.device.blocks[self.block]
        if not block.available:
            return None
        component, suffixes = block.component, SUFFIXES[self.phases]
        return Power(
            tuple(getattr(component, f"set_active_power{suffix}") for suffix in suffixes),
            tuple(getattr(component, f"set_reactive_power{suffix}") for suffix in suffixes),
        )

    def plan(self, asked: Power) -> Decision:
        """What would be sent for `asked` at this moment. Writes nothing.

        Raises `ValueError` if `asked` is no finite power.
        """
        reading = self.reading()
        demanded = UNBOUNDED
        if self.soc_settings is not None:
            state = next_state(
                self.soc_state, reading.soc, reading.allowed_charge_w, reading.system_state, self.soc_settings
            )
            demanded = bounds(state, reading.soc, reading.allowed_charge_w, reading.allowed_discharge_w)
        running_for_s = None if self._running_since is None else self._clock() - self._running_since
        return decide(asked, reading, self.settings, running_for_s=running_for_s, bounds=demanded)

    def start_refusal(self) -> str | None:
        """Why START may not be written now, `None` if it may."""
        unknown = any(
            self.device.unknown_bits.get(key) for key in self.device.unknown_bits if key.startswith("battery_fault")
        )
        return start_refusal(self.reading(), self.settings.stale_after_s, unknown_fault_bits=unknown)

    # Commands

    async def async_set_power(self, asked: Power, *, owner: str, duration_s: float | None = None) -> Decision:
        """Take or replace the lease and send what is allowed of it now; zero ends the lease.

        Raises `RefusedError` if nothing could be delivered, `WriteFailedError` if sending failed, `ValueError` if
        `asked` is no finite power.
        """
        async with self._lock:
            self.check_writable()
            if asked.is_zero:
                await self._release()
                return self.decision
            return await self._take(asked, owner, duration_s)

    async def _take(self, asked: Power, owner: str, duration_s: float | None) -> Decision:
        decision = self.plan(asked)
        if decision.limit in REFUSES:
            raise RefusedError(decision.limit.value)
        ends_at = None if duration_s is None else self._clock() + duration_s
        self.lease = Lease(asked=asked, owner=owner, ends_at=ends_at)
        self._zero_owed = False
        self._written, self._mismatches, self._deviating_since = None, 0, None
        self.decision = decision
        try:
            await self._send(decision.power)
        except WriteFailedError:
            await self._end(End.WRITE_FAILED)
            raise
        self._tell("lease_taken", owner=owner, asked=asked.total_active_w, applied=decision.power.total_active_w)
        return decision

    async def async_release(self) -> None:
        """End the lease and write zero to the setpoints in use, whoever set them.

        Raises `WriteFailedError` if zero could not be written; it is then tried again until it is.
        """
        async with self._lock:
            self.check_writable()
            await self._release()

    async def _release(self) -> None:
        await self._end(End.RELEASED)
        if self._zero_owed:
            raise WriteFailedError

    async def async_set_work_state(self, state: WorkState) -> None:
        """Write START, in Standby alone, or STOP, which ends the lease first.

        Raises `RefusedError` if START may not be written, `WriteFailedError` if sending failed.
        """
        async with self._lock:
            self.check_writable()
            if state is WorkState.START:
                if (reason := self.start_refusal()) is not None:
                    raise RefusedError(reason)
            else:
                self._stay_stopped()
                if self.lease is not None:
                    await self._end(End.STOPPED)
            await self._write("commands", {"set_work_state": state})

    def _stay_stopped(self) -> None:
        """Keep the recovery from starting what a person stops; a reset that is under way still ends at 0."""
        if self.recovery is not None:
            step = Step.WATCHING if self.recovery.step is Step.STARTING else self.recovery.step
            self.recovery = replace(self.recovery, step=step, running=False)

    async def async_set_operation_mode(self, mode: OperationMode) -> None:
        """Write the operation mode; anything but P/Q ends the lease first.

        Raises `WriteFailedError` if sending failed.
        """
        async with self._lock:
            self.check_writable()
            if mode is not OperationMode.PQ_SET_POINT and self.lease is not None:
                await self._end(End.RELEASED)
            await self._write("commands", {"set_operation_mode": mode})

    async def async_reset_error(self, poll: Callable[[], Awaitable[None]], *, forced: bool) -> None:
        """Write 1, wait until it reads back, write 0, wait until it reads back; `poll` reads and takes a second.

        Raises `RefusedError` within two hours of the last reset unless `forced`, and `WriteFailedError` if sending
        failed or the register did not read back. Whatever happens, the last write is 0.
        """
        self.check_writable()
        if not forced and not reset_permitted(self.resets.last, self._wall_clock()):
            raise RefusedError("reset_too_soon")
        self._note_reset()
        self._resetting = True
        try:
            await self._write_reset(ErrorReset.ON)
            seen = await self._reads_back(ErrorReset.ON, poll)
        finally:
            self._resetting = False
            await self._write_reset(ErrorReset.OFF)
        if not (seen and await self._reads_back(ErrorReset.OFF, poll)):
            raise WriteFailedError("reset_not_taken")

    async def _write_reset(self, value: ErrorReset) -> None:
        """Write the reset register; once it may be 1, 0 is owed until it is written."""
        self._reset_owed = True
        await self._write("commands", {"set_system_error_reset": value})
        self._reset_owed = value is ErrorReset.ON

    async def _pay_owed_reset(self) -> None:
        """Write the 0 that could not be written before, unless a reset is under way."""
        under_way = self._resetting or (self.recovery is not None and self.recovery.step is Step.RESETTING)
        if self._reset_owed and not under_way:
            with suppress(WriteFailedError):
                await self._write_reset(ErrorReset.OFF)

    async def _reads_back(self, value: ErrorReset, poll: Callable[[], Awaitable[None]]) -> bool:
        for _ in range(int(RESET_TIMEOUT_S)):
            await poll()
            if self._command("set_system_error_reset") is value:
                return True
        return False

    async def async_shut_down(self) -> None:
        """End the lease and take no command any more. Never raises: it runs while Home Assistant stops."""
        self._closed = True
        async with self._lock:
            if self.lease is not None or self._zero_owed:
                await self._end(End.SHUT_DOWN)
            self._resetting, self.recovery = False, None
            await self._pay_owed_reset()

    def check_writable(self) -> None:
        """Raise `RefusedError` if nothing may be written."""
        if self.read_only:
            raise RefusedError("read_only")
        if self._closed:
            raise RefusedError("shutting_down")

    # The cycle

    async def async_cycle(self) -> None:
        """Do what is demanded after a poll, also after one that failed; without a lease only watch."""
        reading = self.reading()
        self._note_running(reading)
        if self.soc_settings is not None:
            self.soc_state = next_state(
                self.soc_state, reading.soc, reading.allowed_charge_w, reading.system_state, self.soc_settings
            )
        async with self._lock:
            if self._closed or self.read_only:
                return
            if self.lease is not None:
                await self._carry(self.lease)
            elif self._zero_owed:
                await self._pay_owed_zero()
            await self._pay_owed_reset()
            if self.recovery is not None:
                await self._recover(self.recovery, reading)

    def _note_running(self, reading: Reading) -> None:
        """Remember since when the system runs: the ramp begins anew after each start and each loss of sight."""
        fresh = reading.age_s is not None and reading.age_s <= self.settings.stale_after_s
        if reading.system_state is not SystemState.START or not fresh:
            self._running_since = None
        elif self._running_since is None:
            self._running_since = self._clock()

    async def _carry(self, lease: Lease) -> None:
        if lease.ends_at is not None and self._clock() >= lease.ends_at:
            await self._end(End.EXPIRED)
            return
        if self._someone_else_wrote():
            return
        decision = self.plan(lease.asked)
        if decision.limit in ENDS:
            await self._end(End(decision.limit.value))
            return
        if not self.device.available(INPUT_BLOCKS):
            return  # out of sight, but not yet for long: nothing is sent that was decided on old data
        self._note_delivery()
        self.decision = decision
        try:
            await self._send(decision.power)
        except WriteFailedError as err:
            if err.reason != NO_CONNECTION:  # a lost link has its own time-out
                await self._end(End.WRITE_FAILED)

    def _someone_else_wrote(self) -> bool:
        """Whether the setpoints read back different from ours twice; then the lease is over and nothing is written."""
        held, block = self.held(), self.device.blocks[self.block]
        if held is None or self._written is None or (block.read_at or 0.0) <= self._written_at:
            return False
        self._mismatches = 0 if held == self._written else self._mismatches + 1
        if self._mismatches < MISMATCHES_BEFORE_REPORT:
            return False
        self._finish(End.FOREIGN_WRITER)
        self._tell("foreign_writer", held=held.total_active_w)
        return True

    def _note_delivery(self) -> None:
        sent, delivered = self.decision.power.total_active_w, self.device.number("active_power")
        allowance = max(NOT_DELIVERING_TOLERANCE_W, NOT_DELIVERING_SHARE * abs(sent))
        if delivered is None or abs(delivered - sent) <= allowance:
            self._deviating_since = None
        elif self._deviating_since is None:
            self._deviating_since = self._clock()

    async def _recover(self, recovery: Recovery, reading: Reading) -> None:
        fresh = reading.age_s is not None and reading.age_s <= self.settings.stale_after_s
        watched = Watched(
            system_state=reading.system_state if fresh else None,
            work_state=self._command("set_work_state"),
            error_reset=self._command("set_system_error_reset"),
            smoke=bool(self.device.battery.fog_alarm),
            may_start=self.start_refusal() is None,
        )
        self.recovery, actions = advance(recovery, watched, self._wall_clock(), self.resets.last)
        for action in actions:
            try:
                await self._act(action)
            except WriteFailedError:
                _LOGGER.debug("The recovery could not write: %s", action.value)

    async def _act(self, action: Action) -> None:
        match action:
            case Action.END_LEASE:
                await self._end(End.FAULT)
            case Action.WRITE_STOP:
                self._tell("recovery", step="stop")
                await self._write("commands", {"set_work_state": WorkState.STOP})
            case Action.WRITE_START:
                self._tell("recovery", step="start")
                await self._write("commands", {"set_work_state": WorkState.START})
            case Action.RESET_ON:
                self._note_reset()
                await self._write_reset(ErrorReset.ON)
            case _:
                await self._write_reset(ErrorReset.OFF)

    def _note_reset(self) -> None:
        self.resets.last = self._wall_clock()
        self.resets.count += 1
        self._tell("error_reset", count=self.resets.count)

    # Writing

    async def _send(self, power: Power) -> None:
        suffixes = SUFFIXES[self.phases]
        for name, values in (("set_active_power", power.active_w), ("set_reactive_power", power.reactive_var)):
            await self._write(
                self.block, {f"{name}{suffix}": value for suffix, value in zip(suffixes, values, strict=True)}
            )
        self._written, self._written_at = power, self._clock()

    async def _write(self, block: str, values: dict[str, float]) -> None:
        """Write adjacent registers in one request.

        Raises `WriteFailedError` if nothing answers (its reason is then `NO_CONNECTION`) or the device refuses.
        """
        self._touched[block] = self._clock()
        try:
            await self.device.async_write(block, values)
        except (ModbusConnectionError, ModbusTimeoutError) as err:
            raise WriteFailedError(NO_CONNECTION) from err
        except ModbusError as err:
            self._tell("write_failed", error=type(err).__name__)
            raise WriteFailedError from err

    async def _end(self, end: End) -> None:
        """End the lease and write zero; if that fails it stays owed and is tried again at each cycle."""
        self._finish(end)
        self._zero_owed = True
        await self._pay_zero()

    async def _pay_owed_zero(self) -> None:
        """Write the zero that could not be written before, unless somebody else has taken over meanwhile."""
        held, ours = self.held(), self._written
        if held is not None and ours is not None:
            pairs = zip((*held.active_w, *held.reactive_var), (*ours.active_w, *ours.reactive_var), strict=True)
            if any(value not in (0, mine) for value, mine in pairs):
                self._zero_owed = False
                self._tell("foreign_writer", held=held.total_active_w)
                return
        await self._pay_zero()

    async def _pay_zero(self) -> None:
        try:
            await self._send(Power.zero(self.phases))
        except WriteFailedError:
            _LOGGER.debug("Zero could not be written; it stays owed")
        else:
            self._zero_owed = False

    def _finish(self, end: End) -> None:
        held, self.lease = self.lease, None
        self.last_end = end
        self.decision = Decision(Power.zero(self.phases), Limit.NOTHING_ASKED)
        self._deviating_since, self._zero_owed = None, False
        if held is not None:
            self._tell("lease_ended", end=end.value, owner=held.owner)

    def _tell(self, kind: str, **details: Any) -> None:
        self.report(Event(kind, details))
