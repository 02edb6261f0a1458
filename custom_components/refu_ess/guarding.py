"""The guard process of one ESS: how it reaches the device, and the report that it leaves."""

import logging
from collections.abc import Callable
from pathlib import Path

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from .connection import guard_link
from .const import DOMAIN
from .ess import Guard, Guardian, GuardReport, NoGuard, delete_report, read_report
from .options import guard_wanted

_LOGGER = logging.getLogger(__name__)


def report_path(hass: HomeAssistant, entry_id: str) -> Path:
    """The file in which the guard of an entry reports, beside the record."""
    return Path(hass.config.path(".storage", f"{DOMAIN}.{entry_id}.guard"))


def guard_of(
    hass: HomeAssistant, entry: ConfigEntry, *, per_phase: bool, on_acted: Callable[[GuardReport], None]
) -> Guard:
    """Return the guard of an entry; it opens a connection of its own when it has to act."""
    if not guard_wanted(entry):
        return NoGuard()
    return Guardian(
        guard_link(entry.data), per_phase=per_phase, report_path=report_path(hass, entry.entry_id), on_acted=on_acted
    )


async def async_take_report(hass: HomeAssistant, entry_id: str) -> GuardReport | None:
    """Return the report of a guard that acted in an earlier run, and delete it."""
    path = report_path(hass, entry_id)

    def take() -> GuardReport | None:
        report = read_report(path)
        if report is None and path.exists():
            _LOGGER.warning("A guard process acted in an earlier run, but its report %s makes no sense", path)
        delete_report(path)
        return report

    return await hass.async_add_executor_job(take)
