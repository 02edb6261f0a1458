"""The one text of an alarm, in Home Assistant's language: that of *Most severe alarm*, which names battery groups."""

from collections.abc import Iterable
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations, async_get_translations

from .const import DOMAIN
from .describe import alarm_names
from .ess import ALARMS, BitEntry, InverterStatusLayout, counts_as

_PREFIX = f"component.{DOMAIN}.entity.sensor.most_severe_alarm.state"
_ENGLISH = alarm_names()
_BY_KEY = {entry.key: entry for entry in ALARMS}


async def async_load_texts(hass: HomeAssistant) -> None:
    """Load the texts; Home Assistant loads those of another language itself when it changes."""
    await async_get_translations(hass, hass.config.language, "entity", {DOMAIN})


@callback
def alarm_texts(hass: HomeAssistant, entries: Iterable[BitEntry]) -> list[str]:
    """Return what is wrong while these alarms are active."""
    found = async_get_cached_translations(hass, hass.config.language, "entity", DOMAIN)
    return [found.get(f"{_PREFIX}.{entry.key}", _ENGLISH[entry.key]) for entry in entries]


@callback
def alarm_facts(hass: HomeAssistant, key: str, layout: InverterStatusLayout) -> dict[str, Any]:
    """Return what is known of an alarm whether it is active or not."""
    entry = _BY_KEY[key]
    return {
        "key": key,
        "text": alarm_texts(hass, [entry])[0],
        "label": entry.bit.label,
        "severity": counts_as(entry).value,
        "category": entry.bit.category.value,
        "battery_group": entry.bit.group,
        "word": entry.word.channel.channel,
        "bit": entry.field.start - (layout if entry.bit.depends_on_layout else 0),
    }
