"""The record of what is owed, in Home Assistant's storage."""

from pathlib import Path
from typing import Any, override

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store

from .const import DOMAIN
from .ess import Record

STORAGE_VERSION = 2
"""Version 1 is that of the first release; the record reads both."""


class RecordStore(Store[dict[str, Any]]):
    """The file, readable only by Home Assistant."""

    @override
    async def _async_migrate_func(
        self, old_major_version: int, old_minor_version: int, old_data: dict[str, Any]
    ) -> dict[str, Any]:
        return old_data


class Memory:
    """Keeps the record on disk. It is written at once: a crash must find it."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Take the config entry that it belongs to."""
        self._hass = hass
        self._store = RecordStore(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}", private=True)

    async def async_load(self) -> Record:
        """Return the record of the last run; one that cannot be read stands for an unknown debt."""
        existed = await self._hass.async_add_executor_job(Path(self._store.path).exists)
        stored = await self._store.async_load()
        if isinstance(stored, dict):
            return Record.from_dict(stored)
        return Record(unknown_zero=existed)

    async def async_save(self, record: Record) -> None:
        """Write it now."""
        await self._store.async_save(record.as_dict())

    async def async_remove(self) -> None:
        """Forget everything."""
        await self._store.async_remove()
