"""Numbers: the limits of the state of charge, which write nothing to the device, and the setpoints, which do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import override

from homeassistant.components.number import (
    DOMAIN as NUMBER_DOMAIN,
    NumberDeviceClass,
    NumberEntity,
    NumberEntityDescription,
    NumberMode,
)
from homeassistant.const import CONF_UNIT_OF_MEASUREMENT, UnitOfPower, UnitOfReactivePower
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RefuEssConfigEntry
from .describe import NUMBERS, Control, RefuEssNumberDescription
from .entity import RefuEssEntity, Shown
from .errors import translated
from .ess import INPUT_BLOCKS, SITE_RANGES, STEP, Power

PARALLEL_UPDATES = 1
SUFFIXES = {1: ("",), 3: ("_l1", "_l2", "_l3")}
KILO = 1000
UNITS_BEFORE = {UnitOfPower.WATT, UnitOfReactivePower.VOLT_AMPERE_REACTIVE}
"""Units of the setpoints in release 0.1.0."""


@dataclass(frozen=True, kw_only=True)
class SetpointDescription(Control, NumberEntityDescription):
    """One setpoint among those in use."""

    phases: int
    value_fn: Callable[[Power], float]
    set_fn: Callable[[Power, float], Power]
    """Return the power with this setpoint changed."""


def _replaced(values: tuple[float, ...], index: int, value: float) -> tuple[float, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _active(key: str, phases: int, index: int) -> SetpointDescription:
    return SetpointDescription(
        key=key,
        translation_key=key,
        device_class=NumberDeviceClass.POWER,
        native_unit_of_measurement=UnitOfPower.KILO_WATT,
        native_step=STEP / KILO,
        mode=NumberMode.BOX,  # with a small apparent power limit it would be a slider
        phases=phases,
        value_fn=lambda power: power.active_w[index],
        set_fn=lambda power, value: replace(power, active_w=_replaced(power.active_w, index, value)),
        needs=(
            "system_state",
            "soc",
            *(f"set_{kind}_power{suffix}" for kind in ("active", "reactive") for suffix in SUFFIXES[phases]),
        ),
    )


def _reactive(key: str, phases: int, index: int) -> SetpointDescription:
    return replace(
        _active(key, phases, index),
        device_class=NumberDeviceClass.REACTIVE_POWER,
        native_unit_of_measurement=UnitOfReactivePower.KILO_VOLT_AMPERE_REACTIVE,
        value_fn=lambda power: power.reactive_var[index],
        set_fn=lambda power, value: replace(power, reactive_var=_replaced(power.reactive_var, index, value)),
    )


SETPOINTS = (
    _active("active_power_setpoint", 1, 0),
    _reactive("reactive_power_setpoint", 1, 0),
    *(_active(f"active_power_setpoint_l{index + 1}", 3, index) for index in range(3)),
    *(_reactive(f"reactive_power_setpoint_l{index + 1}", 3, index) for index in range(3)),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: RefuEssConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the configured channels and the setpoints in use."""
    coordinator = entry.runtime_data
    controller = coordinator.commander.controller
    _keep_units(hass, entry)
    async_add_entities(RefuEssNumber(coordinator, description) for description in NUMBERS)
    if not controller.read_only:
        async_add_entities(
            RefuEssSetpoint(coordinator, description)
            for description in SETPOINTS
            if description.phases == controller.phases
        )


def _keep_units(hass: HomeAssistant, entry: RefuEssConfigEntry) -> None:
    """Keep W and var for setpoints that were registered with them: existing automations use these units."""
    registry = er.async_get(hass)
    keys = {f"{entry.entry_id}_{description.key}" for description in SETPOINTS}
    for known in er.async_entries_for_config_entry(registry, entry.entry_id):
        if known.unique_id in keys and known.unit_of_measurement in UNITS_BEFORE:
            options = {**known.options.get(NUMBER_DOMAIN, {}), CONF_UNIT_OF_MEASUREMENT: known.unit_of_measurement}
            registry.async_update_entity_options(known.entity_id, NUMBER_DOMAIN, options)


class RefuEssNumber(RefuEssEntity, NumberEntity):
    """A configured channel, kept as an option of the config entry."""

    entity_description: RefuEssNumberDescription

    @property
    @override
    def native_value(self) -> float | None:
        value: float | None = self._shown.value
        return value

    @override
    def _read(self) -> Shown:
        return Shown(True, self.coordinator.data.values[self.entity_description.key])

    @override
    async def async_set_native_value(self, value: float) -> None:
        key = self.entity_description.key
        with translated():
            SITE_RANGES[key].check(key, value)  # Home Assistant lets NaN through
            self.coordinator.async_change_site(key, int(value))


class RefuEssSetpoint(RefuEssEntity, NumberEntity):
    """A setpoint as the device holds it, in kW or kvar as the sensors of power, unknown if it cannot be read.

    Setting one takes or changes the lease; zero for all of them releases it.
    """

    entity_description: SetpointDescription

    @property
    @override
    def native_value(self) -> float | None:
        value: float | None = self._shown.value
        return value

    @property
    @override
    def native_max_value(self) -> float:
        limit_va = self.coordinator.commander.controller.settings.apparent_limit_va / self.entity_description.phases
        return limit_va // STEP * STEP / KILO

    @property
    @override
    def native_min_value(self) -> float:
        return -self.native_max_value

    @override
    def _look(self) -> Shown:
        return self._read()  # it stays usable where its registers cannot be read

    @override
    def _read(self) -> Shown:
        controller = self.coordinator.commander.controller
        held = controller.held
        return Shown(
            controller.device.available(INPUT_BLOCKS),
            None if held is None else self.entity_description.value_fn(held) / KILO,
        )

    @override
    async def async_set_native_value(self, value: float) -> None:
        with translated():
            await self.coordinator.commander.async_change_power(
                lambda power: self.entity_description.set_fn(power, round(value * KILO, 3)), self._context
            )
