"""Numbers: the configured channels. Setting one writes nothing to the device."""

from typing import override

from homeassistant.components.number import NumberEntity
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RefuEssConfigEntry
from .describe import NUMBERS, RefuEssNumberDescription
from .entity import RefuEssEntity, Shown

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the configured channels."""
    async_add_entities(RefuEssNumber(entry.runtime_data, description) for description in NUMBERS)


class RefuEssNumber(RefuEssEntity, NumberEntity):
    """A configured channel, kept as an option of the config entry."""

    entity_description: RefuEssNumberDescription

    @override
    def _read(self) -> Shown:
        return Shown(True, self.coordinator.device.value(self.entity_description.entry))

    @property
    @override
    def native_value(self) -> float | None:
        value: float | None = self._shown.value
        return value

    @override
    async def async_set_native_value(self, value: float) -> None:
        self.coordinator.async_change_site(self.entity_description.key, int(value))
