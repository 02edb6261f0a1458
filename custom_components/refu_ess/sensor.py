"""Sensors: the channels and the derived values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .alarm_texts import alarm_texts
from .commander import Commander
from .coordinator import RefuEssConfigEntry
from .describe import BY_UNIT, SENSORS, RefuEssEntityDescription, RefuEssSensorDescription
from .entity import RefuEssEntity, Shown
from .ess import Code, Limit, Part

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ControlSensorDescription(RefuEssEntityDescription, SensorEntityDescription):
    """A value of control."""

    part: Part = Part.ESS
    value_fn: Callable[[Commander], Any]


CONTROL_SENSORS = (
    ControlSensorDescription(
        key="applied_active_power",
        translation_key="applied_active_power",
        value_fn=lambda commander: commander.applied_w,
        **BY_UNIT["W"],
    ),
    ControlSensorDescription(
        key="binding_limit",
        translation_key="binding_limit",
        device_class=SensorDeviceClass.ENUM,
        options=[limit.value for limit in Limit],
        value_fn=lambda commander: commander.controller.limit.value,
    ),
    ControlSensorDescription(
        key="lease_end",
        translation_key="lease_end",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda commander: commander.lease_end,
    ),
    ControlSensorDescription(
        key="next_error_reset",
        translation_key="next_error_reset",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda commander: commander.next_reset,
        entity_category=EntityCategory.DIAGNOSTIC,
    ),
    ControlSensorDescription(
        key="error_resets",
        translation_key="error_resets",
        state_class=SensorStateClass.TOTAL_INCREASING,
        value_fn=lambda commander: commander.controller.resetting.resets.count,
        entity_category=EntityCategory.DIAGNOSTIC,
    ),
)


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

    _unrecorded_attributes = frozenset({"alarms", "since"})
    entity_description: RefuEssSensorDescription

    @override
    def _read(self) -> Shown:
        picture, key = self.coordinator.data, self.entity_description.key
        value = picture.values[key]
        if isinstance(value, Code):
            return Shown(True, value.slug, {"code": int(value)})
        if key in picture.codes:  # a code that no source names is unknown, but can still be seen
            return Shown(True, None, {"code": picture.codes[key]})
        if key == "active_alarms":
            texts = alarm_texts(self.coordinator.hass, picture.alarms)
            keys = [alarm.key for alarm in picture.alarms]
            since = self.coordinator.alarms.since(keys)
            return Shown(True, value, {"alarms": texts, "alarm_keys": keys, "since": since})
        if self.entity_description.entry.is_word and value is not None:  # as the codes of manuals are written
            return Shown(True, value, {"hex": f"0x{value:04X}"})
        return Shown(True, value)

    @property
    @override
    def native_value(self) -> Any:
        return self._shown.value


class RefuEssControlSensor(RefuEssEntity, SensorEntity):
    """A value of control."""

    entity_description: ControlSensorDescription

    @override
    def _read(self) -> Shown:
        return Shown(True, self.entity_description.value_fn(self.coordinator.commander))

    @property
    @override
    def native_value(self) -> Any:
        return self._shown.value
