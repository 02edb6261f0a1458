"""The permitted range of every setting, each declared once. The options, the actions and the engine follow it."""

from collections.abc import Mapping
from dataclasses import dataclass

from .refusal import OutOfRangeError


@dataclass(frozen=True)
class Range:
    """A closed range of finite numbers in `unit`, or of the whole numbers among them."""

    minimum: float
    maximum: float
    unit: str = ""
    whole: bool = False

    def holds(self, value: float) -> bool:
        """Return whether `value` is permitted; NaN never is."""
        return self.minimum <= value <= self.maximum and not (self.whole and value % 1)

    def check(self, field: str, value: float) -> None:
        """Raise `OutOfRangeError` naming `field` if `value` is not permitted."""
        if not self.holds(value):
            raise OutOfRangeError(field, self.minimum, self.maximum, self.unit)


POWER = Range(-1_000_000, 1_000_000, "W")
"""A power that is asked for, active in W and reactive in var; the power sent is limited much lower."""
SOC = Range(0, 100, "%", whole=True)

SITE: Mapping[str, Range] = {
    "capacity": Range(1000, 10_000_000, "Wh"),
    "max_nominal_power": Range(1000, 1_000_000, "VA"),
    "allowed_apparent": Range(100, 1_000_000, "VA"),
    "min_soc": SOC,
    "charge_soc": SOC,
    "max_soc": SOC,
    "battery_groups": Range(1, 4, whole=True),
}
"""By the attribute of `Site`."""

CONTROL: Mapping[str, Range] = {
    "apparent_limit_va": SITE["allowed_apparent"],
    "start_delay_s": Range(0, 3600, "s", whole=True),
    "ramp_w_per_s": Range(100, 1_000_000, "W/s"),
    "stale_after_s": Range(1, 60, "s"),
    "dead_band_w": Range(0, 50_000, "W"),
    "longest_hold_s": Range(360, 604_800, "s"),
}
"""By the attribute of the settings of control."""
