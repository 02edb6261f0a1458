"""The diagnostics download: everything that was read, as words and as values, and how the link is doing."""

from dataclasses import asdict
from typing import Any

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_DEVICE, CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .coordinator import RefuEssConfigEntry
from .ess import BITS_BY_WORD, CHANNELS, CONDITIONS, ChannelEntry, Code, RefuEss

TO_REDACT = {CONF_HOST, CONF_DEVICE}
SHOW_ALARMS = ("fault", "warning", "active_alarms", "most_severe_alarm")
"""The entities that show the channel `Warning`."""


async def async_get_config_entry_diagnostics(hass: HomeAssistant, entry: RefuEssConfigEntry) -> dict[str, Any]:
    """Return what the last poll brought; nothing is read for it."""
    about = {
        "entry": async_redact_data({"data": dict(entry.data), "options": dict(entry.options)}, TO_REDACT),
        "state": entry.state.value,
        "reason": entry.error_reason_translation_key,
    }
    if entry.state is not ConfigEntryState.LOADED:
        return about  # nothing was ever read, and why is what people want to know
    device = entry.runtime_data.device
    registry = er.async_get(hass)
    entities = {
        registered.unique_id.removeprefix(f"{entry.entry_id}_"): registered.entity_id
        for registered in er.async_entries_for_config_entry(registry, entry.entry_id)
    }
    channels = {}
    derived = {}
    for channel in CHANNELS:
        if channel.channel.channel is not None:
            channels[channel.channel.channel] = _channel(device, channel, entities)
        else:
            derived[channel.key] = _plain(device.value(channel))
    statistics = device.unit.statistics
    return about | {
        "channels": channels,
        "derived": derived,
        "conditions": {key: device.condition(key) for key in CONDITIONS},
        "unknown_bits": {key: f"0x{mask:04X}" for key, mask in device.unknown_bits.items()},
        "doubts": dict(device.plausibility.doubts),
        "inverter_status_layout": {
            "chosen": device.layout.chosen.slug,
            "suggested": None if device.suggested_layout is None else device.suggested_layout.slug,
        },
        "blocks": {
            name: {"available": block.available, "error": type(block.failure).__name__ if block.failure else None}
            for name, block in device.blocks.items()
        },
        "control": entry.runtime_data.commander.diagnostics(),
        "link": {**asdict(statistics), "errors": dict(statistics.errors), "connected": device.unit.connected},
    }


def _plain(value: Any) -> Any:
    return value.label if isinstance(value, Code) else value


def _channel(device: RefuEss, channel: ChannelEntry, entities: dict[str, str]) -> dict[str, Any]:
    """Return one channel with all that shows it."""
    shown_by = [channel.key, *(bit.key for bit in BITS_BY_WORD.get(channel.key, ()))]
    if channel.channel.channel == "Warning":
        shown_by = list(SHOW_ALARMS)
    found: dict[str, Any] = {
        "raw": device.words(channel),
        "value": _plain(device.value(channel)),
        "unit": channel.unit,
        "available": device.available(channel.needs),
        "entities": [entities[key] for key in shown_by if key in entities],
    }
    if channel.key in BITS_BY_WORD:
        found["bits"] = [bit.bit.text for bit in BITS_BY_WORD[channel.key] if device.bit(bit)]
    if channel.channel.channel == "Warning":
        found["bits"] = [alarm.bit.text for alarm in device.active_alarms]
    return found
