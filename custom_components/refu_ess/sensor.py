"""Sensors: the channels and the derived values."""

from typing import Any, override

from homeassistant.components.sensor import SensorEntity
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .controls import CONTROL_SENSORS, ControlSensorDescription
from .coordinator import RefuEssConfigEntry
from .describe import SENSORS, RefuEssSensorDescription
from .entity import RefuEssEntity, Shown
from .ess import Code

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add every channel."""
    coordinator = entry.runtime_data
    async_add_entities(RefuEssSensor(coordinator, description) for description in SENSORS)
    if not coordinator.commander.controller.read_only:
        async_add_entities(RefuEssControlSensor(coordinator, description) for description in CONTROL_SENSORS)


class RefuEssSensor(RefuEssEntity, SensorEntity):
    """A channel."""

    _unrecorded_attributes = frozenset({"alarms"})
    entity_description: RefuEssSensorDescription

    @override
    def _read(self) -> Shown:
        picture, key = self.coordinator.data, self.entity_description.key
        value = picture.values[key]
        if isinstance(value, Code):
            value = value.slug
        if key in picture.codes:  # a code that no source names is unknown, but can still be seen
            return Shown(True, value, {"code": picture.codes[key]})
        if key == "active_alarms":
            return Shown(True, value, {"alarms": [alarm.bit.text for alarm in picture.alarms]})
        return Shown(True, value)

    @property
    @override
    def native_value(self) -> Any:
        return self._shown.value


class RefuEssControlSensor(RefuEssEntity, SensorEntity):
    """What is commanded."""

    entity_description: ControlSensorDescription

    @override
    def _read(self) -> Shown:
        return Shown(True, self.entity_description.value_fn(self.coordinator.commander))

    @property
    @override
    def native_value(self) -> Any:
        return self._shown.value
