"""The bits."""

from typing import override

from homeassistant.components.binary_sensor import BinarySensorEntity
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from tests.benchmark.words import FLAGS

from . import Coordinator, ReferenceEntity


class ReferenceBit(ReferenceEntity, BinarySensorEntity):
    """A bit."""

    def __init__(self, coordinator: Coordinator, key: str, address: int, bit: int) -> None:
        """Take the place of the bit."""
        super().__init__(coordinator, key, address)
        self.mask = 1 << bit

    @override
    def shown(self) -> bool:
        return bool(self.coordinator.data[self.address] & self.mask)

    @property
    @override
    def is_on(self) -> bool:
        return self.shown()


async def async_setup_entry(
    hass: HomeAssistant, entry: ConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add all bits."""
    async_add_entities(ReferenceBit(entry.runtime_data, *flag) for flag in FLAGS)
