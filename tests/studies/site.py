"""A site with a battery: a load, perhaps PV, a meter at the grid connection, and the simulator's model of an ESS.

Powers in kW where nothing else is said; deterministic, because every random number comes from a seed.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from homeassistant.core import HomeAssistant

from tests.simulator.model import Model

from .rule import Rule

START = datetime(2026, 6, 1, tzinfo=UTC)
"""A Monday, the first of a billing period."""
METER_SECONDS = 5
"""Between two readings of the meter at the grid connection."""
DECISION_SECONDS = 10
"""Between two decisions of a blueprint: its trigger."""
LEASE_SECONDS = 30
"""Duration of a command."""
COMMAND_SECONDS = 2
"""From a decision until the ESS follows it."""
CAPACITY_KWH = 130.0
BEGIN_SOC = 60.0
RUNNING_W = 500.0
"""The battery runs from this power on."""


@dataclass(frozen=True)
class Site:
    """The net load of a site: its consumption less what PV gives, second by second."""

    name: str
    limit_kw: float
    seed: int
    net: Callable[[random.Random, int], Iterator[float]]


def _working(second: int) -> bool:
    day, hour = second // 86400, second % 86400 / 3600
    return day % 7 < 5 and 7 <= hour < 17  # not on Saturday and Sunday


def _spiky(rng: random.Random, seconds: int) -> Iterator[float]:
    base, left, height = 50.0, 0, 0.0
    for second in range(seconds):
        if second % 60 == 0:
            drift = 0.6 if _working(second) else -0.6
            base = min(max(base + rng.gauss(0, 1.5) + drift, 30.0), 72.0)
        if left > 0:
            left -= 1
        elif rng.random() < 1 / 1500:
            left, height = rng.choice((60, 180, 300, 900)), rng.uniform(15, 60)
        yield base + (height if left > 0 else 0)


def _hovering(rng: random.Random, seconds: int) -> Iterator[float]:
    base = 40.0
    for second in range(seconds):
        if second % 60 == 0:
            middle, width = (80.0, 4.0) if _working(second) else (40.0, 3.0)
            base += (middle - base) * 0.1 + rng.gauss(0, width / 2)
        yield base


def _solar(rng: random.Random, seconds: int) -> Iterator[float]:
    base, clear, left, height = 25.0, 1.0, 0, 0.0
    for second in range(seconds):
        if second % 60 == 0:
            middle = 45.0 if _working(second) else 22.0
            base += (middle - base) * 0.1 + rng.gauss(0, 1)
            clear = min(max(clear + rng.gauss(0, 0.08), 0.25), 1.0)
        if left > 0:
            left -= 1
        elif rng.random() < 1 / 5000:
            left, height = rng.choice((60, 180, 300)), rng.uniform(10, 40)
        sun = max(0.0, math.sin((second % 86400 / 3600 - 5) / 16 * math.pi)) if 5 < second % 86400 / 3600 < 21 else 0.0
        yield base + (height if left > 0 else 0) - 110 * sun**1.5 * clear


SITES = (
    Site("Spiky load", 80.0, 3, _spiky),
    Site("Load that hovers at the limit", 80.0, 5, _hovering),
    Site("Load with PV", 30.0, 7, _solar),
    Site("The same load with PV, never near the limit", 50.0, 7, _solar),
)


@cache
def net_load(site: Site, days: float) -> tuple[float, ...]:
    """Return the net load of every second, in kW."""
    return tuple(site.net(random.Random(site.seed), round(days * 86400)))


@dataclass
class Result:
    """Results of a run."""

    peak_kw: float = 0.0
    """The highest quarter-hour mean of the import."""
    above_limit: int = 0
    """Quarter-hours with a mean above the limit."""
    discharged_kwh: float = 0.0
    charged_kwh: float = 0.0
    starts: int = 0
    """Number of battery starts."""
    imported_kwh: float = 0.0
    exported_kwh: float = 0.0
    last_soc: float = BEGIN_SOC
    lowest_soc: float = BEGIN_SOC
    means: list[float] = field(default_factory=list, repr=False)


ENTITIES = {
    "ess": "study",
    "ess_power": "sensor.ess_active_power",
    "soc": "sensor.ess_soc",
    "grid_power": "sensor.grid_power",
}
QUARTER, PEAK = "sensor.quarter_energy", "input_number.period_peak"
GUARD_ENTITIES = {"quarter_energy": QUARTER, "period_peak": PEAK}
SHARED_SOC = 50
"""Above it the surplus discharges, below it the guard."""


@dataclass(frozen=True)
class Strategy:
    """Control of the battery of a site: blueprints, with the inputs that differ from the defaults."""

    name: str
    blueprints: tuple[tuple[str, Mapping[str, object]], ...] = ()
    quarter_energy: bool = True
    """The guard knows the energy of the quarter-hour; without, it is a plain cap."""
    meter_seconds: int = METER_SECONDS


NONE = Strategy("No battery")
GUARD = Strategy("Peak guard", (("peak_guard", GUARD_ENTITIES),))
FAST = Strategy("Peak guard that recharges with 60 kW", (("peak_guard", GUARD_ENTITIES | {"recharge_power": 60}),))
NO_RECHARGE = Strategy("Peak guard that does not recharge", (("peak_guard", GUARD_ENTITIES | {"recharge_power": 0}),))
CAP = Strategy("Peak guard without quarter-hour energy (plain cap)", GUARD.blueprints, quarter_energy=False)
SURPLUS = Strategy("Surplus", (("surplus", {}),))
SLOW = Strategy("Surplus, meter every 30 s", SURPLUS.blueprints, meter_seconds=30)
SLOW_GUARD = Strategy("Peak guard, meter every 30 s", GUARD.blueprints, meter_seconds=30)
BOTH = Strategy(
    f"Surplus above {SHARED_SOC} %, peak guard below",
    (
        ("surplus", {"lowest_soc": SHARED_SOC}),
        ("peak_guard", GUARD_ENTITIES | {"ceiling_soc": SHARED_SOC, "recharge_power": 0}),
    ),
)

CASES = tuple(
    (site, strategy)
    for site, strategies in (
        (SITES[0], (NONE, GUARD, FAST, SLOW_GUARD, CAP, SURPLUS)),
        (SITES[1], (NONE, GUARD, CAP, SURPLUS)),
        (SITES[2], (NONE, GUARD, SURPLUS, SLOW, BOTH)),
        (SITES[3], (NONE, GUARD, NO_RECHARGE)),
    )
    for strategy in strategies
)
"""Cases compared, including those without gain."""


def _rules(hass: HomeAssistant, site: Site, strategy: Strategy) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            hass,
            name,
            "decision",
            {**ENTITIES, **more, **({"contract": site.limit_kw} if name == "peak_guard" else {})},
        )
        for name, more in strategy.blueprints
    )


def run(  # noqa: C901, PLR0915 - one second, from top to bottom
    hass: HomeAssistant, site: Site, strategy: Strategy, days: float
) -> Result:
    """Let a strategy command the battery of a site."""
    rules = _rules(hass, site, strategy)
    record = Rule(hass, "peak_record", "value", {"quarter_energy": QUARTER, "period_peak": PEAK})
    result = Result()
    model = Model(soc=BEGIN_SOC, capacity_kwh=CAPACITY_KWH)
    charged, discharged = model.charged_kwh, model.discharged_kwh
    quarter_kwh, lease_w, lease_end, pending = 0.0, 0.0, -1, []
    running = False
    previous: list[dict[str, Any] | None] = [None] * len(rules)
    offset = START.timestamp()

    def show(entity_id: str, value: object, unit: str, second: int, **attributes: object) -> None:
        hass.states.async_set(
            entity_id, str(value), {"unit_of_measurement": unit, **attributes}, timestamp=offset + second
        )

    show(PEAK, 0.0, "kW", 0)
    show(QUARTER, 0.0, "kWh" if strategy.quarter_energy else "unknown", 0, last_period="0")
    for second, net in enumerate(net_load(site, days)):
        grid = net - model.power_w / 1000
        if rules and second % strategy.meter_seconds == 0:
            show(ENTITIES["grid_power"], round(grid, 2), "kW", second)
            if strategy.quarter_energy:
                show(QUARTER, round(quarter_kwh, 3), "kWh", second)
        if rules and second % DECISION_SECONDS == 0:
            show(ENTITIES["ess_power"], round(model.power_w / 1000, 1), "kW", second)
            show(ENTITIES["soc"], math.floor(model.soc), "%", second)
            for index, rule in enumerate(rules):
                decided = rule(START + timedelta(seconds=second), previous=previous[index])
                # An automation goes on as long as it has something to command, and begins again otherwise.
                previous[index] = None if (power := decided["power"]) is None else decided
                if power is not None:
                    pending.append((second + COMMAND_SECONDS, float(power), second + LEASE_SECONDS))
        while pending and pending[0][0] <= second:
            _, lease_w, lease_end = pending.pop(0)
        model.total_w = lease_w if second < lease_end else 0.0
        model.step(1)
        result.lowest_soc = min(result.lowest_soc, model.soc)
        grid = net - model.power_w / 1000
        quarter_kwh += max(grid, 0.0) / 3600
        result.imported_kwh += max(grid, 0.0) / 3600
        result.exported_kwh += max(-grid, 0.0) / 3600
        now_running = abs(model.power_w) >= RUNNING_W
        result.starts += now_running and not running
        running = now_running
        if second % 900 == 899:  # the last second of a quarter-hour
            mean = quarter_kwh * 4
            result.means.append(mean)
            result.above_limit += mean > site.limit_kw
            if rules:
                show(QUARTER, 0.0, "kWh", second, last_period=str(round(quarter_kwh, 3)))
                value = record(START + timedelta(seconds=second + 6), this=_Automation)
                if value is not None:
                    show(PEAK, value, "kW", second)
                if not strategy.quarter_energy:
                    show(QUARTER, "unavailable", "kWh", second)
            quarter_kwh = 0.0
    result.peak_kw = max(result.means)
    result.charged_kwh, result.discharged_kwh = model.charged_kwh - charged, model.discharged_kwh - discharged
    result.last_soc = model.soc
    return result


class _Automation:
    """The automation itself, as its templates see it: never triggered before."""

    class attributes:  # noqa: N801 - its name in templates
        last_triggered = None
