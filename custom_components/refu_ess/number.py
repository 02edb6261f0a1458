"""Numbers: the limits of the state of charge, which write nothing to the device, and the setpoints, which do."""

from dataclasses import replace
from typing import override

from homeassistant.components.number import NumberEntity
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .controls import SETPOINTS, SetpointDescription
from .coordinator import RefuEssConfigEntry
from .describe import NUMBERS, RefuEssNumberDescription
from .entity import RefuEssEntity, Shown
from .errors import translated
from .ess import Power

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the configured channels."""
    coordinator = entry.runtime_data
    controller = coordinator.commander.controller
    async_add_entities(RefuEssNumber(coordinator, description) for description in NUMBERS)
    if not controller.read_only:
        async_add_entities(
            RefuEssSetpoint(coordinator, description)
            for description in SETPOINTS
            if description.phases == controller.phases
        )


class ShownNumber(RefuEssEntity, NumberEntity):
    """A number that shows what was read."""

    entity_description: RefuEssNumberDescription | SetpointDescription

    @property
    @override
    def native_value(self) -> float | None:
        value: float | None = self._shown.value
        return value


class RefuEssNumber(ShownNumber):
    """A configured channel, kept as an option of the config entry."""

    entity_description: RefuEssNumberDescription

    @override
    def _read(self) -> Shown:
        return Shown(True, self.coordinator.data.values[self.entity_description.key])

    @override
    async def async_set_native_value(self, value: float) -> None:
        with translated():
            self.coordinator.async_change_site(self.entity_description.key, int(value))


class RefuEssSetpoint(ShownNumber):
    """A setpoint as the device holds it. Setting it takes the lease, without an end; zero releases it."""

    entity_description: SetpointDescription

    @property
    @override
    def native_max_value(self) -> float:
        return self.coordinator.commander.controller.settings.apparent_limit_va // self.entity_description.phases

    @property
    @override
    def native_min_value(self) -> float:
        return -self.native_max_value

    @override
    def _read(self) -> Shown:
        held = self.coordinator.commander.controller.held()
        return Shown(True, None if held is None else self._values(held)[self.entity_description.index])

    def _values(self, power: Power) -> tuple[float, ...]:
        return power.reactive_var if self.entity_description.reactive else power.active_w

    @override
    async def async_set_native_value(self, value: float) -> None:
        commander = self.coordinator.commander
        lease = commander.controller.lease
        asked = Power.zero(commander.controller.phases) if lease is None else lease.asked
        values = list(self._values(asked))
        values[self.entity_description.index] = value
        part = {"reactive_var" if self.entity_description.reactive else "active_w": tuple(values)}
        with translated():
            await commander.async_set_power(replace(asked, **part), self._context, None)
