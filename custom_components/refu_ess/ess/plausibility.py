"""Detects implausible readings and replaces them.

`None` is unknown. A counter is held at its last good value until the new one is confirmed.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .enums import SystemState

_LOGGER = logging.getLogger(__name__)

MAXIMUM_SOC_PERCENT = 100
MAXIMUM_JUMP_KWH = 10
"""A counter that rises by more between two polls is probably a torn read of its two registers."""
MAXIMUM_POWER_KW = 120
"""Well above the inverter's power; it widens the permitted jump after a gap in polling."""
CONFIRMATIONS = 3
"""Consecutive consistent readings before a jump or drop of a counter is accepted."""
VOLTAGE_TOLERANCE = 0.1
"""Permitted difference between battery and inverter-side voltage, as a fraction of the larger.

Detects a missing scale factor of 100, as in OpenEMS 2021.
"""
LIMITS = ("allowed_charge", "allowed_discharge", "pcs_allowed_charge", "pcs_allowed_discharge")
MAXIMUM_TIMES_NOMINAL = 5
"""A power limit above this multiple of the nominal power is implausible: 0xFFFF would mean 6.5 MW."""


@dataclass
class CounterFilter:
    """The state of one energy counter."""

    published: int | None = None
    """In kWh."""
    published_at: float = 0.0
    candidate: int | None = None
    seen: int = 0

    def accept(self, reading: int | None, now: float) -> int | None:
        """Return what to show for a new `reading` in kWh at the time `now` in seconds."""
        if reading is None or reading < 0:
            return self.published
        if self.published is None and reading > 0:
            return self._publish(reading, now)  # an initial zero is confirmed first: the device may still be starting
        if self.published is not None:
            hours = (now - self.published_at) / 3600
            if 0 <= reading - self.published <= MAXIMUM_JUMP_KWH + MAXIMUM_POWER_KW * hours:
                return self._publish(reading, now)
        last, self.candidate = self.candidate, reading
        agrees = last is not None and 0 <= reading - last <= MAXIMUM_JUMP_KWH
        self.seen = self.seen + 1 if agrees else 1
        if self.seen >= CONFIRMATIONS:
            return self._publish(reading, now)
        return self.published

    def _publish(self, reading: int, now: float) -> int:
        self.published, self.published_at = reading, now
        self.candidate, self.seen = None, 0
        return reading


@dataclass
class Plausibility:
    """Checks every poll and keeps the state that this needs."""

    doubts: Counter[str] = field(default_factory=Counter)
    """The number of polls that found a channel implausible, by attribute."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Replacements for readings, by attribute."""
    _counters: dict[str, CounterFilter] = field(
        default_factory=lambda: {"battery_charge_energy": CounterFilter(), "battery_discharge_energy": CounterFilter()}
    )
    _in_doubt: set[str] = field(default_factory=set)

    def judge_battery(self, readings: Mapping[str, Any], now: float, nominal_power: float) -> None:
        """Judge fresh readings of the battery block; `nominal_power` in VA, `now` in seconds."""
        soc = readings["soc"]
        self._settle("soc", soc, None, doubtful=soc > MAXIMUM_SOC_PERCENT)
        for key in LIMITS:
            limit = readings[key]
            self._settle(key, limit, None, doubtful=abs(limit) > MAXIMUM_TIMES_NOMINAL * nominal_power)
        for key, counter in self._counters.items():
            reading = readings[key]
            shown = counter.accept(reading, now)
            self._settle(key, reading, shown, doubtful=shown != reading)

    def judge_voltages(self, status: Mapping[str, Any], battery: Mapping[str, Any]) -> None:
        """Compare the battery's voltage with the inverter-side reading while the contactors between are closed."""
        here, there = battery["battery_voltage"], status["battery_voltage_pcs"]
        apart = (
            status["system_state"] is SystemState.START
            and min(here, there) > 0
            and abs(here - there) > VOLTAGE_TOLERANCE * max(here, there)
        )
        reading = f"{here} V, at the inverter {there} V" if apart else None
        self._settle("battery_voltage", reading, None, doubtful=apart)

    def _settle(self, name: str, reading: Any, shown: Any, *, doubtful: bool) -> None:
        """Show `shown` in place of a doubtful reading; log the change once in each direction."""
        if not doubtful:
            if name in self._in_doubt:
                del self.overrides[name]
                self._in_doubt.discard(name)
                _LOGGER.info("%s is plausible again", name)
            return
        self.overrides[name] = shown
        self.doubts[name] += 1
        if name not in self._in_doubt:
            self._in_doubt.add(name)
            _LOGGER.warning("Implausible %s: read %s, showing %s", name, reading, "unknown" if shown is None else shown)
