"""Carries commands of users, automations and actions to the controller, and reports the outcome."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.util import dt as dt_util

from .ess import (
    Controller,
    Decision,
    Event,
    EventKind,
    Failure,
    GuardReport,
    Lease,
    Moment,
    OperationMode,
    Power,
    RefusedError,
    ResetOutcome,
    SocSettings,
    WorkState,
    WriteFailedError,
)

_LOGGER = logging.getLogger(__name__)

type Listener = Callable[[Event], None]

EVENTS_REMEMBERED = 50
RESET_TIMEOUT_SECONDS = 30.0
"""Both halves of the handshake have 10 s each, and a slow link may take its time."""


def now() -> Moment:
    """The present on both clocks."""
    return Moment(time.monotonic(), time.time())


def owner_of(context: Context | None) -> str:
    """The kind of caller: a user at the interface, an automation, or another action."""
    if context is not None and context.parent_id is not None:
        return "automation"
    return "person" if context is not None and context.user_id is not None else "action"


class Commander:
    """The only way for Home Assistant to write to one ESS."""

    def __init__(self, hass: HomeAssistant, controller: Controller, changed: Callable[[], None]) -> None:
        """Store the controller and the callback after each command. Debts of an earlier run are reported now."""
        self._hass = hass
        self._changed = changed
        self._listeners: list[Listener] = []
        self._entities: list[Listener] = []
        """Listeners that are called once all entities have been added."""
        self._watchers: list[Callable[[], None]] = []
        self._context: Context | None = None
        self.controller = controller
        self.ready = False
        """All entities have been added."""
        self._early: list[Event] = []
        """Events of the setup, before there was an entity to show them."""
        self.history: deque[tuple[Moment, Event]] = deque(maxlen=EVENTS_REMEMBERED)
        """The latest events, the oldest first."""
        controller.report = self._report
        if (zero := controller.ledger.record.zero) is not None:
            details = {"owner": zero.owner, "lower": list(zero.ours.lower), "upper": list(zero.ours.upper)}
            self._report(Event(EventKind.LEASE_INTERRUPTED, details))

    # Events

    @callback
    def async_listen(self, listener: Listener, *, early: bool = False) -> Callable[[], None]:
        """Call `listener` with each event; returns a function to unsubscribe.

        With `early` it is an entity: it gets the events of the setup first, once states are written.
        """
        listeners = self._entities if early else self._listeners
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    @callback
    def async_set_ready(self) -> None:
        """Show the events of the setup. All entities have been added: Home Assistant writes no state before that."""
        missed, self._early, self.ready = self._early, [], True
        for event in missed:
            self._inform(self._entities, event)

    @callback
    def async_report_guard(self, report: GuardReport) -> None:
        """Report what a guard process did on its own."""
        details = {"reason": report.reason.value, "outcome": report.outcome.value, "seconds": report.seconds}
        self._report(Event(EventKind.GUARD_ACTED, details))

    @property
    def context(self) -> Context | None:
        """The context of the command that is being carried out, `None` for what happens on its own."""
        return self._context

    @callback
    def _report(self, event: Event) -> None:
        self.history.append((now(), event))
        self._inform(self._listeners, event)
        if self.ready:
            self._inform(self._entities, event)
        else:
            self._early.append(event)

    @staticmethod
    def _inform(listeners: list[Listener], event: Event) -> None:
        for listener in list(listeners):
            try:
                listener(event)
            except Exception:
                _LOGGER.exception("A listener to control events failed")

    # Commands

    async def _run[T](self, command: Coroutine[Any, Any, T], context: Context | None = None) -> T:
        """Carry out a command to its end, even if the caller is cancelled meanwhile."""
        return await asyncio.shield(self._hass.async_create_task(self._carry_out(command, context), eager_start=True))

    async def _carry_out[T](self, command: Coroutine[Any, Any, T], context: Context | None) -> T:
        self._context = context
        try:
            return await command
        except RefusedError as err:
            self._report(Event(EventKind.REFUSED, {"reason": err.reason.value, "owner": owner_of(context)}))
            raise
        finally:
            self._context = None
            self._changed()

    async def async_set_power(self, asked: Power, context: Context | None, duration: timedelta | None) -> Decision:
        """Acquire the lease, or replace it."""
        duration_s = None if duration is None else duration.total_seconds()
        command = self.controller.async_set_power(asked, owner=owner_of(context), duration_s=duration_s)
        return await self._run(command, context)

    async def async_change_power(self, change: Callable[[Power], Power], context: Context | None) -> Decision:
        """Change a part of the power that is held; the rest stays as it is."""
        return await self._run(self.controller.async_change_power(change, owner=owner_of(context)), context)

    async def async_preview(self, asked: Power) -> Decision:
        """Return the present effect of a command."""
        await self.controller.async_freshen()
        return self.controller.plan(asked)

    async def async_release(self, context: Context | None = None) -> None:
        """End the lease, or zero a setpoint that no lease holds."""
        await self._run(self.controller.async_release(), context)

    async def async_set_work_state(self, state: WorkState, context: Context | None = None) -> None:
        """Start or stop the system."""
        await self._run(self.controller.async_set_work_state(state), context)

    async def async_set_operation_mode(self, mode: OperationMode, context: Context | None = None) -> None:
        """Choose which setpoints the device follows."""
        await self._run(self.controller.async_set_operation_mode(mode), context)

    async def async_reset_error(self, *, forced: bool, context: Context | None = None) -> None:
        """Reset an error, and wait until the cycle has carried it through."""
        await self._run(self.controller.async_begin_reset(forced=forced), context)
        done = asyncio.Event()

        @callback
        def look() -> None:
            if self.controller.resetting.outcome is not None:
                done.set()

        stop = self.async_watch(look)
        try:
            async with asyncio.timeout(RESET_TIMEOUT_SECONDS):
                await done.wait()
        except TimeoutError as err:
            raise WriteFailedError(Failure.RESET_NOT_TAKEN) from err
        finally:
            stop()
        if self.controller.resetting.outcome is not ResetOutcome.DONE:
            raise WriteFailedError(Failure.RESET_NOT_TAKEN)

    async def async_switch_recovery(self, *, on: bool) -> None:
        """Switch the recovery from faults on or off."""
        await self._run(self.controller.async_switch_recovery(on=on))

    async def async_switch_soc_protection(self, settings: SocSettings | None) -> None:
        """Switch the protection of the state of charge on or off."""
        await self._run(self.controller.async_switch_soc_protection(settings))

    async def async_shut_down(self) -> None:
        """Write what is owed, and accept no further command."""
        await self.controller.async_shut_down()

    # The cycle

    @callback
    def async_watch(self, look: Callable[[], None]) -> Callable[[], None]:
        """Call `look` after each cycle; returns a function to unsubscribe."""
        self._watchers.append(look)
        return lambda: self._watchers.remove(look)

    async def async_cycle(self) -> None:
        """Do what is due after a poll."""
        await self.controller.async_cycle()
        for look in list(self._watchers):
            look()

    # Present state

    @property
    def lease(self) -> Lease | None:
        """The lease in force."""
        return self.controller.lease.lease

    @property
    def lease_end(self) -> datetime | None:
        """When the lease ends unless a new command comes."""
        lease = self.lease
        return None if lease is None else dt_util.utc_from_timestamp(round(lease.ends.wall))

    @property
    def next_reset(self) -> datetime | None:
        """Earliest time of the next error reset; `None` means now."""
        at = self.controller.resetting.resets.next_allowed
        return None if at is None or at <= time.time() else dt_util.utc_from_timestamp(at)

    @property
    def applied_w(self) -> float | None:
        """The active power that is sent; unknown while an owed zero has not been acknowledged."""
        state = self.controller.lease
        if state.debt is not None and not state.zero_acknowledged:
            return None
        return state.decision.power.total_active_w

    @property
    def shown(self) -> tuple[object, ...]:
        """Everything that control entities show; different if any of them has to be written."""
        controller = self.controller
        return (
            self.lease,
            self.applied_w,
            controller.limit,
            self.next_reset,
            controller.resetting.resets.count,
            controller.recovery is None,
            controller.soc_settings is None,
        )

    def diagnostics(self) -> dict[str, Any]:
        """The lease in force."""
        controller = self.controller
        state, lease = controller.lease, self.lease
        return {
            "read_only": controller.read_only,
            "per_phase": controller.per_phase,
            "owner": None if lease is None else lease.owner,
            "asked": None if lease is None else lease.asked.total_active_w,
            "sent": state.decision.power.total_active_w,
            "limit": controller.limit.value,
            "zero_owed": state.debt is not None,
            "reset_owed": controller.resetting.owed,
            "last_end": None if state.last_end is None else state.last_end.value,
        }
