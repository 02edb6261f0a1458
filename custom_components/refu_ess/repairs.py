"""The fix of the repair issue about the layout of InverterStatus."""

from typing import cast

import voluptuous as vol
from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.core import HomeAssistant

from .const import CONF_INVERTER_STATUS_LAYOUT


class LayoutRepairFlow(RepairsFlow):
    """Switches to the layout that the readings speak for."""

    def __init__(self, entry_id: str, layout: str) -> None:
        """Take the entry to change and the layout to give it."""
        self._entry_id = entry_id
        self._layout = layout

    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Ask first."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Change the option and reload."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if entry is None:
            return self.async_abort(reason="entry_removed")
        if user_input is None:
            return self.async_show_form(
                step_id="confirm", data_schema=vol.Schema({}), description_placeholders={"name": entry.title}
            )
        self.hass.config_entries.async_update_entry(
            entry, options={**entry.options, CONF_INVERTER_STATUS_LAYOUT: self._layout}
        )
        self.hass.config_entries.async_schedule_reload(self._entry_id)
        return self.async_create_entry(data={})


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow of the only fixable issue."""
    details = cast("dict[str, str]", data)
    return LayoutRepairFlow(details["entry_id"], details["layout"])
