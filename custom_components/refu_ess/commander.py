"""Carries the wishes of people, automations and actions to the controller, and tells what became of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.util import dt as dt_util

from .const import CONTROL_INTERVAL_SECONDS
from .ess import (
    INPUT_BLOCKS,
    SETTING_BLOCKS,
    Controller,
    Decision,
    Event,
    OperationMode,
    Power,
    Recovery,
    SocSettings,
    WorkState,
)
from .memory import Memory

type Listener = Callable[[Event], None]


def owner_of(context: Context | None) -> str:
    """Who is behind a call: a person at the interface, an automation, or another action."""
    if context is not None and context.parent_id is not None:
        return "automation"
    return "person" if context is not None and context.user_id is not None else "action"


class Commander:
    """The only way for Home Assistant to write to one ESS."""

    def __init__(
        self, hass: HomeAssistant, controller: Controller, memory: Memory, refresh: Callable[[], Awaitable[None]]
    ) -> None:
        """Take the controller, what is remembered of the last run, and how to poll at once."""
        self._hass = hass
        self._refresh = refresh
        self._listeners: list[Listener] = []
        self._saving: asyncio.Task[None] | None = None
        self.controller = controller
        self.memory = memory
        self.interrupted = memory.content.lease
        """The lease that the last run could not end, as it was written down. It is told of, and never resumed."""
        controller.report = self._tell
        controller.recovery = Recovery() if memory.content.fault_recovery else None

    @callback
    def async_listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def _tell(self, event: Event) -> None:
        if event.kind in ("lease_ended", "error_reset"):
            self.memory.content.resets = self.controller.resets.count
            self.memory.content.last_reset = self.controller.resets.last
            if event.kind == "lease_ended":
                self.memory.content.lease = None
            self._saving = self._hass.async_create_task(self.memory.async_save(), eager_start=False)
        for listener in self._listeners:
            listener(event)

    @property
    def lease_end(self) -> datetime | None:
        """When the lease ends by itself."""
        lease = self.controller.lease
        if lease is None or lease.ends_at is None:
            return None
        left = timedelta(seconds=lease.ends_at - time.monotonic())
        return (dt_util.utcnow() + left + timedelta(milliseconds=500)).replace(microsecond=0)

    @property
    def next_reset(self) -> datetime | None:
        """When an error reset is permitted again; `None` means at once."""
        at = self.controller.next_reset
        return None if at is None or at <= time.time() else dt_util.utc_from_timestamp(at)

    async def async_freshen(self) -> None:
        """Poll, unless what was read is fresh enough to decide on, and read back what the device was told."""
        age_s = self.controller.reading().age_s
        if age_s is None or age_s > CONTROL_INTERVAL_SECONDS:
            await self._refresh()
        device = self.controller.device
        if device.available(INPUT_BLOCKS):  # where nothing answers three more time-outs tell nothing
            await device.async_read(SETTING_BLOCKS)

    async def async_set_power(self, asked: Power, context: Context | None, duration: timedelta | None) -> Decision:
        """Take the lease. It is on disk before anything is sent, so that a crash finds it."""
        await self.async_freshen()
        self.controller.check_writable()
        owner = owner_of(context)
        if not asked.is_zero:
            self.memory.content.lease = {
                "active_power": asked.total_active_w,
                "reactive_power": asked.total_reactive_var,
                "owner": owner,
                "taken_at": dt_util.utcnow().isoformat(),
            }
            await self.memory.async_save()
        duration_s = None if duration is None else duration.total_seconds()
        try:
            return await self.controller.async_set_power(asked, owner=owner, duration_s=duration_s)
        finally:
            await self._forget_ended_lease()
            await self._refresh()

    async def _forget_ended_lease(self) -> None:
        if self.controller.lease is None and self.memory.content.lease is not None:
            self.memory.content.lease = None
            await self.memory.async_save()

    async def async_release(self) -> None:
        """End the lease, or take back a setpoint that nobody holds."""
        try:
            await self.controller.async_release()
        finally:
            await self._refresh()

    async def async_set_work_state(self, state: WorkState) -> None:
        """Start or stop the system."""
        await self.async_freshen()
        try:
            await self.controller.async_set_work_state(state)
        finally:
            await self._refresh()

    async def async_set_operation_mode(self, mode: OperationMode) -> None:
        """Choose what the device follows."""
        try:
            await self.controller.async_set_operation_mode(mode)
        finally:
            await self._refresh()

    async def async_reset_error(self, *, forced: bool) -> None:
        """Reset an error, and wait until the device has taken it."""

        async def poll() -> None:
            await asyncio.sleep(CONTROL_INTERVAL_SECONDS)
            await self.controller.device.async_read(("commands",))

        try:
            await self.controller.async_reset_error(poll, forced=forced)
        finally:
            await self._refresh()

    async def async_switch_recovery(self, *, on: bool) -> None:
        """Let the system recover from faults by itself, or no longer."""
        self.controller.check_writable()
        self.controller.recovery = Recovery() if on else None
        self.memory.content.fault_recovery = on
        await self.memory.async_save()
        await self._refresh()

    async def async_switch_soc_protection(self, settings: SocSettings | None) -> None:
        """Protect the state of charge, or no longer."""
        self.controller.soc_settings = settings
        self.memory.content.soc_protection = settings is not None
        await self.memory.async_save()
        await self._refresh()

    async def async_shut_down(self) -> None:
        """End what is held, and take no command any more."""
        await self.controller.async_shut_down()
        await self.memory.async_save()

    def diagnostics(self) -> dict[str, Any]:
        """What is in force and the last writes, for the diagnostics."""
        controller = self.controller
        now = time.monotonic()
        lease = controller.lease
        return {
            "read_only": controller.read_only,
            "per_phase": controller.per_phase,
            "owner": None if lease is None else lease.owner,
            "asked": None if lease is None else lease.asked.total_active_w,
            "sent": controller.decision.power.total_active_w,
            "limit": controller.limit.value,
            "last_end": None if controller.last_end is None else controller.last_end.value,
            "writes": [
                {
                    "seconds_ago": round(now - write.at, 1),
                    "address": f"0x{write.address:03X}",
                    "words": list(write.words),
                    "outcome": write.outcome,
                }
                for write in controller.device.writes
            ],
        }
