"""Triggers: an alarm was raised or cleared; a setpoint ended, was not delivered; a command was refused."""

from collections.abc import Mapping
from typing import ClassVar, override

import voluptuous as vol
from homeassistant.components.event import DOMAIN as EVENT_DOMAIN
from homeassistant.const import CONF_OPTIONS
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers.automation import DomainSpec
from homeassistant.helpers.trigger import (
    ENTITY_STATE_TRIGGER_SCHEMA,
    NotTriggeredReasonReporter,
    StatelessEntityTriggerBase,
    Trigger,
    TriggerConfig,
)

from .automations import (
    ALARM_EVENTS_KEY,
    ALARM_FIELDS,
    COMMAND_EVENTS_KEY,
    COMMAND_TRIGGERS,
    fields_schema,
    own_entities,
)
from .describe import ALARM_CLEARED, ALARM_RAISED

ATTRIBUTES = {"alarm": "key"}
"""The attributes of the events that fields compare with, where they differ from the field's name."""
EVENTS = {EVENT_DOMAIN: DomainSpec()}


class EventTrigger(StatelessEntityTriggerBase):
    """Fires on the events of one type of one event entity of each targeted ESS."""

    _domain_specs = EVENTS
    _entity_key: ClassVar[str]
    _event_type: ClassVar[str]

    def __init__(self, hass: HomeAssistant, config: TriggerConfig) -> None:
        """Narrow the trigger down to the chosen options."""
        super().__init__(hass, config)
        self._wanted: dict[str, list[str]] = {field: wanted for field, wanted in self._options.items() if wanted}

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        return own_entities(self._hass, super().entity_filter(entities), self._entity_key)

    @override
    def is_valid_state(self, state: State, report_not_triggered: NotTriggeredReasonReporter) -> bool:
        if state.attributes.get("event_type") != self._event_type:
            return False
        for field, wanted in self._wanted.items():
            found = state.attributes.get(ATTRIBUTES.get(field, field))
            if found not in wanted:
                report_not_triggered(f"other_{field}", found=found, wanted=wanted)
                return False
        return True


def _trigger(entity_key: str, event_type: str, fields: Mapping[str, str]) -> type[EventTrigger]:
    class Specific(EventTrigger):
        _entity_key = entity_key
        _event_type = event_type
        _schema = ENTITY_STATE_TRIGGER_SCHEMA.extend(
            {vol.Required(CONF_OPTIONS, default={}): fields_schema(fields)},
        )

    return Specific


TRIGGERS: Mapping[str, type[Trigger]] = {
    "alarm_raised": _trigger(ALARM_EVENTS_KEY, ALARM_RAISED, ALARM_FIELDS),
    "alarm_cleared": _trigger(ALARM_EVENTS_KEY, ALARM_CLEARED, ALARM_FIELDS),
    **{key: _trigger(COMMAND_EVENTS_KEY, kind.value, fields) for key, (kind, fields) in COMMAND_TRIGGERS.items()},
}


async def async_get_triggers(hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers."""
    return dict(TRIGGERS)
