"""The guard process of one ESS: how it reaches the device, and the report that it leaves."""

from pathlib import Path

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from .connection import modbus_params
from .const import CONF_GUARD, CONF_SHARE_CONNECTION, CONF_UNIT_ID, DOMAIN, LINK_TIMEOUT_SECONDS
from .ess import Guard, Guardian, GuardLink, GuardReport, NoGuard, delete_report, read_report


def report_path(hass: HomeAssistant, entry_id: str) -> Path:
    """The file in which the guard of an entry reports, beside the record."""
    return Path(hass.config.path(".storage", f"{DOMAIN}.{entry_id}.guard"))


def guard_of(hass: HomeAssistant, entry: ConfigEntry, *, per_phase: bool) -> Guard:
    """Return the guard of an entry; it opens a connection of its own when it has to act."""
    if not entry.options.get(CONF_GUARD, True):
        return NoGuard()
    link = GuardLink(
        params=modbus_params({**entry.data, CONF_SHARE_CONNECTION: False}),
        unit_id=entry.data[CONF_UNIT_ID],
        timeout_s=LINK_TIMEOUT_SECONDS,
    )
    return Guardian(link, per_phase=per_phase, report_path=report_path(hass, entry.entry_id))


async def async_take_report(hass: HomeAssistant, entry_id: str) -> GuardReport | None:
    """Return the report of a guard that acted in an earlier run, and delete it."""
    path = report_path(hass, entry_id)

    def take() -> GuardReport | None:
        report = read_report(path)
        delete_report(path)
        return report

    return await hass.async_add_executor_job(take)
