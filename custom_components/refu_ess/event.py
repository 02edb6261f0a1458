"""Event: what happens to commands, for the logbook and for automations."""

from typing import override

from homeassistant.components.event import EventEntity
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .controls import EVENT, ControlEventDescription
from .coordinator import RefuEssConfigEntry
from .entity import RefuEssEntity, Shown
from .ess import Event

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the event, unless everything is read-only."""
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities([RefuEssEvent(entry.runtime_data, EVENT)])


class RefuEssEvent(RefuEssEntity, EventEntity):
    """Tells what happened to commands."""

    entity_description: ControlEventDescription

    @override
    def _read(self) -> Shown:
        return Shown(True)

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.commander.async_listen(self._tell))
        if (interrupted := self.coordinator.commander.interrupted) is not None:
            self._tell(Event("lease_interrupted", interrupted))

    @callback
    def _tell(self, event: Event) -> None:
        self._trigger_event(event.kind, event.details)
        self.async_write_ha_state()
