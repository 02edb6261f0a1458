"""Maps the device facts declared in `ess` to Home Assistant's entity descriptions.

The only file that knows both. The `entity` parts of `translations/en.json` and `icons.json` come from here too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from homeassistant.components.binary_sensor import BinarySensorDeviceClass, BinarySensorEntityDescription
from homeassistant.components.event import EventEntityDescription
from homeassistant.components.number import NumberDeviceClass, NumberEntityDescription, NumberMode
from homeassistant.components.sensor import SensorDeviceClass, SensorEntityDescription, SensorStateClass
from homeassistant.const import (
    EntityCategory,
    UnitOfApparentPower,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfPower,
    UnitOfRatio,
    UnitOfReactivePower,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.helpers.entity import EntityDescription

from .const import CONF_CHARGE_SOC, CONF_MAX_SOC, CONF_MIN_SOC
from .ess import ALARMS, BITS, CHANNELS, CONDITIONS, NO_ALARM, BitEntry, ChannelEntry, Part, Role, Severity


@dataclass(frozen=True, kw_only=True)
class RefuEssEntityDescription(EntityDescription):
    """A description with the part of the system that it belongs to."""

    part: Part
    group: int | None = None
    """The battery group it belongs to."""
    needs: tuple[str, ...] = ()
    """The keys of the picture that its state depends on besides its own."""

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys that its state depends on; it is updated when one of them changed."""
        return frozenset({self.key, *self.needs})


@dataclass(frozen=True, kw_only=True)
class Control(RefuEssEntityDescription):
    """A description of a control entity: it commands the ESS as a whole."""

    part: Part = Part.ESS
    entity_category: EntityCategory | None = EntityCategory.CONFIG


@dataclass(frozen=True, kw_only=True)
class RefuEssSensorDescription(RefuEssEntityDescription, SensorEntityDescription):
    """A sensor of a channel."""

    entry: ChannelEntry


@dataclass(frozen=True, kw_only=True)
class RefuEssBinarySensorDescription(RefuEssEntityDescription, BinarySensorEntityDescription):
    """A binary sensor of a bit, or of a computed condition if it has none."""

    entry: BitEntry | None = None


@dataclass(frozen=True, kw_only=True)
class RefuEssNumberDescription(RefuEssEntityDescription, NumberEntityDescription):
    """A number for a configured channel, an option of the config entry."""

    entry: ChannelEntry


@dataclass(frozen=True, kw_only=True)
class RefuEssEventDescription(RefuEssEntityDescription, EventEntityDescription):
    """An event reports changes of several channels or bits."""


MEASUREMENT = {"state_class": SensorStateClass.MEASUREMENT}

BY_UNIT: Mapping[str | None, Mapping[str, Any]] = {
    None: {},
    "W": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.POWER,
        "native_unit_of_measurement": UnitOfPower.WATT,
        "suggested_unit_of_measurement": UnitOfPower.KILO_WATT,
        "suggested_display_precision": 1,
    },
    "var": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.REACTIVE_POWER,
        "native_unit_of_measurement": UnitOfReactivePower.VOLT_AMPERE_REACTIVE,
        "suggested_unit_of_measurement": UnitOfReactivePower.KILO_VOLT_AMPERE_REACTIVE,
        "suggested_display_precision": 1,
    },
    "VA": {
        "device_class": SensorDeviceClass.APPARENT_POWER,
        "native_unit_of_measurement": UnitOfApparentPower.VOLT_AMPERE,
        "suggested_unit_of_measurement": UnitOfApparentPower.KILO_VOLT_AMPERE,
        "suggested_display_precision": 1,
    },
    "V": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.VOLTAGE,
        "native_unit_of_measurement": UnitOfElectricPotential.VOLT,
        "suggested_display_precision": 1,
    },
    "mV": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.VOLTAGE,
        "native_unit_of_measurement": UnitOfElectricPotential.MILLIVOLT,
        "suggested_display_precision": 0,
    },
    "A": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.CURRENT,
        "native_unit_of_measurement": UnitOfElectricCurrent.AMPERE,
        "suggested_display_precision": 1,
    },
    "°C": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.TEMPERATURE,
        "native_unit_of_measurement": UnitOfTemperature.CELSIUS,
        "suggested_display_precision": 0,
    },
    "K": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.TEMPERATURE_DELTA,
        "native_unit_of_measurement": UnitOfTemperature.KELVIN,
        "suggested_display_precision": 0,
    },
    "kWh": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.ENERGY_STORAGE,
        "native_unit_of_measurement": UnitOfEnergy.KILO_WATT_HOUR,
        "suggested_display_precision": 1,
    },
    "Wh": {
        "device_class": SensorDeviceClass.ENERGY_STORAGE,
        "native_unit_of_measurement": UnitOfEnergy.WATT_HOUR,
        "suggested_unit_of_measurement": UnitOfEnergy.KILO_WATT_HOUR,
        "suggested_display_precision": 1,
    },
    "%": MEASUREMENT | {"native_unit_of_measurement": UnitOfRatio.PERCENTAGE},
    "min": MEASUREMENT
    | {
        "device_class": SensorDeviceClass.DURATION,
        "native_unit_of_measurement": UnitOfTime.MINUTES,
        "suggested_unit_of_measurement": UnitOfTime.HOURS,
        "suggested_display_precision": 1,
    },
}

