"""Repair issues: what a person should decide or mend."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .ess import InverterStatusLayout

ISSUE_LAYOUT = "inverter_status_layout"
ISSUE_HOLDS_POWER = "holds_power"
ISSUE_OTHER_SETPOINTS = "other_setpoints"
ISSUE_FOREIGN_WRITER = "foreign_writer"
ISSUE_WRITE_FAILED = "write_failed"
EVERY_ISSUE = (
    ISSUE_LAYOUT,
    ISSUE_HOLDS_POWER,
    ISSUE_OTHER_SETPOINTS,
    ISSUE_FOREIGN_WRITER,
    ISSUE_WRITE_FAILED,
)


def issue_id(kind: str, entry: ConfigEntry) -> str:
    """Return the id of an issue of one ESS."""
    return f"{kind}_{entry.entry_id}"


@callback
def async_show_issue(hass: HomeAssistant, entry: ConfigEntry, kind: str, *, present: bool) -> None:
    """Show an issue that a person mends outside of Home Assistant, or take it back."""
    if present:
        _create(hass, entry, kind)
    else:
        ir.async_delete_issue(hass, DOMAIN, issue_id(kind, entry))


@callback
def async_show_layout_issue(hass: HomeAssistant, entry: ConfigEntry, suggested: InverterStatusLayout | None) -> None:
    """Say that the readings speak for another layout of InverterStatus, or that they no longer do."""
    if suggested is None:
        ir.async_delete_issue(hass, DOMAIN, issue_id(ISSUE_LAYOUT, entry))
    else:
        fix = {"layout": suggested.slug}
        _create(hass, entry, ISSUE_LAYOUT, translation_key=f"{ISSUE_LAYOUT}_{suggested.slug}", fix=fix)


@callback
def async_show_held_power(hass: HomeAssistant, entry: ConfigEntry, power_w: float) -> None:
    """Say that the device held a setpoint at start that nobody asked for, or that it no longer does."""
    if power_w == 0:
        ir.async_delete_issue(hass, DOMAIN, issue_id(ISSUE_HOLDS_POWER, entry))
    else:
        _create(hass, entry, ISSUE_HOLDS_POWER, fix={"power": f"{power_w:.0f}"})


@callback
def async_delete_issues(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Take everything back: the ESS is gone."""
    for kind in EVERY_ISSUE:
        ir.async_delete_issue(hass, DOMAIN, issue_id(kind, entry))


def _create(
    hass: HomeAssistant,
    entry: ConfigEntry,
    kind: str,
    *,
    translation_key: str | None = None,
    fix: dict[str, str] | None = None,
) -> None:
    """Create an issue; what `fix` holds goes to its flow and into its text."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id(kind, entry),
        data=None if fix is None else {"entry_id": entry.entry_id, **fix},
        is_fixable=fix is not None,
        severity=ir.IssueSeverity.WARNING,
        translation_key=translation_key or kind,
        translation_placeholders={"name": entry.title, **(fix or {})},
    )
