"""Descriptions of the entities that command the ESS or tell what is commanded.

None of them exists while the option "read-only" is on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeassistant.components.button import ButtonEntityDescription
from homeassistant.components.event import EventEntityDescription
from homeassistant.components.number import NumberDeviceClass, NumberEntityDescription
from homeassistant.components.select import SelectEntityDescription
from homeassistant.components.sensor import SensorDeviceClass, SensorEntityDescription, SensorStateClass
from homeassistant.components.switch import SwitchEntityDescription
from homeassistant.const import EntityCategory, UnitOfPower, UnitOfReactivePower

from .commander import Commander
from .describe import Placed
from .ess import Limit, OperationMode, Part


@dataclass(frozen=True, kw_only=True)
class SetpointDescription(Placed, NumberEntityDescription):
    """One setpoint: which of the asked power it is."""

    reactive: bool
    index: int
    """Of the setpoint among those in use."""
    phases: int


@dataclass(frozen=True, kw_only=True)
class ControlSensorDescription(Placed, SensorEntityDescription):
    """Something that the commander tells."""

    value_fn: Callable[[Commander], Any]


@dataclass(frozen=True, kw_only=True)
class ControlButtonDescription(Placed, ButtonEntityDescription):
    """Something to do once."""


@dataclass(frozen=True, kw_only=True)
class ControlSwitchDescription(Placed, SwitchEntityDescription):
    """Something to switch on and off."""


@dataclass(frozen=True, kw_only=True)
class ControlSelectDescription(Placed, SelectEntityDescription):
    """Something to choose."""


@dataclass(frozen=True, kw_only=True)
class ControlEventDescription(Placed, EventEntityDescription):
    """What happens to commands."""


def _setpoint(phases: int, index: int, *, reactive: bool) -> SetpointDescription:
    suffix = f"_l{index + 1}" if phases > 1 else ""
    key = f"{'reactive' if reactive else 'active'}_power_setpoint{suffix}"
    unit = UnitOfReactivePower.VOLT_AMPERE_REACTIVE if reactive else UnitOfPower.WATT
    return SetpointDescription(
        key=key,
        translation_key=key,
        device_class=NumberDeviceClass.REACTIVE_POWER if reactive else NumberDeviceClass.POWER,
        native_unit_of_measurement=unit,
        native_step=100,
        reactive=reactive,
        index=index,
        phases=phases,
        part=Part.ESS,
        needs=tuple(
            f"set_{kind}_power{one}"
            for kind in ("active", "reactive")
            for one in (("_l1", "_l2", "_l3") if phases > 1 else ("",))
        ),
        entity_category=EntityCategory.CONFIG,
    )


SETPOINTS = tuple(
    _setpoint(phases, index, reactive=reactive)
    for phases in (1, 3)
    for reactive in (False, True)
    for index in range(phases)
)

CONTROL_SENSORS = (
    ControlSensorDescription(
        key="applied_active_power",
        translation_key="applied_active_power",
        device_class=SensorDeviceClass.POWER,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_unit_of_measurement=UnitOfPower.KILO_WATT,
        suggested_display_precision=1,
        value_fn=lambda commander: commander.controller.decision.power.total_active_w,
        part=Part.ESS,
    ),
    ControlSensorDescription(
        key="binding_limit",
        translation_key="binding_limit",
        device_class=SensorDeviceClass.ENUM,
        options=[limit.value for limit in Limit],
        value_fn=lambda commander: commander.controller.limit.value,
        part=Part.ESS,
    ),
    ControlSensorDescription(
        key="lease_end",
        translation_key="lease_end",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda commander: commander.lease_end,
        part=Part.ESS,
    ),
    ControlSensorDescription(
        key="next_error_reset",
        translation_key="next_error_reset",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda commander: commander.next_reset,
        part=Part.ESS,
        entity_category=EntityCategory.DIAGNOSTIC,
    ),
    ControlSensorDescription(
        key="error_resets",
        translation_key="error_resets",
        state_class=SensorStateClass.TOTAL_INCREASING,
        value_fn=lambda commander: commander.controller.resets.count,
        part=Part.ESS,
        entity_category=EntityCategory.DIAGNOSTIC,
    ),
)

BUTTONS = tuple(
    ControlButtonDescription(key=key, translation_key=key, part=Part.ESS, entity_category=EntityCategory.CONFIG)
    for key in ("release_setpoint", "reset_error")
)

SWITCHES = (
    ControlSwitchDescription(
        key="work_state",
        translation_key="work_state",
        part=Part.ESS,
        needs=("set_work_state",),
        entity_category=EntityCategory.CONFIG,
    ),
    *(
        ControlSwitchDescription(key=key, translation_key=key, part=Part.ESS, entity_category=EntityCategory.CONFIG)
        for key in ("soc_protection", "fault_recovery")
    ),
)

SELECT = ControlSelectDescription(
    key="operation_mode",
    translation_key="operation_mode",
    options=[mode.slug for mode in OperationMode],
    part=Part.ESS,
    needs=("set_operation_mode",),
    entity_category=EntityCategory.CONFIG,
)

EVENT = ControlEventDescription(
    key="commands",
    translation_key="commands",
    event_types=[
        "error_reset",
        "foreign_writer",
        "lease_ended",
        "lease_interrupted",
        "lease_taken",
        "recovery",
        "write_failed",
    ],
    part=Part.ESS,
)

DESCRIPTIONS: Mapping[str, tuple[Placed, ...]] = {
    "button": BUTTONS,
    "event": (EVENT,),
    "number": SETPOINTS,
    "select": (SELECT,),
    "sensor": CONTROL_SENSORS,
    "switch": SWITCHES,
}

_LIMITS = {
    "none": "None",
    "nothing_asked": "Nothing asked",
    "stale_data": "Data too old",
    "fault": "Fault",
    "system_state": "System not running",
    "battery_state": "Battery not running",
    "battery_mode": "Battery not in normal mode",
    "operation_mode": "Operation mode is not P/Q",
    "stop_request": "Battery asks to stop",
    "not_ready": "Not ready",
    "other_setpoints": "Unused setpoints are not zero",
    "mains": "Mains not OK",
    "battery_charge": "Battery charge limit",
    "battery_discharge": "Battery discharge limit",
    "inverter_charge": "Inverter charge limit",
    "inverter_discharge": "Inverter discharge limit",
    "soc_reserve": "Reserve of the battery",
    "soc_charge": "Battery must be charged",
    "soc_maximum": "Battery full",
    "ramp": "Ramp after the start",
    "apparent_power": "Apparent power limit",
    "dead_band": "Dead band of a full or empty battery",
    "not_delivered": "Device does not deliver",
}
_NAMES = {
    "applied_active_power": "Applied active power",
    "binding_limit": "Binding limit",
    "lease_end": "Setpoint held until",
    "next_error_reset": "Next error reset allowed",
    "error_resets": "Error resets",
    "release_setpoint": "Release setpoint",
    "reset_error": "Reset error",
    "work_state": "Work state",
    "soc_protection": "State of charge protection",
    "fault_recovery": "Automatic fault recovery",
    "operation_mode": "Operation mode",
    "commands": "Commands",
}
_EVENTS = {
    "error_reset": "Error reset",
    "foreign_writer": "Somebody else writes",
    "lease_ended": "Setpoint ended",
    "lease_interrupted": "Setpoint interrupted by a crash",
    "lease_taken": "Setpoint taken",
    "recovery": "Recovering from a fault",
    "write_failed": "Writing failed",
}


def english_controls() -> dict[str, dict[str, Any]]:
    """Return the English words of these entities, as `translations/en.json` has them."""
    words: dict[str, dict[str, Any]] = {
        platform: {one.key: {"name": _NAMES.get(one.key) or _setpoint_name(one.key)} for one in descriptions}
        for platform, descriptions in DESCRIPTIONS.items()
    }
    words["sensor"]["binding_limit"]["state"] = _LIMITS
    words["sensor"]["error_resets"]["unit_of_measurement"] = "resets"
    words["select"]["operation_mode"]["state"] = {mode.slug: mode.label for mode in OperationMode}
    words["event"]["commands"]["state_attributes"] = {"event_type": {"state": _EVENTS}}
    return words


def _setpoint_name(key: str) -> str:
    name, _, phase = key.replace("_", " ").capitalize().partition(" l")
    return f"{name} L{phase}" if phase else name


CONTROL_ICONS = {
    "button": {"release_setpoint": "mdi:hand-back-left-off-outline", "reset_error": "mdi:restart-alert"},
    "event": {"commands": "mdi:clipboard-text-clock-outline"},
    "select": {"operation_mode": "mdi:tune-variant"},
    "sensor": {"binding_limit": "mdi:car-speed-limiter", "error_resets": "mdi:counter"},
    "switch": {
        "work_state": "mdi:power",
        "soc_protection": "mdi:battery-lock",
        "fault_recovery": "mdi:auto-fix",
    },
}
