"""Carries out what the state machines of control decide: locks, clocks, writes and the record on disk.

Nothing is written before a command, except what an earlier run owes. Debts are recorded before power is sent, and the
record is cleared when zero has been delivered. Whatever fails on the way, the machines know what was attempted, and
the next cycle goes on from there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from modbus_connection import (
    AcknowledgeError,
    GatewayPathUnavailableError,
    GatewayTargetError,
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusError,
    ModbusExceptionError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)

from . import error_reset, lease, recovery
from .catalogue import INPUT_BLOCKS
from .device import RefuEss
from .enums import ErrorReset, OperationMode, SystemState, WorkState
from .events import Event, EventKind
from .guarding import Guard, NoGuard
from .lease import REFUSES, End, Lease
from .ledger import Ledger, keep_nothing
from .limit import Limit
from .limits import Range
from .moment import Moment
from .power import Decision, Settings, decide
from .reading import SETPOINT_BLOCKS, Reading, observe, other_block
from .record import Record
from .recovery import Action, Recovery
from .refusal import Failure, Refusal, RefusedError, WriteFailedError
from .setpoint import PHASES, Power
from .soc_protection import UNBOUNDED, SocSettings, bounds, next_state

_LOGGER = logging.getLogger(__name__)

SETTINGS_AGE_S = 10.0
"""Settings older than this are read again before a command, and while one is held."""
GUARD_RETRY_S = 60.0
"""Time between two attempts to start a guard process that did not start."""
WAY_OUT_S = 10.0
"""Time for paying debts when the integration stops; Home Assistant grants 20 s."""
WAY_OUT_PAUSE_S = 0.5
WAY_OUT_WAIT_S = 2.0
"""Time that a command under way is granted when the integration stops; it sends no power after that."""
UNANSWERED = (
    ModbusConnectionError,
    ModbusTimeoutError,
    AcknowledgeError,
    GatewayPathUnavailableError,
    GatewayTargetError,
)
"""Errors that do not tell whether a write arrived; a gateway reports its own timeout as an exception of the device."""
WITHOUT_EFFECT = (IllegalFunctionError, IllegalDataAddressError, IllegalDataValueError, ServerDeviceBusyError)
"""Errors by which the device says that it did nothing."""


class Controller:
    """Commands to one ESS. What may be sent is decided by `power.decide`, and when by the machines."""

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
        """Take the record of the last run and how to keep the next; nothing is written yet."""
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
            error_reset.Resets(last_wall=last.last_reset, count=last.resets),
            now,
            owed=last.reset_owed,
        )
        self.recovery: Recovery | None = None
        """The recovery from faults; `None` means it is off."""
        self._latches = Recovery(stopped=last.stopped, smoke=last.smoke)
        """What the recovery must know when it is switched on."""
        if last.fault_recovery:
            self.recovery = self._latches
        self.soc_settings: SocSettings | None = None
        """The protection of the state of charge; `None` means it is off."""
        self.soc_state = last.soc_state
        self._owner = "" if last.zero is None else last.zero.owner
        self._running_since: float | None = None
        self._guard_missing_since: float | None = None
        self._closed = False
        self._lock = asyncio.Lock()
        """Commands and the cycle take turns, so that no write of one is overtaken by the other."""
        if last.zero is not None:
            # It is paid where it is owed, also if the setpoints of another kind are in use since.
            self.lease = lease.restore(lease.idle(last.zero.phases), last.zero.ours)
        elif last.unknown_zero:
            self.lease = lease.restore(self.lease, None)

    # What is in force

    @property
    def per_phase(self) -> bool:
        """Whether the setpoints of each phase are in use."""
        return self.phases != 1

    @property
    def busy(self) -> bool:
        """Whether the device must be looked after every second."""
        if self.read_only or self._closed:
            return False
        recovering = self.recovery is not None and self.recovery.step is not recovery.Step.WATCHING
        settled = self.lease.settled and self.resetting.settled
        return not settled or recovering or not self.ledger.current(self._wanted_record())

    @property
    def blocks_to_read(self) -> dict[str, float]:
        """The settings to read at the next poll, with the age in seconds from which they are read again."""
        if not self.busy:
            return {}
        in_use = self.lease.phases
        blocks = {SETPOINT_BLOCKS[in_use]: 0.0, other_block(in_use): SETTINGS_AGE_S}
        return blocks | {"commands": SETTINGS_AGE_S if self.resetting.settled and self.recovery is None else 0.0}

    @property
    def decision(self) -> Decision:
        """What is sent, and the reason."""
        return self.lease.decision

    @property
    def limit(self) -> Limit:
        """The limit in force."""
        now = self._clock()
        return lease.limit_of(self.lease, self.reading(now), now.monotonic)

    def reading(self, now: Moment | None = None) -> Reading:
        """The readings of the last polls."""
        return observe(self.device, self.lease.phases, (now or self._clock()).monotonic)

    def plan(self, asked: Power) -> Decision:
        """Return what would be sent for `asked` at this moment. Writes nothing.

        Raises `ValueError` if `asked` is not finite.
        """
        now = self._clock()
        return self._plan(asked, self.reading(now), now)

    def _plan(self, asked: Power, reading: Reading, now: Moment) -> Decision:
        demanded = UNBOUNDED
        if self.soc_settings is not None:
            state = next_state(
                self.soc_state, reading.soc, reading.allowed_charge_w, reading.system_state, self.soc_settings
            )
            demanded = bounds(state, reading.soc, reading.allowed_charge_w, reading.allowed_discharge_w)
        running_for_s = None if self._running_since is None else now.monotonic - self._running_since
        return decide(asked, reading, self.settings, running_for_s=running_for_s, bounds=demanded)

    def start_refusal(self) -> Refusal | None:
        """Return why START may not be written now, `None` if it may."""
        return self._start_refusal(self.reading())

    def _start_refusal(self, reading: Reading) -> Refusal | None:
        owed = self.lease.lease is not None or self.lease.debt is not None or self.lease.may_show_power
        return recovery.start_refusal(reading, self.settings.stale_after_s, zero_owed=owed)

    def check_writable(self) -> None:
        """Raise `RefusedError` if nothing may be written."""
        if self.read_only:
            raise RefusedError(Refusal.READ_ONLY)
        if self._closed:
            raise RefusedError(Refusal.SHUTTING_DOWN)

    # Commands

    async def async_freshen(self) -> None:
        """Read what is too old to decide on: the input blocks after 1 s, the settings after 10 s."""
        ages = {"status": 1.0, "battery": 1.0, "commands": SETTINGS_AGE_S}
        ages |= dict.fromkeys(SETPOINT_BLOCKS.values(), SETTINGS_AGE_S)
        await self.device.async_read_older(ages)

    async def async_set_power(self, asked: Power, *, owner: str, duration_s: float | None = None) -> Decision:
        """Take or replace the lease and send what is allowed of it now; zero ends the lease.

        Without a duration it lasts as long as the settings permit. Raises `RefusedError` if nothing could be
        delivered, `WriteFailedError` if sending failed, `OutOfRangeError` if the duration is shorter than 1 s or longer
        than the settings permit, `ValueError` if `asked` is not finite.
        """
        longest_s = self.settings.longest_hold_s
        if duration_s is not None:
            Range(1, longest_s, "s").check("duration", duration_s)
        async with self._lock:
            self.check_writable()
            await self.async_freshen()
            if asked.is_zero:
                await self._release()
                return self.decision
            ends = self._clock().after(longest_s if duration_s is None else duration_s)
            return await self._take(Lease(asked=asked, owner=owner, ends=ends))

    async def async_change_power(self, change: Callable[[Power], Power], *, owner: str) -> Decision:
        """Change a part of the power; the rest and the end of a lease in force stay as they are.

        Raises as `async_set_power`, and `RefusedError` if no lease is in force and the device holds a setpoint.
        """
        async with self._lock:
            self.check_writable()
            await self.async_freshen()
            held, current = self.reading().held, self.lease.lease
            if current is None and held is not None and not self.lease.ours().covers(held):
                raise RefusedError(Refusal.FOREIGN_SETPOINT)
            asked = change(Power.zero(self.phases) if current is None else current.asked)
            if asked.is_zero:
                await self._release()
                return self.decision
            if current is not None:
                return await self._take(replace(current, asked=asked, owner=owner))
            return await self._take(
                Lease(asked=asked, owner=owner, ends=self._clock().after(self.settings.longest_hold_s))
            )

    async def _take(self, wanted: Lease) -> Decision:
        if self.lease.phases != self.phases or self.guard.acted is not None:
            raise RefusedError(Refusal.ZERO_OWED)
        now = self._clock()
        decision = self._plan(wanted.asked, self.reading(now), now)
        if decision.limit in REFUSES:
            raise RefusedError(decision.limit)
        if not decision.power.is_zero:
            await self._cover(decision.power, wanted.owner)
        self._owner = wanted.owner
        self.lease = lease.take(self.lease, wanted, decision, now)
        try:
            await self._send(decision.power)
        except BaseException:
            self.lease, actions = lease.end(self.lease, End.WRITE_FAILED)
            with suppress(Exception):
                await self._carry_out(actions)
            raise
        details = {
            "owner": wanted.owner,
            "asked": wanted.asked.total_active_w,
            "applied": decision.power.total_active_w,
        }
        self._tell(EventKind.LEASE_TAKEN, details)
        await self._read_back()
        return decision

    async def async_release(self) -> None:
        """End the lease and write zero to the setpoints in use, whoever set them.

        Raises `WriteFailedError` if zero could not be written; it then stays owed and is tried again.
        """
        async with self._lock:
            self.check_writable()
            await self._release()

    async def _release(self) -> None:
        await self._end(End.RELEASED, self.reading().held)
        await self._read_back()
        if not self.lease.zero_acknowledged:
            raise WriteFailedError(Failure.NO_CONNECTION)
        await self._note_delivered()

    async def async_set_work_state(self, state: WorkState) -> None:
        """Write START, only in Standby, or STOP, which ends the lease and every intent to start.

        Raises `RefusedError` if START may not be written, `WriteFailedError` if sending failed.
        """
        async with self._lock:
            self.check_writable()
            if state is WorkState.START:
                await self.async_freshen()
                await self.device.async_read(SETPOINT_BLOCKS.values())
                if (reason := self.start_refusal()) is not None:
                    raise RefusedError(reason)
                await self._start()
                self._tell_recovery(Recovery.started_by_user)
            else:
                self._tell_recovery(Recovery.stopped_by_user)
                try:
                    if self.lease.lease is not None:
                        await self._end(End.STOPPED)
                    await self._write(lambda: self.device.commands.async_set_work_state(WorkState.STOP))
                finally:
                    await self._attempt(self._sync_record())
            await self.device.async_read(("commands",))
            await self._sync_record()

    def _tell_recovery(self, change: Callable[[Recovery], Recovery]) -> None:
        """Note what was done, also while the recovery is off."""
        if self.recovery is None:
            self._latches = change(self._latches)
        else:
            self.recovery = change(self.recovery)

    async def _start(self) -> None:
        """Write START; where the setpoints cannot be read, zero goes first and is given time to take effect."""
        if self.reading().held is None:
            await self._send(Power.zero(self.lease.phases))
            await asyncio.sleep(lease.SETTLED_AFTER_S)
            await self.device.async_read((*INPUT_BLOCKS, *SETPOINT_BLOCKS.values()))
            if (reason := self.start_refusal()) is not None:
                raise RefusedError(reason)
        await self._write(lambda: self.device.commands.async_set_work_state(WorkState.START))

    async def async_set_operation_mode(self, mode: OperationMode) -> None:
        """Write the operation mode; anything but P/Q ends the lease first. Raises `WriteFailedError`."""
        async with self._lock:
            self.check_writable()
            if mode is not OperationMode.PQ_SET_POINT and self.lease.lease is not None:
                await self._end(End.OPERATION_MODE)
            await self._write(lambda: self.device.commands.async_set_operation_mode(mode))
            await self.device.async_read(("commands",))

    async def async_begin_reset(self, *, forced: bool) -> None:
        """Begin an error reset; the cycle carries it on, always to 0.

        Raises `RefusedError` without an error or, unless `forced`, within two hours of the last reset, and
        `WriteFailedError` if the device cannot be reached.
        """
        async with self._lock:
            self.check_writable()
            await self.async_freshen()
            await self.device.async_read(("commands",))
            if not self.device.blocks["status"].available:
                raise WriteFailedError(Failure.NO_CONNECTION)
            now = self._clock()
            stale_after_s = self.settings.stale_after_s
            reason = error_reset.refusal(
                self.resetting, self.reading(now), now, stale_after_s=stale_after_s, forced=forced
            )
            if reason is not None:
                raise RefusedError(reason)
            await self._begin_reset(now)
            self._tell_recovery(Recovery.acknowledged_by_user)

    async def _begin_reset(self, now: Moment) -> None:
        self.resetting = error_reset.begin(self.resetting, now)
        try:
            await self._step_reset(self.reading(now), now)
        finally:
            if self.resetting.tries == 0:
                self.resetting = error_reset.not_sent(self.resetting)
        self._tell(EventKind.ERROR_RESET, {"count": self.resetting.resets.count})

    async def async_switch_recovery(self, *, on: bool) -> None:
        """Switch the recovery from faults on or off. Raises `RefusedError`."""
        async with self._lock:
            self.check_writable()
            if on:
                self.recovery = self.recovery or self._latches
            elif self.recovery is not None:
                self._latches, self.recovery = self.recovery.latches(), None
            await self._sync_record()

    async def async_switch_soc_protection(self, settings: SocSettings | None) -> None:
        """Switch the protection of the state of charge on, with these limits, or off."""
        async with self._lock:
            self.soc_settings = settings
            await self._sync_record()

    async def async_shut_down(self) -> None:
        """Pay what is owed, for up to 10 s, and take no command any longer. Never raises."""
        self._closed = True
        if self.read_only:
            return
        turn = False
        with suppress(TimeoutError):
            async with asyncio.timeout(WAY_OUT_WAIT_S):
                turn = await self._lock.acquire()
        try:
            async with asyncio.timeout(WAY_OUT_S):
                await self._pay_on_the_way_out()
        except Exception:
            _LOGGER.debug("The way out was cut short", exc_info=True)
        finally:
            if turn:
                self._lock.release()
        if self.lease.debt is None:
            await self._attempt(self.guard.async_paid())
        else:
            self.guard.abandon()
            _LOGGER.error("Stopped before zero could be written: the device may keep its last setpoint")
            self._tell(EventKind.ZERO_UNPAID, {"held": self._held_w()})
        if not self.resetting.settled:
            _LOGGER.error("Stopped before the end of the error reset could be written: the device may keep it at 1")

    def _held_w(self) -> float | None:
        held = self.reading().held
        return None if held is None else held.total_active_w

    async def _pay_on_the_way_out(self) -> None:
        if self.lease.lease is not None:
            await self._end(End.SHUT_DOWN)
        if self.lease.debt is None and self.resetting.settled:
            await self._sync_record()
            return
        began = self._clock().monotonic
        while not await self._paid_on_the_way_out() and self._clock().monotonic - began < WAY_OUT_S:
            await asyncio.sleep(WAY_OUT_PAUSE_S)
            await self.device.async_renew_link()
            if self.lease.sent is not None and not self.lease.zero_acknowledged:
                await self._attempt(self._send(Power.zero(self.lease.phases)))

    async def _paid_on_the_way_out(self) -> bool:
        """Go one step on the way out; returns whether nothing is owed any longer."""
        self.guard.beat()
        if self.lease.sent is None or self.lease.zero_acknowledged:  # else reading would only take time
            await self.device.async_read((*INPUT_BLOCKS, SETPOINT_BLOCKS[self.lease.phases]))
            now = self._clock()
            await self._attempt(self._step_lease(self.reading(now), now))
        if not self.resetting.settled:
            await self.device.async_read(("commands",))
            now = self._clock()
            await self._attempt(self._step_reset(self.reading(now), now))
        await self._attempt(self._sync_record())
        return self.lease.debt is None and self.resetting.settled

    # The cycle

    async def async_cycle(self) -> None:
        """Do what is due after a poll, also after one that failed; without anything owed, only watch."""
        async with self._lock:
            self.guard.beat()
            now = self._clock()
            reading = self.reading(now)
            self._note_running(reading, now)
            if self.soc_settings is not None:
                self.soc_state = next_state(
                    self.soc_state, reading.soc, reading.allowed_charge_w, reading.system_state, self.soc_settings
                )
            if self._closed or self.read_only:
                return
            await self._attempt(self._step_lease(reading, now))
            if self.lease.settled and self.lease.phases != self.phases:
                self.lease = lease.idle(self.phases)
            await self._attempt(self._step_reset(reading, now))
            await self._attempt(self._step_recovery(reading, now))
            await self._attempt(self._sync_record())
            if self.lease.debt is None and self.lease.lease is None:
                await self._attempt(self.guard.async_paid())
            self.guard.beat()

    async def _attempt(self, step: Awaitable[None]) -> None:
        """Carry out one part of the cycle; one that fails does not keep the others from their turn."""
        try:
            await step
        except (RefusedError, WriteFailedError) as err:
            _LOGGER.debug("Not written now: %s", err.reason)
        except Exception:
            _LOGGER.exception("Unexpected error in control; it goes on at the next cycle")

    def _note_running(self, reading: Reading, now: Moment) -> None:
        """Remember since when the system runs: the ramp begins again after each start and each loss of sight."""
        if reading.system_state is not SystemState.START or not reading.is_fresh(self.settings.stale_after_s):
            self._running_since = None
        elif self._running_since is None:
            self._running_since = now.monotonic

    async def _step_lease(self, reading: Reading, now: Moment) -> None:
        held = self.lease.lease
        try:
            decision = None if held is None else self._plan(held.asked, reading, now)
            self.lease, actions = lease.tick(
                self.lease, reading, decision, now, guard_acted=held is not None and self.guard.acted is not None
            )
            await self._carry_out(actions)
        except Exception as err:
            lost = isinstance(err, WriteFailedError) and err.reason is Failure.NO_CONNECTION
            if not lost and self.lease.lease is not None:  # a lost link has a timeout of its own
                await self._end(End.WRITE_FAILED)
            raise
        if self.lease.debt is not None and self.lease.zero_acknowledged and reading.held is not None:
            await self._read_back()
            await self._note_delivered()

    async def _note_delivered(self) -> None:
        """Note at once that zero reads back: another system that writes every second would hide it from the cycle."""
        now = self._clock()
        reading = self.reading(now)
        held, acknowledged_at = reading.held, self.lease.attempts[-1].acknowledged_at
        if held is None or acknowledged_at is None or reading.held_asked_at <= acknowledged_at:
            return
        if held.is_zero or (self.lease.let_go and not self.lease.ours().lingers(held)):
            self.lease, actions = lease.tick(self.lease, reading, None, now)
            await self._carry_out(actions)

    async def _carry_out(self, actions: tuple[lease.Action, ...]) -> None:
        """Write first, inform last."""
        try:
            for action in actions:
                if isinstance(action, lease.Send):
                    await self._send(action.power)
        finally:
            for action in actions:
                if isinstance(action, lease.Report):
                    self._tell(action.kind, dict(action.details))

    async def _end(self, reason: End, held: Power | None = None) -> None:
        """End the lease and write zero; if that fails, it stays owed and is tried again at each cycle."""
        self.lease, actions = lease.end(self.lease, reason, held)
        await self._attempt(self._carry_out(actions))

    async def _step_reset(self, reading: Reading, now: Moment) -> None:
        self.resetting = error_reset.tick(self.resetting, reading, now.monotonic)
        value = error_reset.wanted(self.resetting, reading)
        if value is None:
            return
        if value is ErrorReset.ON:
            await self._sync_record()  # the 0 that will be owed is recorded first
            self.resetting = error_reset.attempted(self.resetting)
        try:
            await self._write(lambda: self.device.commands.async_set_error_reset(value))
        except WriteFailedError as err:
            if value is ErrorReset.ON and isinstance(err.__cause__, WITHOUT_EFFECT):
                self.resetting = error_reset.not_sent(self.resetting)
            raise
        self.resetting = error_reset.acknowledged(self.resetting, self._clock().monotonic)

    async def _step_recovery(self, reading: Reading, now: Moment) -> None:
        if self.recovery is None:
            self._latches = recovery.noticed(self._latches, self._watched(reading, now))
            return
        if self.recovery.step is recovery.Step.AWAITING_STANDBY and self._start_refusal(reading) is None:
            # START must not meet a setpoint that was written since the last poll.
            await self.device.async_read(SETPOINT_BLOCKS.values())
            reading = self.reading(now)
        self.recovery, actions = recovery.advance(self.recovery, self._watched(reading, now), now)
        await self._attempt(self._sync_record())
        for action in actions:
            await self._attempt(self._act(action, now))

    def _watched(self, reading: Reading, now: Moment) -> recovery.Watched:
        return recovery.Watched(
            system_state=reading.system_state if reading.is_fresh(self.settings.stale_after_s) else None,
            work_state=reading.work_state,
            smoke=reading.smoke,
            may_start=self._start_refusal(reading) is None,
            may_reset=self.resetting.settled and self.resetting.resets.permitted(now),
            reset_settled=self.resetting.settled,
        )

    async def _act(self, action: Action, now: Moment) -> None:
        match action:
            case Action.END_LEASE:
                await self._end(End.FAULT)
            case Action.WRITE_STOP:
                await self._write(lambda: self.device.commands.async_set_work_state(WorkState.STOP))
                self._tell_recovery(Recovery.stop_written)
                self._tell(EventKind.RECOVERY, {"step": "stop"})
            case Action.WRITE_START:
                await self._start()
                self._tell(EventKind.RECOVERY, {"step": "start"})
            case Action.RESET:
                await self._begin_reset(now)
            case _:
                _LOGGER.warning("START had no effect; it is not repeated")
                self._tell(EventKind.RECOVERY, {"step": action.value})

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
        """Whether the reactive setpoints were sent zero, acknowledged it and read zero; no need to repeat it."""
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
            self._tell(EventKind.GUARD_MISSING, {})
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
            self._tell(EventKind.WRITE_FAILED, {"error": type(err).__name__})
            rejected = isinstance(err, ModbusExceptionError)
            raise WriteFailedError(Failure.WRITE_FAILED if rejected else Failure.NO_CONNECTION) from err

    async def _read_back(self) -> None:
        """Read the setpoints in use after a command, so that they show and a zero counts as delivered."""
        with suppress(ModbusError):
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

    async def _sync_record(self) -> None:
        await self.ledger.async_sync(self._wanted_record())

    async def _cover(self, power: Power, owner: str) -> None:
        wanted, now_s = self._wanted_record(), self._clock().wall
        await self.ledger.async_cover(power, self.lease, wanted, owner=owner, now_s=now_s)

    def _tell(self, kind: EventKind, details: dict[str, object]) -> None:
        """Report an event; a listener that fails changes nothing here."""
        try:
            self.report(Event(kind, details))
        except Exception:
            _LOGGER.exception("A listener failed")
