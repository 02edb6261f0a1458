"""The diagnostics download: all readings, as words and as values, and statistics of the link."""

from typing import Any

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_DEVICE, CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .alarm_texts import alarm_texts
from .coordinator import RefuEssConfigEntry
from .ess import BITS_BY_WORD, CHANNELS, CONDITIONS, ChannelEntry, Code, Picture

TO_REDACT = {CONF_HOST, CONF_DEVICE}
SHOW_ALARMS = ("fault", "warning", "active_alarms", "most_severe_alarm")
"""The entities that show the channel `Warning`."""


async def async_get_config_entry_diagnostics(hass: HomeAssistant, entry: RefuEssConfigEntry) -> dict[str, Any]:
    """Return the data of the last poll without reading the device."""
    about = {
        "entry": async_redact_data({"data": dict(entry.data), "options": dict(entry.options)}, TO_REDACT),
        "state": entry.state.value,
        "reason": entry.error_reason_translation_key,
    }
    if entry.state is not ConfigEntryState.LOADED:
        return about  # nothing was read yet; the reason is what matters
    device, picture = entry.runtime_data.device, entry.runtime_data.data
    registry = er.async_get(hass)
    entities = {
        registered.unique_id.removeprefix(f"{entry.entry_id}_"): registered.entity_id
        for registered in er.async_entries_for_config_entry(registry, entry.entry_id)
    }
    channels = {}
    derived = {}
    for channel in CHANNELS:
        if channel.channel.channel is not None:
            channels[channel.channel.channel] = _channel(hass, picture, channel, entities)
        else:
            derived[channel.key] = _plain(picture.values[channel.key])
    statistics = device.unit.statistics
    return about | {
        "channels": channels,
        "derived": derived,
        "conditions": {key: picture.values[key] for key in CONDITIONS},
        "alarms": entry.runtime_data.alarms.as_data(),
        "unknown_bits": {key: f"0x{mask:04X}" for key, mask in device.unknown_bits.items()},
        "doubts": dict(device.plausibility.doubts),
        "inverter_status_layout": {
            "chosen": device.layout.chosen.slug,
            "suggested": None if picture.suggested_layout is None else picture.suggested_layout.slug,
        },
        "blocks": {
            name: {"available": block.available, "error": type(block.failure).__name__ if block.failure else None}
            for name, block in device.blocks.items()
        },
        "control": entry.runtime_data.commander.diagnostics(),
        "link": {
            "requests": statistics.requests,
            "reconnects": statistics.reconnects,
            "errors": dict(statistics.errors),
            "connected": device.unit.connected,
        },
    }


def _plain(value: Any) -> Any:
    return value.label if isinstance(value, Code) else value


def _raw(picture: Picture, channel: ChannelEntry) -> list[int]:
    """Return the words of a channel's last good reading; empty if there are none."""
    if channel.block is None or channel.field is None:
        return []
    words = picture.words[channel.block]
    return [
        words[address]
        for address in range(channel.field.address, channel.field.address + channel.field.count)
        if address in words
    ]


def _channel(hass: HomeAssistant, picture: Picture, channel: ChannelEntry, entities: dict[str, str]) -> dict[str, Any]:
    """Return one channel and the entities that show it."""
    shown_by = [channel.key, *(bit.key for bit in BITS_BY_WORD.get(channel.key, ()))]
    if channel.channel.channel == "Warning":
        shown_by = list(SHOW_ALARMS)
    found: dict[str, Any] = {
        "raw": _raw(picture, channel),
        "value": _plain(picture.values[channel.key]),
        "unit": channel.unit,
        "available": picture.available(channel.key),
        "entities": [entities[key] for key in shown_by if key in entities],
    }
    if channel.key in BITS_BY_WORD:
        found["bits"] = [bit.bit.label for bit in BITS_BY_WORD[channel.key] if picture.values[bit.key]]
    if channel.channel.channel == "Warning":
        found["bits"] = alarm_texts(hass, picture.alarms)
    return found