BY_ROLE: Mapping[Role, Mapping[str, Any]] = {
    Role.MAIN: {},
    Role.EXTRA: {"entity_registry_enabled_default": False},
    Role.DETAIL: {"entity_category": EntityCategory.DIAGNOSTIC},
    Role.EXPERT: {"entity_category": EntityCategory.DIAGNOSTIC, "entity_registry_enabled_default": False},
    Role.TOTAL: {
        "device_class": SensorDeviceClass.ENERGY,
        "state_class": SensorStateClass.TOTAL_INCREASING,
        "suggested_display_precision": 0,
    },
}

ALARM_RAISED = "raised"
ALARM_CLEARED = "cleared"
ALARM_OPTIONS = [NO_ALARM, *(entry.key for entry in ALARMS)]

OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    "soc": {"device_class": SensorDeviceClass.BATTERY},  # other percentages are not a charge level
    "round_trip_efficiency": {"suggested_display_precision": 1},
    "full_cycles": MEASUREMENT | {"suggested_display_precision": 1},
    "most_severe_alarm": {"device_class": SensorDeviceClass.ENUM, "options": ALARM_OPTIONS},
}

CONFIGURED = (CONF_MIN_SOC, CONF_CHARGE_SOC, CONF_MAX_SOC)
"""Configurable values, published as numbers."""


def _sensor(entry: ChannelEntry) -> RefuEssSensorDescription:
    kwargs: dict[str, Any] = {**BY_UNIT[entry.unit], **BY_ROLE[entry.channel.role], **OVERRIDES.get(entry.key, {})}
    if entry.codes is not None:
        kwargs |= {"device_class": SensorDeviceClass.ENUM, "options": [code.slug for code in entry.codes]}
    return RefuEssSensorDescription(
        key=entry.key,
        translation_key=entry.key,
        part=entry.channel.part,
        entry=entry,
        **kwargs,
    )


SENSORS = tuple(_sensor(entry) for entry in CHANNELS if entry.key not in CONFIGURED)

SMOKE = "fog_alarm"
RUNNING = frozenset({"inverter_enabled", "dcdc_enabled"})


def _enabled(entry: BitEntry) -> bool:
    """Alarms appear in summaries, list, event and triggers, so that a page is not filled with inactive ones."""
    if entry.key == SMOKE:
        return True
    if entry.bit.severity is not Severity.INFO:
        return False
    return entry.key == "mains_ok" or entry.bit.group is not None  # group operation is worth showing


def _bit_class(entry: BitEntry) -> BinarySensorDeviceClass | None:
    if entry.key == SMOKE:
        return BinarySensorDeviceClass.SMOKE
    if entry.bit.severity is not Severity.INFO:
        return BinarySensorDeviceClass.PROBLEM
    return BinarySensorDeviceClass.RUNNING if entry.key in RUNNING or entry.bit.group else None


def _bit_sensor(entry: BitEntry) -> RefuEssBinarySensorDescription:
    return RefuEssBinarySensorDescription(
        key=entry.key,
        translation_key=entry.key,
        part=entry.bit.part,
        group=entry.bit.group,
        entry=entry,
        device_class=_bit_class(entry),
        entity_category=None if entry.key == SMOKE else EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=_enabled(entry),
    )


CONDITION_SENSORS = tuple(
    RefuEssBinarySensorDescription(
        key=key,
        translation_key=key,
        part=condition.part,
        device_class=BinarySensorDeviceClass.BATTERY_CHARGING if key == "charging" else BinarySensorDeviceClass.PROBLEM,
    )
    for key, condition in CONDITIONS.items()
)
"""The summary alarms, and whether the battery is charging."""

BINARY_SENSORS = (*CONDITION_SENSORS, *(_bit_sensor(entry) for entry in BITS))

NUMBERS = tuple(
    RefuEssNumberDescription(
        key=entry.key,
        translation_key=entry.key,
        part=entry.channel.part,
        entry=entry,
        device_class=NumberDeviceClass.BATTERY,
        entity_category=EntityCategory.CONFIG,
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        native_min_value=0,
        native_max_value=100,
        native_step=1,
        mode=NumberMode.BOX,  # a slider is set by a slip of the finger
    )
    for entry in CHANNELS
    if entry.key in CONFIGURED
)

ALARM_EVENT = RefuEssEventDescription(
    key="alarms",
    translation_key="alarms",
    event_types=[ALARM_RAISED, ALARM_CLEARED],
    part=Part.ESS,
    needs=tuple(entry.key for entry in ALARMS),
)

DESCRIPTIONS: Mapping[str, tuple[RefuEssEntityDescription, ...]] = {
    "binary_sensor": BINARY_SENSORS,
    "event": (ALARM_EVENT,),
    "number": NUMBERS,
    "sensor": SENSORS,
}
"""Every description by its platform."""


