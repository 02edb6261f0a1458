"""Reads the same registers, to compare with: a naive coordinator, and the floor.

`coordinator`: Home Assistant's Modbus library, and entities that compare what they show before they write it.
`floor`: a bare socket, and only the entities of words that changed are called.
`library`: the floor over Home Assistant's Modbus library, with the two requests that this integration needs too.
"""

import asyncio
import logging
import struct
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import Platform
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.update_coordinator import CoordinatorEntity, DataUpdateCoordinator
from modbus_connection import ModbusTcpParams

from tests.benchmark.words import REQUESTS

READ_INPUT = 4
PLATFORMS = [Platform.SENSOR, Platform.BINARY_SENSOR]


class Socket(asyncio.Protocol):
    """The least that reads registers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin without a request."""
        self.transport: Any = transport
        self.buffer = b""
        self.answer: asyncio.Future[bytes]

    def data_received(self, data: bytes) -> None:
        """Hand over a complete answer."""
        self.buffer += data
        if len(self.buffer) > 6 and len(self.buffer) >= 6 + int.from_bytes(self.buffer[4:6]):
            frame, self.buffer = self.buffer, b""
            self.answer.set_result(frame)

    async def read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        """Read registers."""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(struct.pack(">HHHBBHH", 0, 0, 6, 1, function, address, count))
        return struct.unpack(f">{count}H", (await self.answer)[9:])


class Coordinator(DataUpdateCoordinator[defaultdict[int, int]]):
    """Reads everything, `library` the input registers only."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Poll as often as the entry says."""
        interval = timedelta(seconds=entry.options["interval"])
        super().__init__(hass, logging.getLogger(__name__), config_entry=entry, name="bench", update_interval=interval)
        self.mode, self.port = entry.data["mode"], entry.data["port"]
        self.requests = REQUESTS if self.mode != "library" else tuple(one for one in REQUESTS if one[0] == READ_INPUT)
        self.by_word: defaultdict[int, list[CALLBACK_TYPE]] = defaultdict(list)
        self.changed: list[int] = []

    @override
    async def _async_setup(self) -> None:
        if self.mode == "floor":
            loop = asyncio.get_running_loop()
            _, link = await loop.create_connection(Socket, "127.0.0.1", self.port)
            self.read: Callable[..., Any] = link.read
            return
        from modbus_connection.pymodbus import ModbusConnection  # noqa: PLC0415 - the floor does without

        unit = ModbusConnection(ModbusTcpParams(host="127.0.0.1", port=self.port)).for_unit(1)

        async def read(function: int, address: int, count: int) -> list[int]:
            request = unit.read_input_registers if function == READ_INPUT else unit.read_holding_registers
            return await request(address, count)

        self.read = read

    @override
    async def _async_update_data(self) -> defaultdict[int, int]:
        new: defaultdict[int, int] = defaultdict(int)
        for function, first, count in self.requests:
            new.update(zip(range(first, first + count), await self.read(function, first, count), strict=True))
        old: dict[int, int] = self.data or {}
        self.changed = [address for address, word in new.items() if word != old.get(address)]
        return new

    @callback
    @override
    def async_update_listeners(self) -> None:
        if self.mode == "coordinator":
            super().async_update_listeners()
            return
        for address in self.changed:
            for write in self.by_word[address]:
                write()


class ReferenceEntity(CoordinatorEntity[Coordinator]):
    """An entity of one number or bit."""

    _attr_has_entity_name = True
    _last: object = None

    def __init__(self, coordinator: Coordinator, key: str, address: int, words: int = 1) -> None:
        """Show the words at this address, 0 until they are read."""
        super().__init__(coordinator)
        self.address, self.words = address, words
        self._attr_name, self._attr_unique_id = key, f"bench_{key}"
        self._attr_device_info = DeviceInfo(identifiers={("bench_reference", "bench")}, name="bench")
        for word in range(address, address + words):
            coordinator.by_word[word].append(self.async_write_ha_state)

    def shown(self) -> Any:
        """The value to show."""
        raise NotImplementedError

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        if (new := self.shown()) != self._last:
            self._last = new
            self.async_write_ha_state()


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
    """Read once and add the entities."""
    entry.runtime_data = Coordinator(hass, entry)
    await entry.runtime_data.async_config_entry_first_refresh()
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
    """Remove the entities, and with them the polls."""
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
