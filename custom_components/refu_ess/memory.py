"""What must survive a restart: whether a lease was open, the last error reset, and which helpers are switched on."""

from dataclasses import asdict, dataclass
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store

from .const import DOMAIN

STORAGE_VERSION = 1


@dataclass
class Remembered:
    """The content of the storage file; times are seconds since 1970."""

    lease: dict[str, Any] | None = None
    """What was asked, by whom and until when, while a lease is held."""
    last_reset: float | None = None
    resets: int = 0
    fault_recovery: bool = False
    soc_protection: bool = False


class Memory:
    """Keeps `Remembered` on disk. A lease is written at once: a crash must find it."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Take the config entry that it belongs to."""
        self._store: Store[dict[str, Any]] = Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}")
        self.content = Remembered()

    async def async_load(self) -> None:
        """Read what was kept, if anything was."""
        if kept := await self._store.async_load():
            self.content = Remembered(**kept)

    async def async_save(self) -> None:
        """Write it now."""
        await self._store.async_save(asdict(self.content))

    async def async_remove(self) -> None:
        """Forget everything."""
        await self._store.async_remove()
