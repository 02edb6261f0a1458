"""REFU battery inverter ESS over Modbus. Setting up, reloading and unloading write nothing to the device."""

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryError, HomeAssistantError
from homeassistant.helpers import device_registry as dr

from .connection import async_open_unit, is_shared
from .const import DOMAIN
from .coordinator import RefuEssConfigEntry, RefuEssCoordinator, site_of
from .entity import ess_device_info, part_identifier
from .ess import MAXIMUM_BATTERY_GROUPS, Part, RefuEss
from .issues import async_show_layout_issue

PLATFORMS = [Platform.BINARY_SENSOR, Platform.NUMBER, Platform.SENSOR]


async def async_setup_entry(hass: HomeAssistant, entry: RefuEssConfigEntry) -> bool:
    """Open the link and read the device for the first time."""
    try:
        unit = async_open_unit(hass, entry)
    except HomeAssistantError as err:
        raise ConfigEntryError(translation_domain=DOMAIN, translation_key="link_in_use") from err
    device = RefuEss(unit, site_of(entry), shared_link=is_shared(entry.data))
    coordinator = RefuEssCoordinator(hass, entry, device)
    await coordinator.async_config_entry_first_refresh()
    registered = dr.async_get(hass).async_get_or_create(config_entry_id=entry.entry_id, **ess_device_info(coordinator))
    coordinator.device_id = registered.id
    _remove_absent_groups(hass, entry, device.site.battery_groups)
    entry.runtime_data = coordinator
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


def _remove_absent_groups(hass: HomeAssistant, entry: RefuEssConfigEntry, installed: int) -> None:
    """Remove the devices of battery groups that the options no longer count, and with them their entities."""
    registry = dr.async_get(hass)
    absent = {
        part_identifier(entry.entry_id, Part.BATTERY, group)
        for group in range(installed + 1, MAXIMUM_BATTERY_GROUPS + 1)
    }
    for device in dr.async_entries_for_config_entry(registry, entry.entry_id):
        if absent & device.identifiers:
            registry.async_remove_device(device.id)


async def async_unload_entry(hass: HomeAssistant, entry: RefuEssConfigEntry) -> bool:
    """Remove the entities; the link closes by itself."""
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: RefuEssConfigEntry) -> None:
    """Take back what was said about this ESS."""
    async_show_layout_issue(hass, entry, None)
