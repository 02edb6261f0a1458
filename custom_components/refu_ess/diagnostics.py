"""The diagnostics download: every word as the device sent it, its decoding, and the state of link and control.

It names no address and no ESS. `scripts/develop --replay` serves it as a device again.
"""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_DEVICE, CONF_HOST, __version__ as home_assistant_version
from homeassistant.core import HomeAssistant
from homeassistant.loader import async_get_integration
from homeassistant.util import dt as dt_util

from .alarm_texts import alarm_texts
from .commander import now
from .const import DOMAIN
from .coordinator import RefuEssConfigEntry, RefuEssCoordinator
from .ess import (
    BITS_BY_WORD,
    CHANNELS,
    CONDITIONS,
    INPUT_BLOCKS,
    SETTING_BLOCKS,
    ChannelEntry,
    Code,
    Moment,
    Picture,
    RefuEss,
)

TO_REDACT = {CONF_HOST, CONF_DEVICE}
NAME_OF_THE_ESS = "alias"
"""The key of the channel that holds it."""
SETTINGS = {address: entry for entry in CHANNELS if entry.block in SETTING_BLOCKS for address in entry.addresses}
"""By address; each is one register."""
LIBRARIES = ("modbus-connection", "pymodbus")


async def async_get_config_entry_diagnostics(hass: HomeAssistant, entry: RefuEssConfigEntry) -> dict[str, Any]:
    """Return the data of the last poll without reading the device. Times are in UTC."""
    at = now()
    about = {
        "made_at": _iso(at, at.monotonic),
        "versions": await _async_versions(hass),
        "entry": {"id": entry.entry_id}
        | async_redact_data({"data": dict(entry.data), "options": dict(entry.options)}, TO_REDACT),
        "state": entry.state.value,
        "reason": entry.error_reason_translation_key,
    }
    if entry.state is not ConfigEntryState.LOADED:
        return about  # nothing was read yet; the reason is what matters
    coordinator = entry.runtime_data
    device, picture = coordinator.device, coordinator.data
    channels = {}
    derived = {}
    for channel in CHANNELS:
        if channel.channel.table_name is not None:
            channels[channel.channel.table_name] = _channel(hass, picture, channel)
        else:
            derived[channel.key] = _plain(picture.values[channel.key])
    return about | {
        "poll": _poll(coordinator, at),
        "blocks": _blocks(device, at),
        **_registers(device),
        "channels": channels,
        "derived": derived,
        "conditions": {key: picture.values[key] for key in CONDITIONS},
        "alarms": coordinator.alarms.as_data(),
        "unknown_bits": {key: _hex(mask) for key, mask in device.unknown_bits.items()},
        "doubts": dict(device.plausibility.doubts),
        "inverter_status_layout": {
            "chosen": device.layout.chosen.slug,
            "suggested": None if picture.suggested_layout is None else picture.suggested_layout.slug,
        },
        "control": coordinator.commander.diagnostics(),
        "commands": _commands(coordinator, at),
        "last_writes": _last_writes(device, at),
        "link": _link(device, at),
    }


async def _async_versions(hass: HomeAssistant) -> dict[str, str]:
    integration = await async_get_integration(hass, DOMAIN)
    libraries = await hass.async_add_executor_job(lambda: {name: version(name) for name in LIBRARIES})
    return {DOMAIN: str(integration.version), "home_assistant": home_assistant_version, **libraries}


def _iso(at: Moment, then: float | None) -> str | None:
    """Return the time of day of `then`, in seconds of the monotonic clock."""
    if then is None:
        return None
    return dt_util.utc_from_timestamp(at.wall - at.monotonic + then).isoformat(timespec="milliseconds")


def _hex(word: int) -> str:
    return f"0x{word:04X}"


