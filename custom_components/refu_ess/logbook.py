"""Lines of the logbook that say which alarm, and for what reason.

For an event entity the logbook shows the type of the event alone, in the language of whoever reads: "Alarm raised".
What else an event says comes from a bus event beside it, described here when the logbook is opened.
"""

from collections.abc import Callable, Mapping
from typing import Any

from homeassistant.components.logbook import LOGBOOK_ENTRY_ENTITY_ID, LOGBOOK_ENTRY_MESSAGE, LOGBOOK_ENTRY_NAME
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations

from .alarm_texts import alarm_text
from .automations import ALARM_EVENTS_KEY, COMMAND_EVENTS_KEY, REASONS
from .const import DOMAIN, EVENT_LOGGED


@callback
def async_describe_events(
    hass: HomeAssistant, async_describe_event: Callable[[str, str, Callable[[Event], dict[str, Any]]], None]
) -> None:
    """Describe the events that belong to event entities."""

    @callback
    def describe(event: Event) -> dict[str, Any]:
        entity_id = event.data[ATTR_ENTITY_ID]
        state = hass.states.get(entity_id)
        return {
            LOGBOOK_ENTRY_NAME: entity_id if state is None else state.name,
            LOGBOOK_ENTRY_MESSAGE: message(hass, event.data),
            LOGBOOK_ENTRY_ENTITY_ID: entity_id,
        }

    async_describe_event(DOMAIN, EVENT_LOGGED, describe)


@callback
def message(hass: HomeAssistant, data: Mapping[str, Any]) -> str:
    """Return what happened, in Home Assistant's language."""

    def translated(category: str, *path: str) -> str:
        found = async_get_cached_translations(hass, hass.config.language, category, DOMAIN)
        return found.get(".".join((f"component.{DOMAIN}.{category}", *path)), path[-1].replace("_", " "))

    def attribute(entity: str, name: str, value: str) -> str:
        return translated("entity", "event", entity, "state_attributes", name, "state", value)

    kind = data["event_type"]
    if (key := data.get("key")) is not None:
        severity = attribute(ALARM_EVENTS_KEY, "severity", data["severity"])
        return f"{attribute(ALARM_EVENTS_KEY, 'event_type', kind)}: {alarm_text(hass, key)} ({severity})"
    reason = translated("selector", REASONS[kind], "options", data["reason"])
    return f"{attribute(COMMAND_EVENTS_KEY, 'event_type', kind)}: {reason}"
