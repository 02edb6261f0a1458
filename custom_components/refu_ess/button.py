"""Buttons: release the setpoint, reset an error."""

from typing import override

from homeassistant.components.button import ButtonEntity
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .controls import BUTTONS, ControlButtonDescription
from .coordinator import RefuEssConfigEntry
from .entity import RefuEssEntity, Shown
from .errors import translated

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the buttons, unless everything is read-only."""
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities(RefuEssButton(entry.runtime_data, description) for description in BUTTONS)


class RefuEssButton(RefuEssEntity, ButtonEntity):
    """Something to do once."""

    entity_description: ControlButtonDescription

    @override
    def _read(self) -> Shown:
        return Shown(True)

    @override
    async def async_press(self) -> None:
        commander = self.coordinator.commander
        with translated():
            if self.entity_description.key == "reset_error":
                await commander.async_reset_error(forced=False)
            else:
                await commander.async_release()