def _poll(coordinator: RefuEssCoordinator, at: Moment) -> dict[str, Any]:
    inputs = [coordinator.device.blocks[name] for name in INPUT_BLOCKS]
    error = None if coordinator.last_update_success else coordinator.last_exception
    return {
        "interval_s": None if coordinator.update_interval is None else coordinator.update_interval.total_seconds(),
        "successful": coordinator.last_update_success,
        "error": error and (getattr(error, "translation_key", None) or type(error).__name__),
        "last": _iso(at, max((block.asked_at for block in inputs if block.asked_at is not None), default=None)),
        "last_good": _iso(at, max((block.read_at for block in inputs if block.read_at is not None), default=None)),
    }


def _blocks(device: RefuEss, at: Moment) -> dict[str, Any]:
    return {
        name: {
            "available": block.available,
            "error": type(block.failure).__name__ if block.failure else None,
            "read_at": _iso(at, block.read_at),
        }
        for name, block in device.blocks.items()
    }


def _registers(device: RefuEss) -> dict[str, Any]:
    """Return the words by address, the undeclared ones too; apart from them, the last of what cannot be read now."""
    found: dict[str, dict[str, dict[str, str]]] = {
        kind: {"input": {}, "holding": {}} for kind in ("registers", "stale_registers")
    }
    pieces = [piece for block in device.blocks.values() for piece in block.pieces]
    for piece in sorted(pieces, key=lambda piece: piece.address):
        kind, table = "registers" if piece.available else "stale_registers", "holding" if piece.holding else "input"
        found[kind][table] |= {_hex(address): _hex(word) for address, word in enumerate(piece.words, piece.address)}
    return found


def _plain(value: Any) -> Any:
    return value.label if isinstance(value, Code) else value


def _channel(hass: HomeAssistant, picture: Picture, channel: ChannelEntry) -> dict[str, Any]:
    """Return one channel, with the key of the entity that shows it and the registers that it is read from."""
    found: dict[str, Any] = {
        "key": channel.key,
        "registers": [_hex(address) for address in channel.addresses],
        "value": REDACTED if channel.key == NAME_OF_THE_ESS else _plain(picture.values[channel.key]),
        "unit": channel.unit,
        "available": picture.available(channel.key),
    }
    if channel.key in BITS_BY_WORD:
        found["bits"] = [bit.bit.label for bit in BITS_BY_WORD[channel.key] if picture.values[bit.key]]
    if channel.channel.table_name == "Warning":
        found["bits"] = alarm_texts(hass, picture.alarms)
    return found


def _commands(coordinator: RefuEssCoordinator, at: Moment) -> list[dict[str, Any]]:
    """Return the latest events of control, the newest first."""
    return [
        {"at": _iso(at, moment.monotonic), "event": event.kind.value, **event.details}
        for moment, event in reversed(coordinator.commander.history)
    ]


def _last_writes(device: RefuEss, at: Moment) -> list[dict[str, Any]]:
    """Return the latest writes, the newest first."""
    return [
        {
            "address": _hex(write.address),
            "words": [_hex(word) for word in write.words],
            "values": dict(_written(address, word) for address, word in enumerate(write.words, write.address)),
            "outcome": write.outcome,
            "count": write.count,
            "first": _iso(at, write.first_at),
            "last": _iso(at, write.last_at),
        }
        for write in sorted(device.unit.writes, key=lambda write: write.last_at, reverse=True)
    ]


def _written(address: int, word: int) -> tuple[str, str]:
    """Return the key of a setting, and the value that a word means for it."""
    setting = SETTINGS[address]
    value = _plain(setting.decode([word]))
    return setting.key, f"{value} {setting.unit or ''}".rstrip()


def _link(device: RefuEss, at: Moment) -> dict[str, Any]:
    statistics = device.unit.statistics
    times = statistics.answer_times
    return {
        "since": _iso(at, statistics.since),
        "connected": device.unit.connected,
        "requests": statistics.requests,
        "reconnects": statistics.reconnects,
        "last_reconnect": _iso(at, statistics.reconnected_at),
        "errors": dict(statistics.errors),
        "last_error": _iso(at, statistics.failed_at),
        "answer_times": None if times is None else {key: round(value, 4) for key, value in asdict(times).items()},
    }
