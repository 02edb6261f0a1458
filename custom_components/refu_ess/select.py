"""Select: the operation mode."""

from typing import override

from homeassistant.components.select import SelectEntity
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .controls import SELECT, ControlSelectDescription
from .coordinator import RefuEssConfigEntry
from .entity import RefuEssEntity, Shown
from .errors import translated
from .ess import OperationMode

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the operation mode, unless everything is read-only."""
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities([RefuEssOperationMode(entry.runtime_data, SELECT)])


class RefuEssOperationMode(RefuEssEntity, SelectEntity):
    """What the device follows, as it reads back. With anything but P/Q no power is sent."""

    entity_description: ControlSelectDescription

    @override
    def _read(self) -> Shown:
        mode = self.coordinator.device.operation_mode
        return Shown(True, None if mode is None else mode.slug)

    @property
    @override
    def current_option(self) -> str | None:
        value: str | None = self._shown.value
        return value

    @override
    async def async_select_option(self, option: str) -> None:
        with translated():
            await self.coordinator.commander.async_set_operation_mode(OperationMode[option.upper()])
