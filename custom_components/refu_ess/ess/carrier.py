"""Carries out what control decides: writes to the device, the record on disk, the guard, and the events.

Power is recorded and guarded before it is sent. Whatever fails on the way, the state machines know what was attempted,
and the next cycle goes on from there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from modbus_connection import (
    AcknowledgeError,
    GatewayPathUnavailableError,
    GatewayTargetError,
    ModbusConnectionError,
    ModbusError,
    ModbusExceptionError,
    ModbusTimeoutError,
)

from . import error_reset, lease
from .device import RefuEss
from .events import Event, EventKind
from .guarding import Guard, NoGuard
from .lease import End
from .ledger import Ledger, keep_nothing
from .moment import Moment
from .power import Settings
from .reading import SETPOINT_BLOCKS, Reading, observe
from .record import Record
from .recovery import Recovery
from .refusal import Failure, Refusal, RefusedError, WriteFailedError
from .setpoint import PHASES, Power
from .soc_protection import SocSettings

_LOGGER = logging.getLogger(__name__)

GUARD_RETRY_S = 60.0
"""Time between two attempts to start a guard process that did not start."""
UNANSWERED = (
    ModbusConnectionError,
    ModbusTimeoutError,
    AcknowledgeError,
    GatewayPathUnavailableError,
    GatewayTargetError,
)
"""Errors that leave it unknown whether a write arrived; a gateway reports its own timeout as an exception."""


class Carrier:
    """The state machines of one ESS, and the only writes to it."""

    def __init__(
        self,
        device: RefuEss,
        *,
        clock: Callable[[], Moment],
        settings: Settings | None = None,
        per_phase: bool = False,
        read_only: bool = False,
        record: Record | None = None,
        keep: Callable[[Record], Awaitable[None]] = keep_nothing,
        report: Callable[[Event], None] = lambda _: None,
        guard: Guard | None = None,
    ) -> None:
        """Store the record of the last run and the function that saves the next; nothing is written yet."""
        self.device = device
        self.settings = settings or Settings()
        self.phases = PHASES if per_phase else 1
        """The number of setpoints of each kind that commands use."""
        self.read_only = read_only
        self.report = report
        self.guard = guard or NoGuard()
        self.ledger = Ledger(record or Record(), keep)
        self._clock = clock
        now, last = clock(), self.ledger.record
        self.lease = lease.idle(self.phases)
        self.resetting = error_reset.restore(
            error_reset.ResetHistory(last_wall=last.last_reset, count=last.resets),
            now,
            owed=last.reset_owed,
        )
        self.recovery: Recovery | None = None
        """The recovery from faults; `None` means it is off."""
        self._latches = Recovery(stopped=last.stopped, smoke=last.smoke)
        """The state from which the recovery starts when it is switched on."""
        if last.fault_recovery:
            self.recovery = self._latches
        self.soc_settings: SocSettings | None = None
        """The protection of the state of charge; `None` means it is off."""
        self.soc_state = last.soc_state
        self._owner = "" if last.zero is None else last.zero.owner
        self._running_since: float | None = None
        self._guard_missing_since: float | None = None
        self._closed = False
        self._recorded: tuple[object, ...] = ()
        """The commands for which the record on disk was last found to be right."""
        self._lock = asyncio.Lock()
        """Serializes commands and the control cycle, so that no write overtakes another."""
        if last.zero is not None:
            # It is paid where it is owed, also if the setpoints of another kind are in use since.
            self.lease = lease.restore(lease.idle(last.zero.phases), last.zero.ours)
        elif last.unknown_zero:
            self.lease = lease.restore(self.lease, None)

    @property
    def closed(self) -> bool:
        """Return whether the integration has stopped: no command is accepted any longer."""
        return self._closed

    def reading(self, now: Moment | None = None) -> Reading:
        """The readings of the last polls."""
        return observe(self.device, self.lease.phases, (now or self._clock()).monotonic)

    async def _attempt(self, step: Awaitable[None]) -> None:
        """Carry out one part of the cycle; a failure does not prevent the others."""
        try:
            await step
        except (RefusedError, WriteFailedError) as err:
            _LOGGER.debug("Not written now: %s", err.reason)
        except Exception:
            _LOGGER.exception("Unexpected error in control; it goes on at the next cycle")

    async def _carry_out(self, actions: tuple[lease.Action, ...]) -> None:
        """Write first, inform last."""
        try:
            for action in actions:
                if isinstance(action, lease.Send):
                    await self._send(action.power)
        finally:
            for action in actions:
                if isinstance(action, lease.Report):
                    self._emit(action.kind, dict(action.details))

    async def _end(self, reason: End, held: Power | None = None) -> None:
        """End the lease and write zero; if that fails, it stays owed and is tried again at each cycle."""
        self.lease, actions = lease.end(self.lease, reason, held)
        await self._attempt(self._carry_out(actions))

    # Writing

    async def _send(self, power: Power) -> None:
        """Write the setpoints in use. Power is recorded and guarded first."""
        if not power.is_zero:
            await self._cover(power, self._owner)
            await self._guarded()
            if self._closed:
                raise RefusedError(Refusal.SHUTTING_DOWN)
        reactive = power.is_zero or any(power.reactive_var) or not self._reactive_is_zero()
        self.lease = lease.attempted(self.lease, power, self._clock().monotonic)
        await self._write(lambda: self.device.setpoints[power.phases].async_write(power, reactive=reactive))
        self.lease = lease.acknowledged(self.lease, power, self._clock().monotonic)

    def _reactive_is_zero(self) -> bool:
        """Return whether the reactive setpoints were sent zero, acknowledged it and read zero; no need to repeat it."""
        held, sent = self.reading().held, self.lease.attempts
        if held is None or not sent or sent[-1].acknowledged_at is None:
            return False
        return not any(held.reactive_var) and not any(any(one.power.reactive_var) for one in sent)

    async def _guarded(self) -> None:
        """Start the guard unless it runs; without one, power is sent all the same, with a warning."""
        if self.guard.acted is not None:
            raise RefusedError(Refusal.ZERO_OWED)
        now = self._clock().monotonic
        if self._guard_missing_since is not None and now - self._guard_missing_since < GUARD_RETRY_S:
            return
        if await self.guard.async_start():
            self._guard_missing_since = None
            return
        if self._guard_missing_since is None:
            _LOGGER.warning("The guard process could not be started: a crash of Home Assistant leaves the setpoint on")
            self._emit(EventKind.GUARD_MISSING, {})
        self._guard_missing_since = now

    async def _write(self, send: Callable[[], Awaitable[None]]) -> None:
        """Send one write.

        Raises `WriteFailedError`: `NO_CONNECTION` if nothing answered, `WRITE_FAILED` if the device rejected it.
        """
        try:
            await send()
        except UNANSWERED as err:
            raise WriteFailedError(Failure.NO_CONNECTION) from err
        except ModbusError as err:
            self._emit(EventKind.WRITE_FAILED, {"error": type(err).__name__})
            rejected = isinstance(err, ModbusExceptionError)
            raise WriteFailedError(Failure.WRITE_FAILED if rejected else Failure.NO_CONNECTION) from err

    async def _read_back(self) -> None:
        """Read the setpoints in use after a command, so that they show and a zero counts as delivered."""
        await self.device.async_read((SETPOINT_BLOCKS[self.lease.phases],))

    # The record

    def _wanted_record(self) -> Record:
        """The record as it should be on disk now."""
        record, resets, latches = self.ledger.record, self.resetting.resets, self.recovery or self._latches
        return replace(
            record,
            zero=self.ledger.owed_zero(self.lease, owner=self._owner, now_s=self._clock().wall),
            unknown_zero=record.unknown_zero and self.lease.debt is not None,
            reset_owed=self.resetting.owed,
            last_reset=resets.last_wall,
            resets=resets.count,
            fault_recovery=self.recovery is not None,
            stopped=latches.stopped,
            smoke=latches.smoke,
            soc_protection=self.soc_settings is not None,
            soc_state=self.soc_state,
        )

    def _commanded(self) -> tuple[object, ...]:
        """All that the record follows."""
        return (
            self.lease,
            self.resetting,
            self.recovery,
            self._latches,
            self.soc_settings,
            self.soc_state,
            self._owner,
            self.ledger.record,
        )

    def _is_recorded(self) -> bool:
        """Return whether the record on disk is as it should be."""
        if self.ledger.unsure:
            return False
        if (commanded := self._commanded()) != self._recorded:
            if not self.ledger.current(self._wanted_record()):
                return False
            self._recorded = commanded
        return True

    async def _sync_record(self) -> None:
        if not self._is_recorded():
            await self.ledger.async_save(self._wanted_record())

    async def _cover(self, power: Power, owner: str) -> None:
        wanted, now_s = self._wanted_record(), self._clock().wall
        await self.ledger.async_cover(power, self.lease, wanted, owner=owner, now_s=now_s)

    def _emit(self, kind: EventKind, details: dict[str, object]) -> None:
        """Report an event; a listener that fails changes nothing here."""
        try:
            self.report(Event(kind, details))
        except Exception:
            _LOGGER.exception("A listener failed")
