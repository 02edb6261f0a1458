"""REFU battery inverter ESS over Modbus. Setup writes nothing to the device, and every command ends with zero."""

from homeassistant.config_entries import SIGNAL_CONFIG_ENTRY_CHANGED, ConfigEntry, ConfigEntryChange
from homeassistant.const import Platform
from homeassistant.core import HassJob, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryError, ConfigEntryNotReady, HomeAssistantError
from homeassistant.helpers import config_validation as cv, device_registry as dr, entity_registry as er
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.typing import ConfigType

from .alarm_action import async_setup_alarm_action
from .alarm_memory import AlarmMemory
from .connection import async_open_unit, is_numbered, is_shared
from .const import DOMAIN
from .controls import CONTROLS
from .coordinator import RefuEssConfigEntry, RefuEssCoordinator
from .entity import ess_device_info, part_identifier
from .ess import MAXIMUM_BATTERY_GROUPS, Controller, Part, RefuEss
from .guarding import async_take_report
from .issues import async_delete_issues
from .memory import Memory
from .options import site_of
from .services import async_setup_services

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
]
CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the actions."""
    async_setup_services(hass)
    async_setup_alarm_action(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: RefuEssConfigEntry) -> bool:
    """Open the link and read the device for the first time."""
    try:
        unit = async_open_unit(hass, entry)
    except HomeAssistantError as err:
        raise ConfigEntryError(translation_domain=DOMAIN, translation_key="link_in_use") from err
    memory = Memory(hass, entry.entry_id)
    record = await memory.async_load()
    device = RefuEss(unit, site_of(entry), shared_link=is_shared(entry.data), numbered=is_numbered(entry.data))
    coordinator = RefuEssCoordinator(hass, entry, device, memory, record)
    if (report := await async_take_report(hass, entry.entry_id)) is not None:
        coordinator.commander.async_report_guard(report)
    await coordinator.alarms.async_load()
    await coordinator.async_config_entry_first_refresh()
    coordinator.alarms.async_follow(coordinator)
    entry.async_on_unload(coordinator.alarms.async_unfollow)
    registered = dr.async_get(hass).async_get_or_create(config_entry_id=entry.entry_id, **ess_device_info(coordinator))
    coordinator.device_id = registered.id
    _remove_absent_groups(hass, entry, device.site.battery_groups)
    _remove_absent_controls(hass, entry, coordinator.commander.controller)
    entry.runtime_data = coordinator
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    _follow_name(hass, entry)
    coordinator.commander.async_set_ready()
    # Config entries are not unloaded when Home Assistant stops, and stop listeners run after the links are closed.
    shut_down = HassJob(coordinator.commander.async_shut_down, "REFU ESS: end the lease")
    entry.async_on_unload(hass.async_add_shutdown_job(shut_down))
    return True


def _follow_name(hass: HomeAssistant, entry: RefuEssConfigEntry) -> None:
    """Rename the device with the config entry; an update listener would exclude the options flow's reload."""

    @callback
    def changed(change: ConfigEntryChange, which: ConfigEntry) -> None:
        if change is ConfigEntryChange.UPDATED and which is entry:
            coordinator = entry.runtime_data
            if entry.title != coordinator.device.site.alias:
                coordinator.async_rename(entry.title)

    entry.async_on_unload(async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, changed))


def _remove_absent_groups(hass: HomeAssistant, entry: RefuEssConfigEntry, installed: int) -> None:
    """Remove the devices of battery groups that are no longer configured, with their entities."""
    registry = dr.async_get(hass)
    absent = {
        part_identifier(entry.entry_id, Part.BATTERY, group)
        for group in range(installed + 1, MAXIMUM_BATTERY_GROUPS + 1)
    }
    for device in (
        *dr.async_child_entries_for_config_entry(registry, entry.entry_id),
        *dr.async_entries_for_config_entry(registry, entry.entry_id),  # of a release before there were children
    ):
        if absent & device.identifiers:
            registry.async_remove_device(device.id)


def _remove_absent_controls(hass: HomeAssistant, entry: RefuEssConfigEntry, controller: Controller) -> None:
    """Remove control entities left over from earlier options: of a read-only ESS, or of unused setpoints."""
    registry = er.async_get(hass)
    absent = [
        (platform, description.key)
        for platform, descriptions in CONTROLS.items()
        for description in descriptions
        if controller.read_only or getattr(description, "phases", controller.phases) != controller.phases
    ]
    absent.append((Platform.SWITCH, "work_state"))  # of the first release; now two buttons
    for platform, key in absent:
        if entity_id := registry.async_get_entity_id(platform, DOMAIN, f"{entry.entry_id}_{key}"):
            registry.async_remove(entity_id)


async def async_unload_entry(hass: HomeAssistant, entry: RefuEssConfigEntry) -> bool:
    """End the lease and remove the entities; the link closes automatically."""
    await entry.runtime_data.commander.async_shut_down()
    if unloaded := await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        await entry.runtime_data.alarms.async_close()
    return unloaded


async def async_remove_entry(hass: HomeAssistant, entry: RefuEssConfigEntry) -> None:
    """Delete the issues and files of this ESS; a zero that could not be written stays an issue."""
    memory = Memory(hass, entry.entry_id)
    try:
        zero_owed = (await memory.async_load()).zero is not None
    except ConfigEntryError, ConfigEntryNotReady:  # unknown
        zero_owed = True
    async_delete_issues(hass, entry, zero_owed=zero_owed)
    await memory.async_remove()
    await AlarmMemory(hass, entry.entry_id).async_remove()
