"""Values computed from others, each declared with what it is computed from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .alarms import ALARMS, effective_severity, is_active, severity_rank
from .catalogue import REGISTER_CHANNELS, SITE_ENTRIES, BitEntry, ChannelEntry
from .facts import Category, Channel, Part, Role, Severity

POWER_THRESHOLD_W = 1000
"""Below this, a forecast is meaningless: the measurement's resolution is 100 W."""
MAXIMUM_PERCENT = 100
CYCLES_FOR_EFFICIENCY = 10
"""With fewer full cycles, the energy still stored distorts the ratio."""
NO_ALARM = "none"


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A rule that computes a value."""

    needs: tuple[str, ...]
    """The keys of the channels, bits and settings of the site that it is computed from."""
    compute: Callable[..., Any]
    """Takes the values of `needs` in their order. Not called while one of them is unknown, unless `partial`."""
    partial: bool = False
    """It can be determined from a part of what it needs: `compute` takes `None` for what is unknown."""


@dataclass(frozen=True, kw_only=True)
class Derived(Computed):
    """A computed channel."""

    channel: Channel


@dataclass(frozen=True, kw_only=True)
class Condition(Computed):
    """A derived boolean."""

    name: str
    part: Part = Part.ESS
    rank: int = 0
    """Order of the updates, causes before sums: 0 first, then the categories, fault and warning last."""


def _energy_kwh(percent: float, capacity: float) -> float:
    return round(max(percent, 0) / 100 * capacity / 1000, 2)


def _minutes(energy_kwh: float, power_w: float) -> int | None:
    return None if power_w < POWER_THRESHOLD_W else round(energy_kwh * 60_000 / power_w)


def _stored_energy(soc: float, capacity: float) -> float:
    return _energy_kwh(soc, capacity)


def _energy_above_reserve(soc: float, capacity: float, min_soc: float) -> float:
    return _energy_kwh(soc - min_soc, capacity)


def _energy_to_full(soc: float, capacity: float) -> float:
    return _energy_kwh(100 - soc, capacity)


def _time_to_empty(soc: float, capacity: float, power_w: float) -> int | None:
    return _minutes(_stored_energy(soc, capacity), power_w)


def _time_to_full(soc: float, capacity: float, power_w: float) -> int | None:
    return _minutes(_energy_to_full(soc, capacity), -power_w)


def _spread(high: float, low: float) -> float:
    return high - low


def _full_cycles(discharged_kwh: float, capacity: float) -> float:
    return round(discharged_kwh / (capacity / 1000), 1)


def _round_trip_efficiency(charged_kwh: float, discharged_kwh: float, capacity: float) -> float | None:
    if charged_kwh < CYCLES_FOR_EFFICIENCY * capacity / 1000:
        return None
    percent = round(discharged_kwh / charged_kwh * 100, 1)
    return percent if percent <= MAXIMUM_PERCENT else None


def _charging(power_w: float) -> bool:
    return power_w < 0


def _active_alarms(groups: int, *bits: bool | None) -> int | None:
    """The number of active alarms; unknown while one may be hidden."""
    if None in bits:
        return None
    return sum(is_active(entry, value, groups) for entry, value in zip(ALARMS, bits, strict=True))


def _most_severe_alarm(groups: int, *bits: bool | None) -> str | None:
    """The key of the most severe alarm; unknown while a more severe one may be hidden."""
    hidden: BitEntry | None = None
    for entry, value in zip(ALARMS, bits, strict=True):
        if value is None:
            hidden = hidden or entry
        elif is_active(entry, value, groups):
            return None if hidden is not None and severity_rank(hidden) < severity_rank(entry) else entry.key
    return NO_ALARM if hidden is None else None


_GROUPS = "battery_groups"
_SOC = ("soc", "capacity")
_SOC_AND_POWER = (*_SOC, "active_power")
_CELL_VOLTAGES = ("battery_highest_voltage", "battery_lowest_voltage")
_TEMPERATURES = ("battery_highest_temperature", "battery_lowest_temperature")
_DISCHARGED = ("battery_discharge_energy", "capacity")
_THROUGHPUT = ("battery_charge_energy", *_DISCHARGED)
_EVERY_ALARM = (_GROUPS, *(entry.key for entry in ALARMS))


def _derived(
    name: str,
    needs: tuple[str, ...],
    compute: Callable[..., Any],
    role: Role,
    unit: str | None = None,
    *,
    part: Part = Part.BATTERY,
    partial: bool = False,
    name_in_table: str | None = None,
) -> Derived:
    channel = Channel(table_name=name_in_table, name=name, role=role, part=part, unit=unit)
    return Derived(channel=channel, needs=needs, compute=compute, partial=partial)


MAIN, DETAIL = Role.MAIN, Role.DETAIL

DERIVED: Mapping[str, Derived] = {
    "stored_energy": _derived("Stored energy", _SOC, _stored_energy, MAIN, "kWh"),
    "energy_above_reserve": _derived("Energy above reserve", (*_SOC, "min_soc"), _energy_above_reserve, MAIN, "kWh"),
    "energy_to_full": _derived("Energy to full", _SOC, _energy_to_full, MAIN, "kWh"),
    "time_to_empty": _derived("Time to empty", _SOC_AND_POWER, _time_to_empty, MAIN, "min"),
    "time_to_full": _derived("Time to full", _SOC_AND_POWER, _time_to_full, MAIN, "min"),
    "cell_voltage_spread": _derived("Cell voltage spread", _CELL_VOLTAGES, _spread, DETAIL, "mV"),
    "temperature_spread": _derived("Temperature spread", _TEMPERATURES, _spread, DETAIL, "K"),
    "round_trip_efficiency": _derived("Round-trip efficiency", _THROUGHPUT, _round_trip_efficiency, DETAIL, "%"),
    "full_cycles": _derived("Equivalent full cycles", _DISCHARGED, _full_cycles, DETAIL),
    "active_alarms": _derived(
        "Active alarms", _EVERY_ALARM, _active_alarms, MAIN, part=Part.ESS, partial=True, name_in_table="Warning"
    ),
    "most_severe_alarm": _derived(
        "Most severe alarm", _EVERY_ALARM, _most_severe_alarm, MAIN, part=Part.ESS, partial=True
    ),
}
"""The computed channels by key. The channel table's `Warning` lists the active alarms; here they are counted."""

