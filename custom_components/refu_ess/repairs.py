"""Repair flows, each with a confirmation step."""

from abc import abstractmethod
from typing import Any, cast

import voluptuous as vol
from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError

from .const import CONF_INVERTER_STATUS_LAYOUT
from .coordinator import RefuEssConfigEntry
from .errors import translated


class FixFlow(RepairsFlow):
    """Asks for confirmation, then runs `_async_fix`."""

    def __init__(self, details: dict[str, str]) -> None:
        """Store the entry to fix, and the details of the issue."""
        self._details = details

    async def async_step_init(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Ask first."""
        return await self.async_step_confirm()

    async def async_step_confirm(self, user_input: dict[str, str] | None = None) -> RepairsFlowResult:
        """Fix it."""
        entry: RefuEssConfigEntry | None = self.hass.config_entries.async_get_entry(self._details["entry_id"])
        if entry is None:
            return self.async_abort(reason="entry_removed")
        if user_input is None:
            return self.async_show_form(
                step_id="confirm",
                data_schema=vol.Schema({}),
                description_placeholders={"name": entry.title, **self._details},
            )
        return await self._async_fix(entry)

    @abstractmethod
    async def _async_fix(self, entry: RefuEssConfigEntry) -> RepairsFlowResult:
        """Apply the fix."""


class LayoutFixFlow(FixFlow):
    """Switches to the layout that the readings suggest."""

    async def _async_fix(self, entry: RefuEssConfigEntry) -> RepairsFlowResult:
        self.hass.config_entries.async_update_entry(
            entry, options={**entry.options, CONF_INVERTER_STATUS_LAYOUT: self._details["layout"]}
        )
        self.hass.config_entries.async_schedule_reload(entry.entry_id)
        return self.async_create_entry(data={})


class HeldPowerFixFlow(FixFlow):
    """Writes zero to the setpoints at the user's request."""

    async def _async_fix(self, entry: RefuEssConfigEntry) -> RepairsFlowResult:
        if entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="write_failed")
        try:
            with translated():
                await entry.runtime_data.commander.async_release()
        except HomeAssistantError:
            return self.async_abort(reason="write_failed")
        return self.async_create_entry(data={})


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow of an issue."""
    details = cast("dict[str, Any]", data)
    return LayoutFixFlow(details) if "layout" in details else HeldPowerFixFlow(details)
