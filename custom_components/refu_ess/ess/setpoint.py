"""Power as it is commanded, and the range of setpoints that may be this integration's own."""

import math
from dataclasses import dataclass
from typing import Self

PHASES = 3
STEP = 100
"""W and var: the resolution of every setpoint register."""


@dataclass(frozen=True)
class Power:
    """Active and reactive power, in total or per phase. Charge is negative, discharge positive.

    Raises `ValueError` unless both have one value, or both have three.
    """

    active_w: tuple[float, ...]
    reactive_var: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the numbers of values."""
        if len(self.active_w) not in {1, PHASES} or len(self.reactive_var) != len(self.active_w):
            raise ValueError("active_w and reactive_var must both have 1 value, or both 3")

    @classmethod
    def zero(cls, phases: int) -> Self:
        """Zero power for `phases` setpoints of each kind."""
        return cls((0.0,) * phases, (0.0,) * phases)

    @classmethod
    def total(cls, active_w: float, reactive_var: float, phases: int) -> Self:
        """A total, split evenly over `phases` setpoints."""
        return cls((active_w / phases,) * phases, (reactive_var / phases,) * phases)

    @property
    def phases(self) -> int:
        """The number of setpoints of each kind: 1 for a total, else 3."""
        return len(self.active_w)

    @property
    def values(self) -> tuple[float, ...]:
        """All setpoints, active before reactive."""
        return (*self.active_w, *self.reactive_var)

    @property
    def total_active_w(self) -> float:
        """Active power of all phases together."""
        return math.fsum(self.active_w)

    @property
    def total_reactive_var(self) -> float:
        """Reactive power of all phases together."""
        return math.fsum(self.reactive_var)

    @property
    def is_zero(self) -> bool:
        """Return whether no phase has any power."""
        return not any(self.values)


@dataclass(frozen=True)
class Envelope:
    """For each setpoint the range from the lowest to the highest value that may be ours. Zero is always in it."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @classmethod
    def zero(cls, phases: int) -> Self:
        """The envelope of a device that was sent nothing but zero."""
        return cls((0.0,) * (2 * phases), (0.0,) * (2 * phases))

    def widened(self, power: Power) -> Self:
        """The envelope that covers `power` too."""
        return type(self)(
            tuple(map(min, self.lower, power.values, strict=True)),
            tuple(map(max, self.upper, power.values, strict=True)),
        )

    def union(self, other: Envelope) -> Self:
        """The envelope that covers both."""
        return type(self)(
            tuple(map(min, self.lower, other.lower, strict=True)), tuple(map(max, self.upper, other.upper, strict=True))
        )

    def contains(self, power: Power) -> bool:
        """Return whether every setpoint lies in its range, exactly."""
        return all(low <= value <= high for low, value, high in zip(self.lower, power.values, self.upper, strict=True))

    def covers(self, power: Power) -> bool:
        """Return whether every setpoint lies in its range, give or take one step of rounding up."""
        return all(self._covered(power))

    def lingers(self, power: Power) -> bool:
        """Return whether any setpoint other than zero may be ours, though others may be another system's."""
        return any(value and covered for value, covered in zip(power.values, self._covered(power), strict=True))

    def _covered(self, power: Power) -> tuple[bool, ...]:
        return tuple(
            low - STEP * (low < 0) <= value <= high + STEP * (high > 0)
            for low, value, high in zip(self.lower, power.values, self.upper, strict=True)
        )
