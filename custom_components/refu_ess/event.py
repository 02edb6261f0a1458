"""Events of alarms and commands, for the logbook and for automations."""

from dataclasses import dataclass
from typing import override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import Context, HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .alarm_memory import event_type
from .automations import REASONS
from .const import EVENT_LOGGED
from .coordinator import RefuEssConfigEntry
from .describe import ALARM_EVENT, RefuEssEntityDescription, RefuEssEventDescription
from .entity import RefuEssEntity, Shown
from .ess import AlarmChange, Event, EventKind, Part

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ControlEventDescription(RefuEssEntityDescription, EventEntityDescription):
    """Events of control."""


EVENTS = (
    ControlEventDescription(
        key="commands",
        translation_key="commands",
        event_types=[kind.value for kind in EventKind],
        part=Part.ESS,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the alarms, and the control events unless the entry is read-only."""
    async_add_entities([RefuEssAlarmEvent(entry.runtime_data, ALARM_EVENT)])
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities(RefuEssEvent(entry.runtime_data, description) for description in EVENTS)


class RefuEssEvent(RefuEssEntity, EventEntity):
    """Shows the latest event of control."""

    entity_description: ControlEventDescription

    @override
    def _read(self) -> Shown:
        return Shown(True)

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.commander.async_listen(self._report, early=True))

    @callback
    def _report(self, event: Event) -> None:
        # Else Home Assistant attributes what happens within seconds of a command to whoever gave it.
        context = self.coordinator.commander.context or Context()
        self.async_set_context(context)
        self._trigger_event(event.kind.value, dict(event.details))
        self.async_write_ha_state()
        if event.kind in REASONS:
            data = {ATTR_ENTITY_ID: self.entity_id, "event_type": event.kind, "reason": event.details["reason"]}
            self.hass.bus.async_fire(EVENT_LOGGED, data, context=context)


class RefuEssAlarmEvent(RefuEssEntity, EventEntity):
    """Shows the latest alarm that was raised or cleared."""

    entity_description: RefuEssEventDescription

    @override
    def _read(self) -> Shown:
        return Shown(True)

    @override
    def _look(self) -> Shown:
        # Alarms of one block are reported while the other block cannot be read.
        return Shown(any(self.coordinator.data.available(key) for key in self.entity_description.needs))

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.alarms.async_listen(self._report))

    @callback
    def _report(self, change: AlarmChange) -> None:
        data = self.coordinator.alarms.change_as_data(change)
        self._trigger_event(event_type(change), data)
        self.async_write_ha_state()
        told = {ATTR_ENTITY_ID: self.entity_id, "event_type": event_type(change)}
        self.hass.bus.async_fire(EVENT_LOGGED, told | {key: data[key] for key in ("key", "severity")})
