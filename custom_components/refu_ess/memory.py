"""The record of what is owed, in Home Assistant's storage."""

import logging
from pathlib import Path
from typing import Any, override

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import (
    ConfigEntryError,
    ConfigEntryNotReady,
    HomeAssistantError,
    UnsupportedStorageVersionError,
)
from homeassistant.helpers.storage import Store

from .const import DOMAIN
from .ess import Record

_LOGGER = logging.getLogger(__name__)

STORAGE_VERSION = 2
"""Version 1 is that of the first release; the record reads both."""


async def async_load_stored(store: Store[dict[str, Any]]) -> Any:
    """Return the content of a file of ours, `None` if there is none or it makes no sense.

    A file of a newer release is neither read nor replaced. Raises `ConfigEntryError` for one, and `ConfigEntryNotReady`
    while the disk cannot be read.
    """
    try:
        return await store.async_load()
    except UnsupportedStorageVersionError as err:
        raise ConfigEntryError(
            translation_domain=DOMAIN,
            translation_key="stored_by_newer_release",
            translation_placeholders={"file": store.path},
        ) from err
    except HomeAssistantError as err:
        raise ConfigEntryNotReady(
            translation_domain=DOMAIN,
            translation_key="storage_unreadable",
            translation_placeholders={"file": store.path},
        ) from err
    except (KeyError, TypeError, AttributeError) as err:  # JSON, but not what Home Assistant writes around our data
        _LOGGER.warning("%s makes no sense and will be replaced: %r", store.path, err)
        return None


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
        """Store the config entry that it belongs to."""
        self._hass = hass
        self._store = RecordStore(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}", private=True)

    async def async_load(self) -> Record:
        """Return the record of the last run; one that makes no sense stands for an unknown debt.

        Raises `ConfigEntryError` for a record of a newer release, `ConfigEntryNotReady` while it cannot be read.
        """
        existed = await self._hass.async_add_executor_job(Path(self._store.path).exists)
        stored = await async_load_stored(self._store)
        record = Record.from_dict(stored) if isinstance(stored, dict) else Record(unknown_zero=existed)
        if record.unknown_zero:
            _LOGGER.warning(
                "%s does not say whether an earlier run left a setpoint in force; nothing is written because of it."
                " Check the setpoint that the device holds",
                self._store.path,
            )
        return record

    async def async_save(self, record: Record) -> None:
        """Write it now."""
        await self._store.async_save(record.as_dict())

    async def async_remove(self) -> None:
        """Delete everything stored."""
        await self._store.async_remove()
