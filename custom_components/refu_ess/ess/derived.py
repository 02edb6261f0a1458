"""Values computed from several channels. What is missing makes the result unknown, never zero."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .facts import Category, Channel, Part, Role, Severity
from .site import Site

POWER_THRESHOLD_W = 1000
"""Below this a forecast says nothing: the measurement's resolution is 100 W."""
MAXIMUM_PERCENT = 100
CYCLES_FOR_EFFICIENCY = 10
"""Before this many full cycles the energy still in the battery weighs too much against the energy through it."""


class Source(Protocol):
    """What a computation may ask."""

    @property
    def site(self) -> Site:
        """How the site is built."""

    def number(self, key: str) -> float | None:
        """Return the value of a numeric channel, `None` if it is unknown."""

    def alarms(self, *, category: Category | None = None, severity: Severity | None = None) -> tuple[str, ...]:
        """Return the keys of the active alarms that are known, the most severe first."""

    @property
    def alarms_complete(self) -> bool:
        """Whether every word with alarms was read."""


@dataclass(frozen=True)
class Derived:
    """A computed value."""

    channel: Channel
    compute: Callable[[Source], Any]


def _capacity_kwh(source: Source) -> float:
    return source.site.capacity / 1000


def _energy_between(source: Source, lower_percent: float, upper_percent: float) -> float:
    return round(max(upper_percent - lower_percent, 0) / 100 * _capacity_kwh(source), 2)


def _stored_energy(source: Source) -> float | None:
    soc = source.number("soc")
    return None if soc is None else _energy_between(source, 0, soc)


def _energy_above_reserve(source: Source) -> float | None:
    soc = source.number("soc")
    return None if soc is None else _energy_between(source, source.site.min_soc, soc)


def _energy_to_full(source: Source) -> float | None:
    soc = source.number("soc")
    return None if soc is None else _energy_between(source, soc, 100)


def _minutes(energy_kwh: float | None, power_w: float | None) -> int | None:
    if energy_kwh is None or power_w is None or power_w < POWER_THRESHOLD_W:
        return None
    return round(energy_kwh * 60_000 / power_w)


def _time_to_empty(source: Source) -> int | None:
    return _minutes(_stored_energy(source), source.number("active_power"))


def _time_to_full(source: Source) -> int | None:
    power = source.number("active_power")
    return _minutes(_energy_to_full(source), None if power is None else -power)


def _spread(source: Source, highest: str, lowest: str) -> float | None:
    high, low = source.number(highest), source.number(lowest)
    return None if high is None or low is None else high - low


def _cell_voltage_spread(source: Source) -> float | None:
    return _spread(source, "battery_highest_voltage", "battery_lowest_voltage")


def _temperature_spread(source: Source) -> float | None:
    return _spread(source, "battery_highest_temperature", "battery_lowest_temperature")


def _full_cycles(source: Source) -> float | None:
    discharged = source.number("battery_discharge_energy")
    return None if discharged is None else round(discharged / _capacity_kwh(source), 1)


def _round_trip_efficiency(source: Source) -> float | None:
    charged, discharged = source.number("battery_charge_energy"), source.number("battery_discharge_energy")
    if charged is None or discharged is None or charged < CYCLES_FOR_EFFICIENCY * _capacity_kwh(source):
        return None
    percent = round(discharged / charged * 100, 1)
    return percent if percent <= MAXIMUM_PERCENT else None


def _active_alarms(source: Source) -> int | None:
    return len(source.alarms()) if source.alarms_complete else None


def _most_severe_alarm(source: Source) -> str | None:
    if active := source.alarms():
        return active[0]
    return "none" if source.alarms_complete else None


def _derived(
    name: str,
    compute: Callable[[Source], Any],
    role: Role,
    unit: str | None = None,
    *,
    part: Part = Part.BATTERY,
    needs: tuple[str, ...] = ("battery",),
    name_in_table: str | None = None,
) -> Derived:
    return Derived(
        Channel(channel=name_in_table, name=name, role=role, part=part, unit=unit, needs=needs),
        compute,
    )


_BOTH = ("status", "battery")

DERIVED: Mapping[str, Derived] = {
    "stored_energy": _derived("Stored energy", _stored_energy, Role.MAIN, "kWh"),
    "energy_above_reserve": _derived("Energy above reserve", _energy_above_reserve, Role.MAIN, "kWh"),
    "energy_to_full": _derived("Energy to full", _energy_to_full, Role.MAIN, "kWh"),
    "time_to_empty": _derived("Time to empty", _time_to_empty, Role.MAIN, "min", needs=_BOTH),
    "time_to_full": _derived("Time to full", _time_to_full, Role.MAIN, "min", needs=_BOTH),
    "cell_voltage_spread": _derived("Cell voltage spread", _cell_voltage_spread, Role.DETAIL, "mV"),
    "temperature_spread": _derived("Temperature spread", _temperature_spread, Role.DETAIL, "K"),
    "round_trip_efficiency": _derived("Round-trip efficiency", _round_trip_efficiency, Role.DETAIL, "%"),
    "full_cycles": _derived("Equivalent full cycles", _full_cycles, Role.DETAIL),
    "active_alarms": _derived(
        "Active alarms", _active_alarms, Role.MAIN, part=Part.ESS, needs=_BOTH, name_in_table="Warning"
    ),
    "most_severe_alarm": _derived("Most severe alarm", _most_severe_alarm, Role.MAIN, part=Part.ESS, needs=_BOTH),
}
"""The computed values by key. The channel table's `Warning` lists the active alarms; here they are counted."""


@dataclass(frozen=True)
class Condition:
    """A computed yes or no."""

    name: str
    part: Part
    needs: tuple[str, ...]
    """It can be shown while any of these blocks is read; what is not read makes a no unknown."""
    compute: Callable[[Source], bool | None]


def _any_alarm(category: Category | None = None, severity: Severity | None = None) -> Callable[[Source], bool | None]:
    def compute(source: Source) -> bool | None:
        if source.alarms(category=category, severity=severity):
            return True
        return False if source.alarms_complete else None

    return compute


def _charging(source: Source) -> bool | None:
    power = source.number("active_power")
    return None if power is None else power < 0


CONDITIONS: Mapping[str, Condition] = {
    "fault": Condition("Fault", Part.ESS, _BOTH, _any_alarm(severity=Severity.FAULT)),
    "warning": Condition("Warning", Part.ESS, _BOTH, _any_alarm(severity=Severity.WARNING)),
    "battery_problem": Condition("Battery problem", Part.ESS, _BOTH, _any_alarm(Category.BATTERY)),
    "temperature_problem": Condition("Temperature problem", Part.ESS, _BOTH, _any_alarm(Category.TEMPERATURE)),
    "insulation_problem": Condition("Insulation problem", Part.ESS, _BOTH, _any_alarm(Category.INSULATION)),
    "contactor_problem": Condition("Contactor problem", Part.ESS, _BOTH, _any_alarm(Category.CONTACTORS)),
    "communication_problem": Condition("Communication problem", Part.ESS, _BOTH, _any_alarm(Category.COMMUNICATION)),
    "inverter_problem": Condition("Inverter problem", Part.ESS, _BOTH, _any_alarm(Category.INVERTER)),
    "dcdc_problem": Condition("DC/DC converter problem", Part.ESS, _BOTH, _any_alarm(Category.DCDC)),
    "charging": Condition("Charging", Part.BATTERY, ("status",), _charging),
}
"""The computed conditions by key."""
