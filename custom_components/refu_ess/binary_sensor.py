"""Binary sensors: every labelled bit, and the conditions that sum them up."""

from typing import override

from homeassistant.components.binary_sensor import BinarySensorEntity
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RefuEssConfigEntry
from .describe import BINARY_SENSORS, RefuEssBinarySensorDescription
from .entity import RefuEssEntity, Shown
from .ess import Severity

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add every bit, but none of a battery group that is not installed."""
    coordinator = entry.runtime_data
    async_add_entities(
        RefuEssBinarySensor(coordinator, description)
        for description in BINARY_SENSORS
        if (description.group or 0) <= coordinator.device.site.battery_groups
    )


class RefuEssBinarySensor(RefuEssEntity, BinarySensorEntity):
    """A bit or a condition."""

    entity_description: RefuEssBinarySensorDescription

    @override
    def _read(self) -> Shown:
        description = self.entity_description
        value: bool | None = self.coordinator.data.values[description.key]
        inverted = description.entry is not None and description.entry.bit.severity is Severity.READY
        return Shown(True, not value if inverted and value is not None else value)

    @property
    @override
    def is_on(self) -> bool | None:
        value: bool | None = self._shown.value
        return value
