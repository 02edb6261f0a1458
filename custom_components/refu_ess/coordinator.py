"""Polls the device and tells the entities."""

import logging
import time
from dataclasses import replace
from datetime import timedelta
from typing import override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from modbus_connection import ModbusError

from .commander import Commander
from .const import (
    CONF_APPARENT_POWER_LIMIT,
    CONF_BATTERY_GROUPS,
    CONF_CAPACITY,
    CONF_CHARGE_SOC,
    CONF_IGNORE_STOP_REQUEST,
    CONF_INVERTER_STATUS_LAYOUT,
    CONF_MAX_SOC,
    CONF_MIN_SOC,
    CONF_NOMINAL_POWER,
    CONF_POLL_INTERVAL,
    CONF_RAMP_RATE,
    CONF_READ_ONLY,
    CONF_SETPOINT_REGISTERS,
    CONF_START_DELAY,
    CONTROL_INTERVAL_SECONDS,
    DEFAULT_POLL_INTERVAL_SECONDS,
    SETPOINTS_PER_PHASE,
)
from .errors import update_failed
from .ess import (
    Controller,
    ControlSettings,
    Event,
    InverterStatusLayout,
    Power,
    RefuEss,
    Resets,
    Site,
    SocSettings,
)
from .issues import (
    ISSUE_FOREIGN_WRITER,
    ISSUE_OTHER_SETPOINTS,
    ISSUE_WRITE_FAILED,
    async_show_held_power,
    async_show_issue,
    async_show_layout_issue,
)
from .memory import Memory
from .updates import PictureCoordinator

_LOGGER = logging.getLogger(__name__)

type RefuEssConfigEntry = ConfigEntry[RefuEssCoordinator]


def site_of(entry: RefuEssConfigEntry) -> Site:
    """Return the site that the entry's options describe; what they leave out has the reference's value."""
    default, options = Site(), entry.options
    layout = options.get(CONF_INVERTER_STATUS_LAYOUT, default.inverter_status_layout.slug)
    return Site(
        alias=entry.title,
        capacity=round(options.get(CONF_CAPACITY, default.capacity / 1000) * 1000),
        max_nominal_power=round(options.get(CONF_NOMINAL_POWER, default.max_nominal_power / 1000) * 1000),
        allowed_apparent=round(options.get(CONF_APPARENT_POWER_LIMIT, default.allowed_apparent / 1000) * 1000),
        min_soc=options.get(CONF_MIN_SOC, default.min_soc),
        charge_soc=options.get(CONF_CHARGE_SOC, default.charge_soc),
        max_soc=options.get(CONF_MAX_SOC, default.max_soc),
        battery_groups=options.get(CONF_BATTERY_GROUPS, default.battery_groups),
        inverter_status_layout=InverterStatusLayout[layout.upper()],
    )


def control_settings_of(entry: RefuEssConfigEntry) -> ControlSettings:
    """Return the limits on commands that the entry's options describe."""
    default, options = ControlSettings(), entry.options
    return ControlSettings(
        apparent_limit_va=site_of(entry).allowed_apparent,
        start_delay_s=options.get(CONF_START_DELAY, default.start_delay_s),
        ramp_w_per_s=options.get(CONF_RAMP_RATE, default.ramp_w_per_s / 1000) * 1000,
        ignore_stop_request=options.get(CONF_IGNORE_STOP_REQUEST, default.ignore_stop_request),
    )


def soc_settings_of(site: Site) -> SocSettings:
    """Return the limits of the protection of the state of charge.

    Raises `ValueError` naming the one that is out of order.
    """
    return SocSettings(min_soc=site.min_soc, charge_soc=site.effective_charge_soc, max_soc=site.max_soc)


class RefuEssCoordinator(PictureCoordinator):
    """Polls one ESS, every second while a command is held. What it read is in `data`."""

    config_entry: RefuEssConfigEntry

    def __init__(self, hass: HomeAssistant, entry: RefuEssConfigEntry, device: RefuEss, memory: Memory) -> None:
        """Poll as often as the entry's options say."""
        self._interval = timedelta(seconds=entry.options.get(CONF_POLL_INTERVAL, DEFAULT_POLL_INTERVAL_SECONDS))
        super().__init__(hass, _LOGGER, entry, device, self._interval)
        controller = Controller(
            device,
            clock=time.monotonic,
            wall_clock=time.time,
            settings=control_settings_of(entry),
            per_phase=entry.options.get(CONF_SETPOINT_REGISTERS) == SETPOINTS_PER_PHASE,
            read_only=entry.options.get(CONF_READ_ONLY, False),
            resets=Resets(memory.content.last_reset, memory.content.resets),
        )
        if memory.content.soc_protection:
            controller.soc_settings = soc_settings_of(device.site)
        self.commander = Commander(hass, controller, memory, self.async_refresh)
        self.device_id: str
        """The ESS in the device registry, once it is registered."""
        self._failed_blocks: set[str] = set()
        self._held_at_start: Power | None = None
        self._commanded: tuple[object, ...] = ()
        self.commander.async_listen(self._tell)

    @override
    async def _async_poll(self) -> None:
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
            self._compare_commands()
        self._log_block_changes()
        self._show_issues()

    def _compare_commands(self) -> None:
        """Note that what is commanded has changed: no picture holds it."""
        controller = self.commander.controller
        commanded = (
            controller.decision,
            controller.limit,
            controller.lease,
            controller.resets.count,
            self.commander.next_reset,
            controller.recovery is None,
            controller.soc_settings is None,
        )
        if commanded != self._commanded:
            self._commanded = commanded
            self._changed |= self._commanded_keys

    @property
    def _commanded_keys(self) -> set[str]:
        return {key for key in self._watchers if key not in self.data.values}

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
        self.async_changed(self._commanded_keys)

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

        Raises `ValueError` naming the limits that would no longer stand in their order.
        """
        soc_settings_of(replace(self.device.site, **{option: value}))  # type: ignore[arg-type]
        self.hass.config_entries.async_update_entry(
            self.config_entry, options={**self.config_entry.options, option: value}
        )
        self.device.site = site_of(self.config_entry)
        if self.commander.controller.soc_settings is not None:
            self.commander.controller.soc_settings = soc_settings_of(self.device.site)
