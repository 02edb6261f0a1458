"""The cycle of control after each poll, and the way out when the integration stops."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from modbus_connection import (
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ServerDeviceBusyError,
)

from . import error_reset, lease, recovery
from .carrier import Carrier
from .catalogue import INPUT_BLOCKS
from .enums import ErrorReset, SystemState, WorkState
from .events import EventKind
from .lease import End
from .moment import Moment
from .power import Decision, decide
from .reading import SETPOINT_BLOCKS, Reading, age_of_inputs, is_fresh, unused_block
from .recovery import Action, Recovery
from .refusal import Failure, Refusal, RefusedError, WriteFailedError
from .setpoint import Power
from .soc_protection import UNBOUNDED, bounds, next_state

_LOGGER = logging.getLogger(__name__)

SETTINGS_AGE_S = 10.0
"""Settings older than this are read again before a command, and while one is held."""
WAY_OUT_S = 10.0
"""Time to write what is owed when the integration stops; Home Assistant grants 20 s."""
WAY_OUT_PAUSE_S = 0.5
WAY_OUT_WAIT_S = 2.0
"""Time that a command under way is granted when the integration stops; it sends no power after that."""
WITHOUT_EFFECT = (IllegalFunctionError, IllegalDataAddressError, IllegalDataValueError, ServerDeviceBusyError)
"""Errors by which the device says that it did nothing."""


class Cycle(Carrier):
    """Everything that happens without a command: leases, debts, error resets, recovery from faults."""

    _at_rest: tuple[object, ...] = ()
    """The inputs of the last cycle if they were fresh and it changed nothing, else empty."""

    @property
    def busy(self) -> bool:
        """Return whether the device must be polled every second."""
        if self.read_only or self._closed:
            return False
        recovering = self.recovery is not None and self.recovery.step is not recovery.Step.WATCHING
        settled = self.lease.settled and self.resetting.settled
        return not settled or recovering or not self._is_recorded()

    @property
    def blocks_to_read(self) -> dict[str, float]:
        """The settings to read at the next poll, with the age in seconds from which they are read again."""
        if not self.busy:
            return {}
        in_use = self.lease.phases
        blocks = {SETPOINT_BLOCKS[in_use]: 0.0, unused_block(in_use): SETTINGS_AGE_S}
        return blocks | {"commands": SETTINGS_AGE_S if self.resetting.settled and self.recovery is None else 0.0}

    async def async_cycle(self) -> None:
        """Do what is due after a poll, including a failed one; if nothing is owed, only observe."""
        async with self._lock:
            self.guard.beat()
            now, before = self._clock(), self._looked_at()
            fresh = is_fresh(age_of_inputs(self.device, now.monotonic), self.settings.stale_after_s)
            if not fresh or before != self._at_rest:
                await self._look(now)
                unchanged = fresh and not self.busy and self._looked_at() == before
                self._at_rest = before if unchanged else ()
            if self._closed or self.read_only:
                return
            if self.lease.debt is None and self.lease.lease is None:
                await self._attempt(self.guard.async_paid())
            self.guard.beat()

    async def _look(self, now: Moment) -> None:
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

    def _looked_at(self) -> tuple[object, ...]:
        """All that a cycle depends on but the time, which counts only while something is held, owed or recovering.

        A cycle that changes none of it would change nothing the next time either.
        """
        return (
            *self._commanded(),
            self.device.picture.exposure,
            self.device.settings_asked_at,
            self.settings,
            self.phases,
            self._running_since,
        )

    def _note_running(self, reading: Reading, now: Moment) -> None:
        """Record since when the system runs: the ramp restarts after each start and each loss of the link."""
        if reading.system_state is not SystemState.START or not reading.is_fresh(self.settings.stale_after_s):
            self._running_since = None
        elif self._running_since is None:
            self._running_since = now.monotonic

    def _plan(self, asked: Power, reading: Reading, now: Moment) -> Decision:
        demanded = UNBOUNDED
        if self.soc_settings is not None:
            state = next_state(
                self.soc_state, reading.soc, reading.allowed_charge_w, reading.system_state, self.soc_settings
            )
            demanded = bounds(state, reading.soc, reading.allowed_charge_w, reading.allowed_discharge_w)
        running_for_s = None if self._running_since is None else now.monotonic - self._running_since
        return decide(asked, reading, self.settings, running_for_s=running_for_s, bounds=demanded)

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
        """Record at once that zero reads back: a system that writes every second would hide it from the cycle."""
        now = self._clock()
        reading = self.reading(now)
        held, acknowledged_at = reading.held, self.lease.attempts[-1].acknowledged_at
        if held is None or acknowledged_at is None or reading.held_asked_at <= acknowledged_at:
            return
        if held.is_zero or (self.lease.let_go and not self.lease.ours().lingers(held)):
            self.lease, actions = lease.tick(self.lease, reading, None, now)
            await self._carry_out(actions)

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

    async def _begin_reset(self, now: Moment) -> None:
        self.resetting = error_reset.begin(self.resetting, now)
        try:
            await self._step_reset(self.reading(now), now)
        finally:
            if self.resetting.tries == 0:
                self.resetting = error_reset.not_sent(self.resetting)
        self._emit(EventKind.ERROR_RESET, {"count": self.resetting.resets.count})

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

    def _watched(self, reading: Reading, now: Moment) -> recovery.RecoveryInputs:
        return recovery.RecoveryInputs(
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
                self._emit(EventKind.RECOVERY, {"step": "stop"})
            case Action.WRITE_START:
                await self._start()
                self._emit(EventKind.RECOVERY, {"step": "start"})
            case Action.RESET:
                await self._begin_reset(now)
            case _:
                _LOGGER.warning("START had no effect; it is not repeated")
                self._emit(EventKind.RECOVERY, {"step": action.value})

    def _tell_recovery(self, change: Callable[[Recovery], Recovery]) -> None:
        """Record what was done, even while the recovery is off."""
        if self.recovery is None:
            self._latches = change(self._latches)
        else:
            self.recovery = change(self.recovery)

    def _start_refusal(self, reading: Reading) -> Refusal | None:
        owed = self.lease.lease is not None or self.lease.debt is not None or self.lease.may_show_power
        return recovery.start_refusal(reading, self.settings.stale_after_s, zero_owed=owed)

    async def _start(self) -> None:
        """Write START; where the setpoints cannot be read, zero goes first and is given time to take effect."""
        if self.reading().held is None:
            await self._send(Power.zero(self.lease.phases))
            await asyncio.sleep(lease.SETTLED_AFTER_S)
            await self.device.async_read((*INPUT_BLOCKS, *SETPOINT_BLOCKS.values()))
            if (reason := self._start_refusal(self.reading())) is not None:
                raise RefusedError(reason)
        await self._write(lambda: self.device.commands.async_set_work_state(WorkState.START))

    # The way out

    async def async_shut_down(self) -> None:
        """Write what is owed, for up to 10 s, and accept no further command. Never raises."""
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
            self._emit(EventKind.ZERO_UNPAID, {"held": self._held_w()})
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
        """Take one step of the shutdown; returns whether nothing is owed any longer."""
        self.guard.beat()
        if self.lease.sent is None or self.lease.zero_acknowledged:  # else reading would only take time
            await self.device.async_read(INPUT_BLOCKS)
            if not all(piece.silent for name in INPUT_BLOCKS for piece in self.device.blocks[name].pieces):
                # Without a link the setpoints would count as unreadable, and not be asked again once it is back.
                await self.device.async_read((SETPOINT_BLOCKS[self.lease.phases],))
            now = self._clock()
            await self._attempt(self._step_lease(self.reading(now), now))
        if not self.resetting.settled:
            await self.device.async_read(("commands",))
            now = self._clock()
            await self._attempt(self._step_reset(self.reading(now), now))
        await self._attempt(self._sync_record())
        return self.lease.debt is None and self.resetting.settled