DERIVED_ENTRIES = tuple(ChannelEntry(key, value.channel, None, None) for key, value in DERIVED.items())
CHANNELS = (*REGISTER_CHANNELS, *SITE_ENTRIES, *DERIVED_ENTRIES)
"""Every channel: read, configured and computed."""


def _any_alarm(
    name: str, *, category: Category | None = None, severity: Severity | None = None, rank: int = 1
) -> Condition:
    """Return the condition that one of these alarms is active; a no is unknown while one of them may be hidden."""
    entries = tuple(
        entry
        for entry in ALARMS
        if category in (None, entry.bit.category) and severity in (None, effective_severity(entry))
    )

    def compute(groups: int, *bits: bool | None) -> bool | None:
        if any(is_active(entry, value, groups) for entry, value in zip(entries, bits, strict=True)):
            return True
        return None if None in bits else False

    needs = (_GROUPS, *(entry.key for entry in entries))
    return Condition(name=name, needs=needs, compute=compute, partial=True, rank=rank)


CONDITIONS: Mapping[str, Condition] = {
    "fault": _any_alarm("Fault", severity=Severity.FAULT, rank=2),
    "warning": _any_alarm("Warning", severity=Severity.WARNING, rank=2),
    "battery_problem": _any_alarm("Battery problem", category=Category.BATTERY),
    "temperature_problem": _any_alarm("Temperature problem", category=Category.TEMPERATURE),
    "insulation_problem": _any_alarm("Insulation problem", category=Category.INSULATION),
    "contactor_problem": _any_alarm("Contactor problem", category=Category.CONTACTORS),
    "communication_problem": _any_alarm("Communication problem", category=Category.COMMUNICATION),
    "inverter_problem": _any_alarm("Inverter problem", category=Category.INVERTER),
    "dcdc_problem": _any_alarm("DC/DC converter problem", category=Category.DCDC),
    "charging": Condition(name="Charging", part=Part.BATTERY, needs=("active_power",), compute=_charging),
}
"""The computed conditions by key."""
