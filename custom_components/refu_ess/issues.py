"""Repair issues: what a person should decide or mend."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .ess import InverterStatusLayout

ISSUE_LAYOUT = "inverter_status_layout"


@callback
def async_show_layout_issue(hass: HomeAssistant, entry: ConfigEntry, suggested: InverterStatusLayout | None) -> None:
    """Say that the readings speak for another layout of InverterStatus, or that they no longer do."""
    issue_id = f"{ISSUE_LAYOUT}_{entry.entry_id}"
    if suggested is None:
        ir.async_delete_issue(hass, DOMAIN, issue_id)
        return
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id,
        data={"entry_id": entry.entry_id, "layout": suggested.slug},
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key=f"{ISSUE_LAYOUT}_{suggested.slug}",
        translation_placeholders={"name": entry.title},
    )
