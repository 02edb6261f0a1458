"""The permitted range of every setting, each declared once. The options, the actions and the engine follow it."""

from collections.abc import Mapping
from dataclasses import dataclass

from .refusal import OutOfRangeError


@dataclass(frozen=True)
class Range:
    """A closed range of finite numbers in `unit`."""

    minimum: float
    maximum: float
    unit: str = ""

    def check(self, field: str, value: float) -> None:
        """Raise `OutOfRangeError` naming `field` if `value` lies outside; NaN lies outside of every range."""
        if not self.minimum <= value <= self.maximum:
            raise OutOfRangeError(field, self.minimum, self.maximum, self.unit)


POWER = Range(-1_000_000, 1_000_000, "W")
"""A power that is asked for, active in W and reactive in var; the power sent is limited much lower."""
SOC = Range(0, 100, "%")

SITE: Mapping[str, Range] = {
    "capacity": Range(1000, 10_000_000, "Wh"),
    "max_nominal_power": Range(1000, 1_000_000, "VA"),
    "allowed_apparent": Range(100, 1_000_000, "VA"),
    "min_soc": SOC,
    "charge_soc": SOC,
    "max_soc": SOC,
    "battery_groups": Range(1, 4),
}
"""By the attribute of `Site`."""

CONTROL: Mapping[str, Range] = {
    "apparent_limit_va": SITE["allowed_apparent"],
    "start_delay_s": Range(0, 3600, "s"),
    "ramp_w_per_s": Range(100, 1_000_000, "W/s"),
    "stale_after_s": Range(1, 60, "s"),
    "dead_band_w": Range(0, 50_000, "W"),
    "longest_hold_s": Range(360, 604_800, "s"),
}
"""By the attribute of the settings of control."""
