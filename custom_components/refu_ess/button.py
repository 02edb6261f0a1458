"""Buttons: start and stop the system, release the setpoint, reset an error."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .commander import Commander
from .coordinator import RefuEssConfigEntry
from .describe import Control
from .entity import RefuEssEntity, Shown
from .errors import translated
from .ess import WorkState

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class ControlButtonDescription(Control, ButtonEntityDescription):
    """A single action."""

    press_fn: Callable[[Commander, Context | None], Coroutine[Any, Any, None]]


def _button(
    key: str, press_fn: Callable[[Commander, Context | None], Coroutine[Any, Any, None]]
) -> ControlButtonDescription:
    return ControlButtonDescription(
        key=key,
        translation_key=key,
        press_fn=press_fn,
    )


BUTTONS = (
    _button("start_system", lambda commander, context: commander.async_set_work_state(WorkState.START, context)),
    _button("stop_system", lambda commander, context: commander.async_set_work_state(WorkState.STOP, context)),
    _button("release_setpoint", lambda commander, context: commander.async_release(context)),
    _button("reset_error", lambda commander, context: commander.async_reset_error(forced=False, context=context)),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the buttons, unless the entry is read-only."""
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities(RefuEssButton(entry.runtime_data, description) for description in BUTTONS)


class RefuEssButton(RefuEssEntity, ButtonEntity):
    """A single action."""

    entity_description: ControlButtonDescription

    @override
    def _read(self) -> Shown:
        return Shown(True)

    @override
    async def async_press(self) -> None:
        with translated():
            await self.entity_description.press_fn(self.coordinator.commander, self._context)
