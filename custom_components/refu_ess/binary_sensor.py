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

    @property
    @override
    def _reachable(self) -> bool:
        if self.entity_description.entry is not None:
            return super()._reachable
        # An alarm of the block that was read must show although the other block was not.
        device = self.coordinator.device
        return any(device.available((block,)) for block in self.entity_description.needs)

    @override
    def _read(self) -> Shown:
        device, entry = self.coordinator.device, self.entity_description.entry
        if entry is None:
            return Shown(True, device.condition(self.entity_description.key))
        value = device.bit(entry)
        if entry.bit.severity is Severity.READY and value is not None:
            value = not value
        return Shown(True, value)

    @property
    @override
    def is_on(self) -> bool | None:
        value: bool | None = self._shown.value
        return value
