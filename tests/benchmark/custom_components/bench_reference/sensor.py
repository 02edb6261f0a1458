"""The numbers."""

from typing import override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorStateClass
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from tests.benchmark.words import NUMBERS, Number

from . import Coordinator, ReferenceEntity

MEASURED = {"W": SensorDeviceClass.POWER, "A": SensorDeviceClass.CURRENT, "V": SensorDeviceClass.VOLTAGE}


class ReferenceSensor(ReferenceEntity, SensorEntity):
    """A number."""

    def __init__(self, coordinator: Coordinator, number: Number) -> None:
        """Take unit and scale."""
        super().__init__(coordinator, number.key, number.address, number.words)
        self.scale = number.scale
        if number.unit in MEASURED:
            self._attr_device_class = MEASURED[number.unit]
            self._attr_native_unit_of_measurement = number.unit
            self._attr_state_class = SensorStateClass.MEASUREMENT

    @override
    def shown(self) -> float:
        word = self.coordinator.data[self.address]
        if self.words > 1:
            return word + (self.coordinator.data[self.address + 1] << 16)
        return ((word ^ 0x8000) - 0x8000) * self.scale

    @property
    @override
    def native_value(self) -> float:
        return self.shown()


async def async_setup_entry(
    hass: HomeAssistant, entry: ConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add all numbers."""
    async_add_entities(ReferenceSensor(entry.runtime_data, number) for number in NUMBERS)
