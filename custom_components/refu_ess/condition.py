"""Conditions: an alarm is active, a setpoint is held."""

from typing import override

import voluptuous as vol
from homeassistant.components.sensor import DOMAIN as SENSOR_DOMAIN
from homeassistant.const import CONF_OPTIONS, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers.automation import DomainSpec
from homeassistant.helpers.condition import (
    ENTITY_STATE_CONDITION_SCHEMA_ANY_ALL,
    Condition,
    ConditionConfig,
    EntityConditionBase,
)

from .automations import (
    ACTIVE_ALARMS_KEY,
    ALARM_FIELDS,
    BINDING_LIMIT_KEY,
    NOTHING_HELD,
    fields_schema,
    own_entities,
)
from .ess import ALARMS, effective_severity

LISTS = {SENSOR_DOMAIN: DomainSpec(value_source="alarm_keys")}
SENSORS = {SENSOR_DOMAIN: DomainSpec()}


class AlarmIsActive(EntityConditionBase):
    """Looks at the list of active alarms, which has every bit, whether its own entity is enabled or not."""

    _domain_specs = LISTS
    _schema = ENTITY_STATE_CONDITION_SCHEMA_ANY_ALL.extend(
        {vol.Required(CONF_OPTIONS, default={}): fields_schema(ALARM_FIELDS)}
    )

    def __init__(self, hass: HomeAssistant, config: ConditionConfig) -> None:
        """Narrow the condition down to the chosen options."""
        super().__init__(hass, config)
        options = config.options or {}
        self._wanted = frozenset(
            entry.key
            for entry in ALARMS
            if effective_severity(entry).value in (options.get("severity") or [effective_severity(entry).value])
            and entry.bit.category.value in (options.get("category") or [entry.bit.category.value])
            and entry.key in (options.get("alarm") or [entry.key])
        )

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        return own_entities(self._hass, super().entity_filter(entities), ACTIVE_ALARMS_KEY)

    @override
    def _should_include(self, _state: State) -> bool:
        # While some alarms cannot be read their number is unknown, but those that can be are listed.
        return _state.state != STATE_UNAVAILABLE

    @override
    def is_valid_state(self, entity_state: State) -> bool:
        return not self._wanted.isdisjoint(entity_state.attributes.get("alarm_keys", ()))


class SetpointIsHeld(EntityConditionBase):
    """Looks at the limiting factor, which shows whether a setpoint is held."""

    _domain_specs = SENSORS

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        return own_entities(self._hass, super().entity_filter(entities), BINDING_LIMIT_KEY)

    @override
    def is_valid_state(self, entity_state: State) -> bool:
        return entity_state.state not in NOTHING_HELD


CONDITIONS: dict[str, type[Condition]] = {"is_alarm_active": AlarmIsActive, "is_setpoint_held": SetpointIsHeld}


async def async_get_conditions(hass: HomeAssistant) -> dict[str, type[Condition]]:
    """Return the conditions."""
    return CONDITIONS
