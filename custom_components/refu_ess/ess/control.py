"""Commands to one ESS: what they may do is decided by the state machines and by `power.decide`.

Nothing is written before a command, except what an earlier run owes.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from . import error_reset, lease
from .catalogue import INPUT_BLOCKS
from .cycle import SETTINGS_AGE_S, Cycle
from .enums import OperationMode, WorkState
from .events import EventKind
from .lease import REFUSES, End, Lease
from .limit import Limit
from .limits import Range
from .power import Decision
from .reading import SETPOINT_BLOCKS, held_setpoints, unused_setpoints_zero
from .recovery import Recovery
from .refusal import Failure, Refusal, RefusedError, WriteFailedError
from .setpoint import Power
from .soc_protection import SocSettings

INPUT_AGE_S = 1.0
"""Input blocks older than this are read again before a command."""


class Controller(Cycle):
    """Carries commands of users and automations; each takes its turn with the cycle."""

    # Present state

    @property
    def per_phase(self) -> bool:
        """Return whether the setpoints of each phase are in use."""
        return self.phases != 1

    @property
    def decision(self) -> Decision:
        """The power sent, and the reason."""
        return self.lease.decision

    @property
    def limit(self) -> Limit:
        """The limit in force."""
        if (limit := lease.sure_limit(self.lease)) is not None:
            return limit
        now = self._clock()
        return lease.limit_of(self.lease, self.reading(now), now.monotonic)

    @property
    def held(self) -> Power | None:
        """The setpoints in use as read back, `None` if they cannot be read."""
        return held_setpoints(self.device, self.lease.phases)

    @property
    def other_setpoints_zero(self) -> bool | None:
        """Return whether the setpoints that are not in use read back zero, `None` if they cannot be read."""
        return unused_setpoints_zero(self.device, self.lease.phases)

    def plan(self, asked: Power) -> Decision:
        """Return what would be sent for `asked` at this moment. Writes nothing.

        Raises `ValueError` if `asked` is not finite.
        """
        now = self._clock()
        return self._plan(asked, self.reading(now), now)

    def start_refusal(self) -> Refusal | None:
        """Return why START may not be written now, `None` if it may."""
        return self._start_refusal(self.reading())

    def check_writable(self) -> None:
        """Raise `RefusedError` if nothing may be written."""
        if self.read_only:
            raise RefusedError(Refusal.READ_ONLY)
        if self._closed:
            raise RefusedError(Refusal.SHUTTING_DOWN)

    # Commands

    async def async_freshen(self) -> None:
        """Read what is too old to decide on: the settings after 10 s, the input blocks after 1 s.

        The inputs come last: they must not grow stale while settings bring no answer.
        """
        await self.device.async_read_older(dict.fromkeys(("commands", *SETPOINT_BLOCKS.values()), SETTINGS_AGE_S))
        await self.device.async_read_older(dict.fromkeys(INPUT_BLOCKS, INPUT_AGE_S))

    async def async_set_power(self, asked: Power, *, owner: str, duration_s: float | None = None) -> Decision:
        """Acquire or replace the lease and send the permitted part of it; zero ends the lease.

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
        self._emit(EventKind.LEASE_TAKEN, details)
        await self._read_back()
        return decision

    async def async_release(self) -> None:
        """End the lease and write zero to the setpoints in use, regardless of who set them.

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
