"""Polls the device and updates the entities."""

import logging
from asyncio import Task
from dataclasses import replace
from datetime import datetime, timedelta
from typing import override

from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.event import async_call_later
from modbus_connection import ModbusError

from .alarm_memory import AlarmMemory
from .commander import Commander, now
from .const import CONTROL_INTERVAL_SECONDS
from .errors import update_failed
from .ess import Controller, GuardReport, Record, RefuEss
from .guarding import async_take_report, guard_of
from .issues import Issues
from .memory import Memory
from .options import control_settings_of, is_per_phase, is_read_only, poll_interval_of, soc_settings_of
from .updates import PictureCoordinator

_LOGGER = logging.getLogger(__name__)

MINIMUM_PAUSE_SECONDS = 0.1
"""On a link that is slower than the cycle, others still get their turn."""

type RefuEssConfigEntry = ConfigEntry[RefuEssCoordinator]


class RefuEssCoordinator(PictureCoordinator):
    """Polls one ESS: every second while something is held or owed, whoever listens, else as the options say."""

    config_entry: RefuEssConfigEntry

    def __init__(
        self, hass: HomeAssistant, entry: RefuEssConfigEntry, device: RefuEss, memory: Memory, record: Record
    ) -> None:
        """Store the device, the record of the last run, and the file for the next."""
        interval = timedelta(seconds=poll_interval_of(entry))
        super().__init__(hass, _LOGGER, entry, device, interval)
        per_phase = is_per_phase(entry)
        controller = Controller(
            device,
            clock=now,
            settings=control_settings_of(entry),
            per_phase=per_phase,
            read_only=is_read_only(entry),
            record=record,
            keep=memory.async_save,
            guard=guard_of(hass, entry, per_phase=per_phase, on_acted=self._guard_acted),
        )
        if record.soc_protection:
            controller.soc_settings = soc_settings_of(device.site)
        self.commander = Commander(hass, controller, self._async_commanded)
        self.issues = Issues(hass, entry, self.commander)
        self.alarms = AlarmMemory(hass, entry.entry_id)
        self.device_id: str
        """The ESS in the device registry, once it is registered."""
        self._failed_blocks: set[str] = set()
        self._shown: tuple[object, ...] = ()
        self._taking: Task[GuardReport | None] | None = None
        self._cancel_beat: CALLBACK_TYPE | None = None
        entry.async_on_unload(self._stop_beat)

    @override
    async def _async_poll(self) -> None:
        began = self.hass.loop.time()
        try:
            await self.device.async_poll(also=self.commander.controller.blocks_to_read)
        except ModbusError as err:
            raise update_failed(err) from err
        finally:
            try:
                await self.commander.async_cycle()
            finally:  # whatever fails, the beat goes on
                self._schedule_beat(began)
            self._changed |= self._changed_controls()
        self._log_block_changes()

    @callback
    def _guard_acted(self, report: GuardReport) -> None:
        """Report what a guard did while this process hung, and delete its file, so that the next start is silent."""
        if self.config_entry.state is not ConfigEntryState.LOADED:
            return  # it took over from a way out that failed: the next setup finds the file
        self.commander.async_report_guard(report)
        taking = async_take_report(self.hass, self.config_entry.entry_id)
        self._taking = self.config_entry.async_create_background_task(
            self.hass, taking, "REFU ESS: report of the guard"
        )

    # The beat of control. The coordinator polls only for listeners, and only if its user wants polling; a lease must
    # end, and a debt must be paid, without either.

    @callback
    def _schedule_beat(self, began: float | None = None) -> None:
        self._stop_beat()
        if self.commander.controller.busy:
            spent = 0.0 if began is None else self.hass.loop.time() - began
            delay = max(CONTROL_INTERVAL_SECONDS - spent, MINIMUM_PAUSE_SECONDS)
            job = HassJob(self._beat, "REFU ESS: control", cancel_on_shutdown=False)
            self._cancel_beat = async_call_later(self.hass, delay, job)

    async def _beat(self, _: datetime) -> None:
        self._cancel_beat = None
        await self.async_refresh()

    @callback
    def _stop_beat(self) -> None:
        if self._cancel_beat is not None:
            self._cancel_beat()
            self._cancel_beat = None

    @callback
    def _async_commanded(self) -> None:
        """Show the effect of a command."""
        if self._cancel_beat is None:
            self._schedule_beat()
        self.async_changed(self._changed_controls())

    def _changed_controls(self) -> set[str]:
        """The keys of the control entities if anything that they show has changed: no picture holds it."""
        try:
            self.issues.async_update()
        except Exception:  # a repair issue must not stop control
            _LOGGER.exception("The repair issues of %s could not be updated", self.name)
        if (shown := self.commander.shown) == self._shown:
            return set()
        self._shown = shown
        return {key for key in self._watchers if key not in self.data.values}

    def _log_block_changes(self) -> None:
        """Log once when a block falls silent while others answer, and once when it is back."""
        failed = {name for name, block in self.device.blocks.items() if block.failure}
        for name in sorted(failed - self._failed_blocks):
            # The text of a failed connection names the host.
            error = type(self.device.blocks[name].failure).__name__
            _LOGGER.warning("%s: reading the %s registers failed: %s", self.name, name, error)
        for name in sorted(self._failed_blocks - failed):
            _LOGGER.info("%s: %s registers are back", self.name, name)
        self._failed_blocks = failed

    @callback
    def async_rename(self, name: str) -> None:
        """Follow the name of the config entry, without a reload: that would end a setpoint."""
        self.device.site = replace(self.device.site, alias=name)
        dr.async_get(self.hass).async_update_device(self.device_id, name=name)
        self.issues.async_rename()
        self._async_commanded()

    @callback
    def async_change_site(self, option: str, value: int) -> None:
        """Change one limit of the state of charge, and keep it.

        Raises `OutOfRangeError` naming the limit that would no longer stand in its order.
        """
        site = replace(self.device.site, **{option: value})  # type: ignore[arg-type]
        settings = soc_settings_of(site)
        self.hass.config_entries.async_update_entry(
            self.config_entry, options={**self.config_entry.options, option: value}
        )
        self.device.site = site
        if self.commander.controller.soc_settings is not None:
            self.commander.controller.soc_settings = settings
        self._async_commanded()
