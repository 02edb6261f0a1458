"""Polls the device and tells the entities."""

import logging
from datetime import timedelta
from typing import override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from modbus_connection import ModbusError

from .const import (
    CONF_APPARENT_POWER_LIMIT,
    CONF_BATTERY_GROUPS,
    CONF_CAPACITY,
    CONF_CHARGE_SOC,
    CONF_INVERTER_STATUS_LAYOUT,
    CONF_MIN_SOC,
    CONF_NOMINAL_POWER,
    CONF_POLL_INTERVAL,
    DEFAULT_POLL_INTERVAL_SECONDS,
)
from .errors import update_failed
from .ess import InverterStatusLayout, RefuEss, Site
from .issues import async_show_layout_issue

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
        battery_groups=options.get(CONF_BATTERY_GROUPS, default.battery_groups),
        inverter_status_layout=InverterStatusLayout[layout.upper()],
    )


class RefuEssCoordinator(DataUpdateCoordinator[None]):
    """Polls one ESS. What it read is in `device`."""

    config_entry: RefuEssConfigEntry

    def __init__(self, hass: HomeAssistant, entry: RefuEssConfigEntry, device: RefuEss) -> None:
        """Poll as often as the entry's options say."""
        super().__init__(
            hass,
            _LOGGER,
            config_entry=entry,
            name=entry.title,
            update_interval=timedelta(seconds=entry.options.get(CONF_POLL_INTERVAL, DEFAULT_POLL_INTERVAL_SECONDS)),
        )
        self.device = device
        self.device_id: str
        """The ESS in the device registry, once it is registered."""
        self._failed_blocks: set[str] = set()

    @override
    async def _async_update_data(self) -> None:
        try:
            await self.device.async_poll()
        except ModbusError as err:
            raise update_failed(err) from err
        self._log_block_changes()
        async_show_layout_issue(self.hass, self.config_entry, self.device.suggested_layout)

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
        """Change one option that needs no new connection, and keep it."""
        self.hass.config_entries.async_update_entry(
            self.config_entry, options={**self.config_entry.options, option: value}
        )
        self.device.site = site_of(self.config_entry)
        self.async_update_listeners()
