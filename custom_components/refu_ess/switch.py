"""Switches: the work state, and two helpers that are off until someone wants them."""

from typing import Any, override

from homeassistant.components.switch import SwitchEntity
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .controls import SWITCHES, ControlSwitchDescription
from .coordinator import RefuEssConfigEntry
from .entity import RefuEssEntity, Shown
from .errors import translated
from .ess import WorkState
from .options import soc_settings_of

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the switches, unless everything is read-only."""
    if not entry.runtime_data.commander.controller.read_only:
        async_add_entities(RefuEssSwitch(entry.runtime_data, description) for description in SWITCHES)


class RefuEssSwitch(RefuEssEntity, SwitchEntity):
    """Something to switch on and off. It shows what is, not what was asked."""

    entity_description: ControlSwitchDescription

    @override
    def _read(self) -> Shown:
        controller = self.coordinator.commander.controller
        match self.entity_description.key:
            case "soc_protection":
                return Shown(True, controller.soc_settings is not None)
            case "fault_recovery":
                return Shown(True, controller.recovery is not None)
            case _:
                held = self.coordinator.device.work_state
                return Shown(True, None if held is None else held is WorkState.START)

    @property
    @override
    def is_on(self) -> bool | None:
        value: bool | None = self._shown.value
        return value

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        await self._switch(on=True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        await self._switch(on=False)

    async def _switch(self, *, on: bool) -> None:
        commander = self.coordinator.commander
        with translated():
            match self.entity_description.key:
                case "soc_protection":
                    settings = soc_settings_of(self.coordinator.device.site) if on else None
                    await commander.async_switch_soc_protection(settings)
                case "fault_recovery":
                    await commander.async_switch_recovery(on=on)
                case _:
                    await commander.async_set_work_state(WorkState.START if on else WorkState.STOP)
