"""The channels that are not read from registers, and the configuration of the site."""

from collections.abc import Mapping
from dataclasses import dataclass

from . import limits
from .enums import GridMode, InverterStatusLayout
from .facts import Channel, Part, Role

MAXIMUM_BATTERY_GROUPS = int(limits.SITE["battery_groups"].maximum)


@dataclass(frozen=True, kw_only=True)
class Site:
    """The settings of one ESS; the defaults are the constants of OpenEMS 2017."""

    alias: str = "REFU ESS"
    """User-defined name."""
    capacity: int = 130_000
    """Capacity of the battery in Wh; configured, not measured."""
    max_nominal_power: int = 100_000
    """Nominal power in VA."""
    allowed_apparent: int = 100_000
    """Limit of the apparent power in VA."""
    grid_mode: GridMode = GridMode.ON_GRID
    min_soc: int = 10
    """State of charge in % that is kept as a reserve."""
    charge_soc: int | None = None
    """State of charge in % below which a setpoint in force becomes a charge; `None` means `min_soc` - 2."""
    max_soc: int = 100
    """State of charge in % at which charging stops."""
    battery_groups: int = MAXIMUM_BATTERY_GROUPS
    """Number of installed battery groups, 1 to 4."""
    inverter_status_layout: InverterStatusLayout = InverterStatusLayout.DOCUMENTED

    @property
    def effective_charge_soc(self) -> int:
        """`charge_soc` as configured or, as in OpenEMS 2017, two below `min_soc`."""
        return max(self.min_soc - 2, 0) if self.charge_soc is None else self.charge_soc


def _site(name_in_table: str | None, name: str, role: Role, part: Part = Part.ESS, unit: str | None = None) -> Channel:
    return Channel(table_name=name_in_table, name=name, role=role, part=part, unit=unit)


SITE_CHANNELS: Mapping[str, Channel] = {
    "alias": _site("alias", "Alias", Role.EXPERT),
    "capacity": _site("capacity", "Capacity", Role.DETAIL, Part.BATTERY, "Wh"),
    "max_nominal_power": _site("maxNominalPower", "Nominal power", Role.EXPERT, unit="VA"),
    "allowed_apparent": _site("allowedApparent", "Apparent power limit", Role.EXPERT, unit="VA"),
    "grid_mode": _site("GridMode", "Grid mode", Role.EXPERT),
    "min_soc": _site("minSoc", "Minimum SoC", Role.DETAIL, Part.BATTERY, "%"),
    "charge_soc": _site("chargeSoc", "Recharge SoC", Role.DETAIL, Part.BATTERY, "%"),
    "max_soc": _site(None, "Maximum SoC", Role.DETAIL, Part.BATTERY, "%"),
}
"""The channels of `Site`, by attribute; the maximum is not in the channel table."""
