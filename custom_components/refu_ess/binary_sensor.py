"""Binary sensors: every labelled bit, and the summary conditions."""

from dataclasses import dataclass
from typing import override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RefuEssConfigEntry
from .describe import BINARY_SENSORS, RefuEssBinarySensorDescription, RefuEssEntityDescription
from .entity import RefuEssEntity, Shown
from .ess import Part, Severity

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ConnectionDescription(RefuEssEntityDescription, BinarySensorEntityDescription):
    """The connection to the device."""


CONNECTION = ConnectionDescription(
    key="connection",
    translation_key="connection",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
    part=Part.ESS,
    needs=("system_state", "soc"),
)
"""It needs a channel of each input block: the device is connected if it answers either."""


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add every bit except those of battery groups that are not installed."""
    coordinator = entry.runtime_data
    async_add_entities(
        RefuEssBinarySensor(coordinator, description)
        for description in BINARY_SENSORS
        if (description.group or 0) <= coordinator.device.site.battery_groups
    )
    async_add_entities([RefuEssConnection(coordinator, CONNECTION)])


class RefuEssBinarySensor(RefuEssEntity, BinarySensorEntity):
    """A bit or a condition."""

    _unrecorded_attributes = frozenset({"label"})
    entity_description: RefuEssBinarySensorDescription

    @override
    def _read(self) -> Shown:
        description = self.entity_description
        value: bool | None = self.coordinator.data.values[description.key]
        if (entry := description.entry) is None:
            return Shown(True, value)
        if entry.bit.severity is Severity.READY and value is not None:
            value = not value
        return Shown(True, value, {"label": entry.bit.label})

    @property
    @override
    def is_on(self) -> bool | None:
        value: bool | None = self._shown.value
        return value


class RefuEssConnection(RefuEssEntity, BinarySensorEntity):
    """The connection to the device. It is always available, so that automations can alert on it."""

    entity_description: ConnectionDescription

    @override
    def _look(self) -> Shown:
        return self._read()

    @override
    def _read(self) -> Shown:
        return Shown(True, any(map(self.coordinator.data.available, self.entity_description.needs)))

    @property
    @override
    def is_on(self) -> bool | None:
        value: bool | None = self._shown.value
        return value