def alarm_names() -> dict[str, str]:
    """Return the English name of every alarm by its key, naming the battery group where there is one."""
    return {entry.key: entry.bit.full_name for entry in ALARMS}


ALARM_EVENT_ENGLISH: Mapping[str, Any] = {
    "name": "Alarms",
    "state_attributes": {
        "event_type": {"state": {ALARM_RAISED: "Alarm raised", ALARM_CLEARED: "Alarm cleared"}},
        "key": {"name": "Key"},
        "text": {"name": "Alarm"},
        "label": {"name": "Manufacturer's text"},
        "severity": {"name": "Severity", "state": {"fault": "Fault", "warning": "Warning"}},
        "category": {
            "name": "Category",
            "state": {
                "battery": "Battery",
                "temperature": "Temperature and smoke",
                "insulation": "Insulation",
                "contactors": "Contactors and fuses",
                "communication": "Communication",
                "inverter": "Inverter",
                "dcdc": "DC/DC converter",
            },
        },
        "battery_group": {"name": "Battery group"},
        "word": {"name": "Word"},
        "bit": {"name": "Bit"},
        "since": {"name": "Active since"},
        "duration": {"name": "Duration in seconds"},
        "found_at_start": {"name": "Found at start"},
        "snapshot": {"name": "Readings"},
    },
}


def _english(description: RefuEssEntityDescription) -> dict[str, Any]:
    """Return the English texts of one entity, as in `translations/en.json`."""
    if isinstance(description, RefuEssBinarySensorDescription):
        if description.entry is None:
            return {"name": CONDITIONS[description.key].name}
        return {"name": description.entry.bit.name}
    if isinstance(description, RefuEssEventDescription):
        return dict(ALARM_EVENT_ENGLISH)
    entry = cast("RefuEssSensorDescription | RefuEssNumberDescription", description).entry
    texts: dict[str, Any] = {"name": entry.channel.name}
    if entry.codes is not None:
        texts["state"] = {code.slug: code.english for code in entry.codes}
        texts["state_attributes"] = {"code": {"name": "Code"}}
    if description.key == "most_severe_alarm":
        texts["state"] = {NO_ALARM: "No alarm", **alarm_names()}
    if description.key == "active_alarms":
        texts["state_attributes"] = {
            "alarms": {"name": "Alarms"},
            "alarm_keys": {"name": "Alarm keys"},
            "since": {"name": "Active since"},
        }
    if description.key == "full_cycles":
        texts["unit_of_measurement"] = "cycles"
    return texts


def english_entities() -> dict[str, Any]:
    """Return the `entity` part of `translations/en.json`."""
    return {
        platform: {
            description.key: _english(description) for description in sorted(descriptions, key=lambda one: one.key)
        }
        for platform, descriptions in DESCRIPTIONS.items()
    }


ICONS = {
    "sensor": {
        Role.MAIN: "mdi:information-outline",
        Role.EXTRA: "mdi:gauge",
        Role.DETAIL: "mdi:information-outline",
        Role.EXPERT: "mdi:numeric",
    },
}
ICON_OVERRIDES = {
    "active_alarms": "mdi:alert-circle-outline",
    "alarms": "mdi:bell-alert-outline",
    "alias": "mdi:tag-outline",
    "ac_relays_closed": "mdi:electric-switch-closed",
    "battery_mode": "mdi:battery-sync",
    "battery_state": "mdi:battery-heart-variant",
    "battery_stop_request": "mdi:hand-back-right-outline",
    "dc_relay_1_closed": "mdi:electric-switch-closed",
    "dc_relay_2_closed": "mdi:electric-switch-closed",
    "dcdc_error": "mdi:alert-circle-outline",
    "error_code": "mdi:alert-circle-outline",
    "full_cycles": "mdi:battery-sync-outline",
    "grid_mode": "mdi:transmission-tower",
    "mains_ok": "mdi:transmission-tower",
    "most_severe_alarm": "mdi:alert-decagram-outline",
    "round_trip_efficiency": "mdi:battery-charging-high",
    "set_operation_mode": "mdi:tune-variant",
    "set_system_error_reset": "mdi:restart-alert",
    "set_work_state": "mdi:play-pause",
    "system_state": "mdi:state-machine",
}


def icons() -> dict[str, Any]:
    """Return the `entity` part of `icons.json`: entities with a device class other than enum keep its icon."""
    found: dict[str, dict[str, Any]] = {}
    for platform, descriptions in DESCRIPTIONS.items():
        for description in sorted(descriptions, key=lambda one: one.key):
            plain = getattr(description, "device_class", None) in (None, SensorDeviceClass.ENUM)
            if not plain:
                continue
            default = "mdi:check-network-outline"
            if isinstance(description, RefuEssSensorDescription):
                default = ICONS["sensor"][description.entry.channel.role]
            icon = ICON_OVERRIDES.get(description.key, default)
            found.setdefault(platform, {})[description.key] = {"default": icon}
    return found
