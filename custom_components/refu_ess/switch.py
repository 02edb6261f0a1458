"""Switches: two optional functions, off by default."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RefuEssConfigEntry, RefuEssCoordinator
from .describe import Control
from .entity import RefuEssEntity, Shown
from .errors import translated
from .options import soc_settings_of

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class ControlSwitchDescription(Control, SwitchEntityDescription):
    """A function that can be switched on and off."""

    value_fn: Callable[[RefuEssCoordinator], bool]
    set_fn: Callable[[RefuEssCoordinator, bool], Coroutine[Any, Any, None]]


async def _protect(coordinator: RefuEssCoordinator, on: bool) -> None:  # noqa: FBT001 - called by position only
    await coordinator.commander.async_switch_soc_protection(soc_settings_of(coordinator.device.site) if on else None)


async def _recover(coordinator: RefuEssCoordinator, on: bool) -> None:  # noqa: FBT001
    await coordinator.commander.async_switch_recovery(on=on)


SWITCHES = (
    ControlSwitchDescription(
        key="soc_protection",
        translation_key="soc_protection",
        value_fn=lambda coordinator: coordinator.commander.controller.soc_settings is not None,
        set_fn=_protect,
    ),
    ControlSwitchDescription(
        key="fault_recovery",
        translation_key="fault_recovery",
        value_fn=lambda coordinator: coordinator.commander.controller.recovery is not None,
        set_fn=_recover,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the switches, unless the entry is read-only."""
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities(RefuEssSwitch(entry.runtime_data, description) for description in SWITCHES)


class RefuEssSwitch(RefuEssEntity, SwitchEntity):
    """An optional function of control."""

    entity_description: ControlSwitchDescription

    @override
    def _read(self) -> Shown:
        return Shown(True, self.entity_description.value_fn(self.coordinator))

    @property
    @override
    def is_on(self) -> bool | None:
        value: bool | None = self._shown.value
        return value

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        with translated():
            await self.entity_description.set_fn(self.coordinator, True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        with translated():
            await self.entity_description.set_fn(self.coordinator, False)
