"""The one text of an alarm, in Home Assistant's language: that of *Most severe alarm*, which names battery groups."""

from collections.abc import Iterable
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations, async_get_translations

from .const import DOMAIN
from .describe import alarm_names
from .ess import ALARMS, BitEntry, InverterStatusLayout, effective_severity

_PREFIX = f"component.{DOMAIN}.entity.sensor.most_severe_alarm.state"
_ENGLISH = alarm_names()
_BY_KEY = {entry.key: entry for entry in ALARMS}


async def async_load_texts(hass: HomeAssistant) -> None:
    """Load the texts; Home Assistant loads those of entities itself when its language changes."""
    for category in ("entity", "selector"):
        await async_get_translations(hass, hass.config.language, category, {DOMAIN})


@callback
def alarm_texts(hass: HomeAssistant, entries: Iterable[BitEntry]) -> list[str]:
    """Return what is wrong while these alarms are active."""
    found = async_get_cached_translations(hass, hass.config.language, "entity", DOMAIN)
    return [found.get(f"{_PREFIX}.{entry.key}", _ENGLISH[entry.key]) for entry in entries]


@callback
def alarm_text(hass: HomeAssistant, key: str) -> str:
    """Return what is wrong while this alarm is active."""
    return alarm_texts(hass, [_BY_KEY[key]])[0]


@callback
def alarm_facts(hass: HomeAssistant, key: str, layout: InverterStatusLayout) -> dict[str, Any]:
    """Return what is known of an alarm whether it is active or not."""
    entry = _BY_KEY[key]
    return {
        "key": key,
        "text": alarm_text(hass, key),
        "label": entry.bit.label,
        "severity": effective_severity(entry).value,
        "category": entry.bit.category.value,
        "battery_group": entry.bit.group,
        "word": entry.word.channel.table_name,
        "bit": entry.field.start - (layout if entry.bit.depends_on_layout else 0),
    }
