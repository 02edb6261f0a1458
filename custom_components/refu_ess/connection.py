"""The link to the device: a private pymodbus connection, or the one that Home Assistant shares between integrations."""

import logging
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from homeassistant.components.modbus import async_get_temporary_unit, async_get_unit
from homeassistant.components.modbus.connection import async_get_connection_info
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_DEVICE, CONF_HOST, CONF_PORT
from homeassistant.core import HomeAssistant
from modbus_connection import ModbusSerialParams, ModbusTcpParams, ModbusUnit
from modbus_connection.pymodbus import ModbusConnection
from pymodbus.logging import Log

from .const import (
    CONF_BAUDRATE,
    CONF_BYTESIZE,
    CONF_PARITY,
    CONF_SHARE_CONNECTION,
    CONF_STOPBITS,
    CONF_TRANSPORT,
    CONF_UNIT_ID,
    LINK_TIMEOUT_SECONDS,
    PARITIES,
    TRANSPORT_RTU_OVER_TCP,
    TRANSPORT_SERIAL,
    TRANSPORT_TCP,
)
from .ess import OWN_REQUEST, GuardLink

type ModbusParams = ModbusTcpParams | ModbusSerialParams

TOLD_BY_ERRORS = (
    "Failed to connect",
    "No response received",
    "Cancel send",
    "Not connected",
    "Repeating",
    "Invalid Modbus protocol id",
    "ERROR: request ask for",
    "ERROR: received pdu",
    "ERROR: No response",
)
"""Log messages of pymodbus about a single request to a lost or disturbed device, with its last frames.

Each of our requests that fails reaches us as an error, which the coordinator logs once.
"""


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a pymodbus message is logged: every one that is not about one of our own requests.

    pymodbus names no endpoint in these lines and has one logger for all clients, so the context decides: our requests
    mark theirs, and the callbacks of the connection that they open run in a copy of it.
    """
    if not OWN_REQUEST.get() or not record.getMessage().startswith(TOLD_BY_ERRORS):
        return True
    # pymodbus replaces a line by "Repeating...." and then by nothing if it equals the last one of any client. A line
    # that was not seen must not count for that, or the next one of another integration would be lost.
    Log.last_log_text, Log.repeat_log = "", False
    return False


logging.getLogger("pymodbus.logging").addFilter(_is_news)

RTU_OVER_TCP_BAUDRATE = 115200  # no effect on a socket, but compared by the shared link


def endpoint(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the identity of the other end of the wire, the same for every framing on it."""
    if data[CONF_TRANSPORT] == TRANSPORT_SERIAL:
        return (data[CONF_DEVICE],)
    return (data[CONF_HOST].lower(), str(data[CONF_PORT]))


def is_shared(data: Mapping[str, Any]) -> bool:
    """Return whether the link is the one that Home Assistant shares."""
    return bool(data[CONF_SHARE_CONNECTION])


def is_numbered(data: Mapping[str, Any]) -> bool:
    """Return whether each answer on this link names its request, as Modbus TCP has it and serial frames do not."""
    return bool(data[CONF_TRANSPORT] == TRANSPORT_TCP)


def modbus_params(data: Mapping[str, Any]) -> ModbusParams:
    """Return the link settings in the terms of the Modbus library."""
    if data[CONF_TRANSPORT] == TRANSPORT_SERIAL:
        return ModbusSerialParams(
            device=data[CONF_DEVICE],
            baudrate=data[CONF_BAUDRATE],
            bytesize=data[CONF_BYTESIZE],
            parity=PARITIES[data[CONF_PARITY]],
            stopbits=data[CONF_STOPBITS],
        )
    if data[CONF_TRANSPORT] == TRANSPORT_RTU_OVER_TCP:
        if is_shared(data):
            host = f"[{data[CONF_HOST]}]" if ":" in data[CONF_HOST] else data[CONF_HOST]
            return ModbusSerialParams(
                device=f"socket://{host.lower()}:{data[CONF_PORT]}", baudrate=RTU_OVER_TCP_BAUDRATE
            )
        # The library prefers a socket:// device, but pyserial opens it in the event loop and blocks it for seconds
        # while the host does not respond.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            return ModbusTcpParams(host=data[CONF_HOST], port=data[CONF_PORT], framer="rtu")
    return ModbusTcpParams(host=data[CONF_HOST], port=data[CONF_PORT])


def guard_link(data: Mapping[str, Any]) -> GuardLink:
    """Return the link settings for a separate process.

    It has no part in Home Assistant's shared links, so the settings are those of a private one.
    """
    params = modbus_params({**data, CONF_SHARE_CONNECTION: False})
    return GuardLink(params=params, unit_id=data[CONF_UNIT_ID], timeout_s=LINK_TIMEOUT_SECONDS)


def async_open_unit(hass: HomeAssistant, entry: ConfigEntry[Any]) -> ModbusUnit:
    """Return the entry's unit on a link that closes when the entry unloads. Nothing is sent yet.

    Raises `HomeAssistantError` if Home Assistant's link to that endpoint has other settings.
    """
    params, unit_id = modbus_params(entry.data), entry.data[CONF_UNIT_ID]
    if is_shared(entry.data):
        unit = async_get_unit(hass, entry, params, unit_id)
        unit.require_timeout(LINK_TIMEOUT_SECONDS)
        return unit
    connection = ModbusConnection(params, timeout=LINK_TIMEOUT_SECONDS)
    entry.async_on_unload(connection.close)
    return connection.for_unit(unit_id)


@asynccontextmanager
async def async_open_temporary_unit(hass: HomeAssistant, data: Mapping[str, Any]) -> AsyncIterator[ModbusUnit]:
    """Provide a unit for the duration of the context, before there is an entry.

    Raises `HomeAssistantError` if Home Assistant's link to that endpoint has other settings.
    """
    params, unit_id = modbus_params(data), data[CONF_UNIT_ID]
    if is_shared(data):
        async with async_get_temporary_unit(hass, params, unit_id) as unit:
            yield unit
        return
    connection = ModbusConnection(params, timeout=LINK_TIMEOUT_SECONDS)
    try:
        yield connection.for_unit(unit_id)
    finally:
        await connection.close()


def used_by_other_entry(hass: HomeAssistant, data: Mapping[str, Any], exclude_entry_id: str | None) -> bool:
    """Return whether Home Assistant keeps a link to this endpoint for another config entry."""
    wanted = modbus_params({**data, CONF_SHARE_CONNECTION: True}).endpoint
    return any(
        info.endpoint == wanted and set(info.units) - {exclude_entry_id} for info in async_get_connection_info(hass)
    )
