"""The choices that narrow triggers and conditions down; their lists in the editor are generated from these."""

from collections.abc import Mapping
from typing import Any

import voluptuous as vol
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv, entity_registry as er

from .const import DOMAIN
from .ess import ALARMS, REFUSES, Category, End, EventKind, Limit, Refusal, effective_severity

ALARM_EVENTS_KEY = "alarms"
COMMAND_EVENTS_KEY = "commands"
ACTIVE_ALARMS_KEY = "active_alarms"
BINDING_LIMIT_KEY = "binding_limit"
"""The entities that triggers and conditions look at, by their translation key."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "severity": tuple(dict.fromkeys(effective_severity(entry).value for entry in ALARMS)),
    "category": tuple(category.value for category in Category),
    "alarm": tuple(entry.key for entry in ALARMS),
    "end_reason": tuple(sorted(End)),
    "refusal_reason": tuple(sorted({*(reason.value for reason in Refusal), *(limit.value for limit in REFUSES)})),
    "delivery_reason": (Limit.NOT_DELIVERED.value, Limit.REDUCED_BY_DEVICE.value),
}
"""The choices by the name of their list."""

ALARM_FIELDS = {"severity": "severity", "category": "category", "alarm": "alarm"}
"""The lists by the field that offers them."""

COMMAND_TRIGGERS: Mapping[str, tuple[EventKind, Mapping[str, str]]] = {
    "setpoint_ended": (EventKind.LEASE_ENDED, {"reason": "end_reason"}),
    "setpoint_not_delivered": (EventKind.NOT_DELIVERED, {"reason": "delivery_reason"}),
    "command_refused": (EventKind.REFUSED, {"reason": "refusal_reason"}),
    "other_system_took_over": (EventKind.FOREIGN_WRITER, {}),
}
"""The triggers of commands: the kind of event that each fires on, and the lists it can be narrowed down to."""

REASONS = {kind: fields["reason"] for kind, fields in COMMAND_TRIGGERS.values() if "reason" in fields}
"""The list of reasons by the kind of event that has one."""

NOTHING_HELD = frozenset({Limit.NOTHING_ASKED.value, Limit.ZERO_OWED.value})
"""The limits that are shown while no setpoint is held."""


def fields_schema(fields: Mapping[str, str]) -> dict[Any, Any]:
    """Return the options that narrow down, each a choice or several."""
    return {
        vol.Optional(field): vol.All(cv.ensure_list, [vol.In(OPTIONS[choices])]) for field, choices in fields.items()
    }


def own_entities(hass: HomeAssistant, entities: set[str], key: str) -> set[str]:
    """Return those entities that are ours and have this translation key: a domain is not specific enough."""
    registry = er.async_get(hass)
    return {
        entity_id
        for entity_id in entities
        if (entry := registry.async_get(entity_id)) and entry.platform == DOMAIN and entry.translation_key == key
    }
