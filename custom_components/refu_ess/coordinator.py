"""Polls the device and tells the entities."""

import logging
import time
from dataclasses import replace
from datetime import timedelta
from typing import override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from modbus_connection import ModbusError

from .commander import Commander
from .const import CONTROL_INTERVAL_SECONDS
from .errors import update_failed
from .ess import Controller, Event, Power, RefuEss, Resets
from .issues import (
    ISSUE_FOREIGN_WRITER,
    ISSUE_OTHER_SETPOINTS,
    ISSUE_WRITE_FAILED,
    async_show_held_power,
    async_show_issue,
    async_show_layout_issue,
)
from .memory import Memory
from .options import control_settings_of, is_per_phase, is_read_only, poll_interval_of, soc_settings_of

_LOGGER = logging.getLogger(__name__)

type RefuEssConfigEntry = ConfigEntry[RefuEssCoordinator]


class RefuEssCoordinator(DataUpdateCoordinator[None]):
    """Polls one ESS, every second while a command is held. What it read is in `device`."""

    config_entry: RefuEssConfigEntry

    def __init__(self, hass: HomeAssistant, entry: RefuEssConfigEntry, device: RefuEss, memory: Memory) -> None:
        """Poll as often as the entry's options say."""
        self._interval = timedelta(seconds=poll_interval_of(entry))
        super().__init__(hass, _LOGGER, config_entry=entry, name=entry.title, update_interval=self._interval)
        self.device = device
        controller = Controller(
            device,
            clock=time.monotonic,
            wall_clock=time.time,
            settings=control_settings_of(entry),
            per_phase=is_per_phase(entry),
            read_only=is_read_only(entry),
            resets=Resets(memory.content.last_reset, memory.content.resets),
        )
        if memory.content.soc_protection:
            controller.soc_settings = soc_settings_of(device.site)
        self.commander = Commander(hass, controller, memory, self.async_refresh)
        self.device_id: str
        """The ESS in the device registry, once it is registered."""
        self._failed_blocks: set[str] = set()
        self._held_at_start: Power | None = None
        self.commander.async_listen(self._tell)

    @override
    async def _async_update_data(self) -> None:
        controller = self.commander.controller
        try:
            await self.device.async_poll(also=controller.blocks_to_read)
        except ModbusError as err:
            raise update_failed(err) from err
        finally:
            await controller.async_cycle()
            self.update_interval = (
                min(self._interval, timedelta(seconds=CONTROL_INTERVAL_SECONDS)) if controller.busy else self._interval
            )
        self._log_block_changes()
        self._show_issues()

    def _show_issues(self) -> None:
        """Show what a person should decide or mend, and take back what is settled."""
        hass, entry, controller = self.hass, self.config_entry, self.commander.controller
        async_show_layout_issue(hass, entry, self.device.suggested_layout)
        if controller.read_only:
            return
        other_zero = controller.reading().other_setpoints_zero
        async_show_issue(hass, entry, ISSUE_OTHER_SETPOINTS, present=other_zero is False)
        held = controller.held()
        if self._held_at_start is None and held is not None:
            self._held_at_start = held
        if held is not None:
            nobodys = controller.lease is None and held == self._held_at_start
            async_show_held_power(hass, entry, held.total_active_w if nobodys else 0)

    @callback
    def _tell(self, event: Event) -> None:
        """Turn what a person should look at into an issue; the next command that works takes it back."""
        if event.kind in (ISSUE_FOREIGN_WRITER, ISSUE_WRITE_FAILED):
            async_show_issue(self.hass, self.config_entry, event.kind, present=True)
        if event.kind == "lease_taken":
            for kind in (ISSUE_FOREIGN_WRITER, ISSUE_WRITE_FAILED):
                async_show_issue(self.hass, self.config_entry, kind, present=False)
        # A poll that fails as the one before tells no entity, but what is commanded may have changed with it.
        self.async_update_listeners()

    def _log_block_changes(self) -> None:
        """Log once when a block falls silent while others answer, and once when it is back."""
        failed = {name for name, block in self.device.blocks.items() if block.failure}
        for name in sorted(failed - self._failed_blocks):
            _LOGGER.warning("%s: no %s registers: %s", self.name, name, self.device.blocks[name].failure)
        for name in sorted(self._failed_blocks - failed):
            _LOGGER.info("%s: %s registers are back", self.name, name)
        self._failed_blocks = failed

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
        self.async_update_listeners()
