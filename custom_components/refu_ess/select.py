"""Select: the operation mode."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .commander import Commander
from .coordinator import RefuEssConfigEntry
from .describe import Control
from .entity import RefuEssEntity, Shown
from .errors import translated
from .ess import OperationMode

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class ControlSelectDescription(Control, SelectEntityDescription):
    """A setting with named options."""

    value_fn: Callable[[Commander], str | None]
    set_fn: Callable[[Commander, str, Context | None], Coroutine[Any, Any, None]]


def _mode(commander: Commander) -> str | None:
    mode = commander.controller.device.operation_mode
    return None if mode is None else mode.slug


SELECTS = (
    ControlSelectDescription(
        key="operation_mode",
        translation_key="operation_mode",
        options=[mode.slug for mode in OperationMode],
        needs=("set_operation_mode",),
        value_fn=_mode,
        set_fn=lambda commander, option, context: commander.async_set_operation_mode(
            OperationMode[option.upper()], context
        ),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the selects, unless the entry is read-only."""
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities(RefuEssSelect(entry.runtime_data, description) for description in SELECTS)


class RefuEssSelect(RefuEssEntity, SelectEntity):
    """A setting as it reads back. With an operation mode other than P/Q no power is sent."""

    entity_description: ControlSelectDescription

    @override
    def _read(self) -> Shown:
        return Shown(True, self.entity_description.value_fn(self.coordinator.commander))

    @property
    @override
    def current_option(self) -> str | None:
        value: str | None = self._shown.value
        return value

    @override
    async def async_select_option(self, option: str) -> None:
        with translated():
            await self.entity_description.set_fn(self.coordinator.commander, option, self._context)
