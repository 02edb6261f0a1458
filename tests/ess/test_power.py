"""The power sent: every rule, and the properties that hold for any request and reading."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings as examples, strategies as st

from custom_components.refu_ess.ess.enums import BatteryMode, BatteryState, OperationMode, SystemState
from custom_components.refu_ess.ess.limit import Limit
from custom_components.refu_ess.ess.power import Decision, Settings, decide
from custom_components.refu_ess.ess.reading import Reading
from custom_components.refu_ess.ess.setpoint import Envelope, Power
from custom_components.refu_ess.ess.soc_protection import UNBOUNDED, SocBounds

from .good import GOOD

LONG_AGO = 3600.0


def forced(upper_w: float) -> SocBounds:
    """The bounds of a forced charge."""
    return SocBounds(upper_w=upper_w, upper_limit=Limit.SOC_CHARGE)


def ask(
    watts: float, var: float = 0, *, phases: int = 1, running_for_s: float | None = LONG_AGO, **changes: Any
) -> Decision:
    """Ask for a total in a good state, but for the changes."""
    settings = changes.pop("settings", Settings())
    bounds = changes.pop("bounds", UNBOUNDED)
    return decide(
        Power.total(watts, var, phases), replace(GOOD, **changes), settings, running_for_s=running_for_s, bounds=bounds
    )


def total(decision: Decision) -> tuple[float, str]:
    """Return the total active power and the limit."""
    return decision.power.total_active_w, decision.limit.value


@pytest.mark.parametrize("watts", [-90_000, -20_000, 20_000, 80_000])
def test_what_is_allowed_is_sent(watts: float) -> None:
    """Within all limits exactly what was asked is sent."""
    assert total(ask(watts)) == (watts, "none")


def test_nothing_asked() -> None:
    """Zero is zero, whatever the state."""
    assert total(ask(0, system_state=SystemState.FAULT)) == (0, "nothing_asked")


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"age_s": None}, "stale_data"),
        ({"age_s": 5.1}, "stale_data"),
        ({"age_s": -1}, "stale_data"),
        ({"age_s": math.nan}, "stale_data"),
        ({"fault": True}, "fault"),
        *(({"system_state": state}, "system_state") for state in (None, *SystemState) if state != 4),
        *(({"battery_state": state}, "battery_state") for state in (None, *BatteryState) if state != 3),
        ({"battery_mode": None}, "battery_mode"),
        ({"operation_mode": None}, "operation_mode"),  # a mode that was read and has no name
        ({"operation_mode": OperationMode.IAC_COS_PHI_SET_POINT}, "operation_mode"),
        ({"stop_request": 1}, "stop_request"),
        ({"stop_request": None}, "stop_request"),
        ({"ready": False}, "not_ready"),
        ({"other_setpoints_zero": False}, "other_setpoints"),
        ({"mains_ok": False}, "mains"),
    ],
)
@pytest.mark.parametrize("phases", [1, 3])
def test_no_power(change: dict[str, Any], limit: str, phases: int) -> None:
    """Each of these sends zero active and reactive power on every phase, and says why."""
    decision = ask(-20_000, 5000, phases=phases, **change)
    assert decision == Decision(Power.zero(phases), Limit(limit))


@pytest.mark.parametrize(
    "change",
    [
        {"age_s": 5.0},
        {"other_setpoints_zero": None},
        {"mains_ok": True},
        {"mains_ok": None},
        {"operation_mode": None, "commands_readable": False},
    ],
)
def test_no_reason_to_stop(change: dict[str, Any]) -> None:
    """Data at the age limit, missing readbacks and unverified bits do not stop power."""
    assert total(ask(-20_000, **change)) == (-20_000, "none")


def test_stop_request_can_be_ignored() -> None:
    """Its values are unverified, so the user may choose to ignore it."""
    assert total(ask(-20_000, stop_request=7, settings=Settings(ignore_stop_request=True))) == (-20_000, "none")


@pytest.mark.parametrize(
    ("watts", "change", "expected"),
    [
        (-95_000, {}, (-90_000, "battery_charge")),
        (95_000, {}, (80_000, "battery_discharge")),
        (-20_000, {"allowed_charge_w": None}, (0, "battery_charge")),
        (20_000, {"allowed_discharge_w": None}, (0, "battery_discharge")),
        (-20_000, {"allowed_charge_w": math.nan}, (0, "battery_charge")),
        (20_000, {"allowed_discharge_w": math.inf}, (0, "battery_discharge")),
        (95_000, {"allowed_discharge_w": 79_999.99999999}, (79_900, "battery_discharge")),
        (-20_000, {"allowed_charge_w": -15_000}, (-15_000, "battery_charge")),  # a magnitude, whatever the sign
        (-95_000, {"inverter_charge_w": 50_000}, (-50_000, "inverter_charge")),
        (-95_000, {"inverter_charge_w": -50_000}, (-50_000, "inverter_charge")),  # its sign is unverified
        (95_000, {"inverter_discharge_w": 50_000}, (50_000, "inverter_discharge")),
        (95_000, {"inverter_discharge_w": 0}, (0, "inverter_discharge")),
        (-95_000, {"inverter_charge_w": 0}, (0, "inverter_charge")),
        (-95_000, {"inverter_charge_w": 90_000}, (-90_000, "battery_charge")),  # of equal limits the battery's is named
        (95_000, {"inverter_discharge_w": 80_000}, (80_000, "battery_discharge")),
        (95_000, {"inverter_charge_w": 0, "inverter_discharge_w": 0}, (80_000, "battery_discharge")),
        (95_000, {"inverter_charge_w": None, "inverter_discharge_w": None}, (80_000, "battery_discharge")),
    ],
)
def test_battery_and_inverter_limits(watts: float, change: dict[str, Any], expected: tuple[float, str]) -> None:
    """The battery's limits bind; the inverter's may only narrow them, and only when they are plausible."""
    assert total(ask(watts, **change)) == expected


@pytest.mark.parametrize(
    ("watts", "change"),
    [
        (-20_000, {"allowed_charge_w": 0}),
        (20_000, {"allowed_discharge_w": None}),
        (20_000, {"inverter_discharge_w": 0}),
        (20_000, {"bounds": SocBounds(upper_w=0)}),
        (-20_000, {"bounds": SocBounds(lower_w=0)}),
        (20_000, {"allowed_discharge_w": 99}),
    ],
)
@pytest.mark.parametrize("phases", [1, 3])
def test_no_reactive_power_where_active_power_is_forced_to_zero(
    watts: float, change: dict[str, Any], phases: int
) -> None:
    """A limit that leaves no active power leaves no reactive power either."""
    assert ask(watts, 10_000, phases=phases, **change).power == Power.zero(phases)


@pytest.mark.parametrize(
    "change", [{"allowed_charge_w": 0}, {"bounds": forced(-18_000)}, {"bounds": SocBounds(0, 0, Limit.SOC_UNKNOWN)}]
)
def test_reactive_power_alone_never_becomes_active_power(change: dict[str, Any]) -> None:
    """Without a request for active power, reactive power stays."""
    assert ask(0, 10_000, **change).power == Power((0,), (10_000,))


@pytest.mark.parametrize(
    ("running_for_s", "expected"),
    [(None, 0), (0, 0), (30, 0), (31, 1000), (40, 10_000), (50, 20_000), (60, 20_000)],
)
@pytest.mark.parametrize("sign", [pytest.param(-1, id="charge"), pytest.param(1, id="discharge")])
def test_ramp_after_start(running_for_s: float | None, expected: float, sign: int) -> None:
    """For 30 s after the start nothing is sent, then it may rise by 1 kW each second, in either direction."""
    limit = "none" if expected == 20_000 else "ramp"
    assert total(ask(sign * 20_000, running_for_s=running_for_s)) == (sign * expected, limit)


@pytest.mark.parametrize(("running_for_s", "expected"), [(None, 0), (0, 0), (1, 1000)])
def test_ramp_without_a_delay(running_for_s: float | None, expected: float) -> None:
    """A system that is not seen running gets nothing, also without a delay."""
    assert total(ask(20_000, running_for_s=running_for_s, settings=Settings(start_delay_s=0))) == (expected, "ramp")


@pytest.mark.parametrize("var", [-20_000, 20_000])
def test_ramp_holds_reactive_power_too(var: float) -> None:
    """Reactive power rises with the same ramp."""
    assert ask(5000, var, running_for_s=40).power == Power((5000,), (var / 2,))


@pytest.mark.parametrize(
    ("watts", "var", "phases", "expected"),
    [
        (60_000, 80_000, 1, ((60_000,), (80_000,))),
        (60_000, 90_000, 1, ((60_000,), (80_000,))),
        (60_000, -90_000, 1, ((60_000,), (-80_000,))),
        (60_000, 90_000, 3, ((20_000,) * 3, (26_600,) * 3)),
        (0, 120_000, 1, ((0,), (100_000,))),
    ],
)
def test_apparent_power(watts: float, var: float, phases: int, expected: Any) -> None:
    """Active power comes first, reactive power has the room that is left; each phase has a third."""
    decision = ask(watts, var, phases=phases)
    assert (decision.power.active_w, decision.power.reactive_var) == expected
    assert decision.limit is (Limit.NONE if var == 80_000 else Limit.APPARENT_POWER)


@pytest.mark.parametrize("watts", [-60_000, 60_000])
@pytest.mark.parametrize("phases", [1, 3])
def test_apparent_power_limits_both_directions(watts: float, phases: int) -> None:
    """Charge and discharge have the same limit."""
    found = ask(watts, phases=phases, settings=Settings(apparent_limit_va=30_000))
    assert total(found) == (watts / 2, "apparent_power")


def test_apparent_power_limits_one_phase() -> None:
    """One phase alone has no more than its third, in whole steps."""
    asked = Power((50_000.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    decision = decide(asked, GOOD, Settings(), running_for_s=LONG_AGO)
    assert decision == Decision(Power((33_300, 0, 0), (0, 0, 0)), Limit.APPARENT_POWER)


@pytest.mark.parametrize(
    ("watts", "phases", "expected"),
    [
        (199, 1, (100,)),
        (-199, 1, (-100,)),
        (99, 1, (0,)),
        (100, 3, (100, 0, 0)),
        (-100, 3, (-100, 0, 0)),
        (20_000, 3, (6700, 6700, 6600)),
        (-20_000, 3, (-6700, -6700, -6600)),
    ],
)
def test_rounding(watts: float, phases: int, expected: tuple[float, ...]) -> None:
    """Rounded towards zero to 100 W; what is left goes to the phases, so that they sum to the total."""
    assert ask(watts, phases=phases).power.active_w == expected


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        pytest.param((20_060, 30_050, 10_090), (20_100, 30_000, 10_100), id="discharge"),
        pytest.param((-20_060, -30_050, -10_090), (-20_100, -30_000, -10_100), id="charge"),
        pytest.param((10_050, -30_090, 10_060), (10_000, -30_000, 10_100), id="opposite phases"),
    ],
)
def test_rounding_gives_to_the_phases_that_lost_most(asked: tuple[float, ...], sent: tuple[float, ...]) -> None:
    """The total is rounded towards zero; phases whose own rounding took from it get it back, the largest rest first."""
    decision = decide(Power(asked, (0.0,) * 3), GOOD, Settings(), running_for_s=LONG_AGO)
    assert decision.power.active_w == sent
    assert abs(sum(sent)) == abs(sum(asked)) // 100 * 100


@pytest.mark.parametrize(
    ("watts", "full", "expected"),
    [
        (3000, True, (0, "dead_band")),
        (5000, True, (0, "dead_band")),  # whether the border is taken is unverified
        (5100, True, (5100, "none")),
        (-3000, True, (0, "battery_charge")),
        (-3000, False, (0, "dead_band")),
        (-5000, False, (0, "dead_band")),
        (-5100, False, (-5100, "none")),
        (3000, False, (0, "battery_discharge")),
    ],
)
def test_dead_band(watts: float, full: bool, expected: tuple[float, str]) -> None:
    """A full battery cannot hold a small discharge, an empty one no small charge."""
    change: dict[str, Any] = {"allowed_charge_w": 99} if full else {"allowed_discharge_w": 99}
    assert total(ask(watts, **change)) == expected


@pytest.mark.parametrize(
    "asked", [Power((99.0,), (-99.0,)), Power((-6.0,), (0.0,)), Power((40.0, -40.0, 40.0), (0.0,) * 3)]
)
def test_less_than_a_step(asked: Power) -> None:
    """A request that is too small for the registers has its own reason, lest zero looks unlimited."""
    decision = decide(asked, GOOD, Settings(), running_for_s=LONG_AGO)
    assert (decision.power.is_zero, decision.limit) == (True, Limit.BELOW_STEP)
    assert decide(Power((100.0,), (0.0,)), GOOD, Settings(), running_for_s=LONG_AGO).limit is Limit.NONE


@pytest.mark.parametrize(
    ("watts", "change"), [(3000, {"allowed_charge_w": 100}), (-3000, {"allowed_discharge_w": 100})]
)
def test_no_dead_band_for_a_battery_that_permits_a_step(watts: float, change: dict[str, Any]) -> None:
    """A battery that permits 100 W is neither full nor empty."""
    assert total(ask(watts, **change)) == (watts, "none")


def test_dead_band_takes_reactive_power_too() -> None:
    """Reactive power is zero where active power is forced to zero."""
    assert ask(3000, 10_000, allowed_charge_w=0).power.is_zero


def test_dead_band_comes_after_the_ramp() -> None:
    """A ramp steps over the band instead of through it."""
    sent = [ask(8000, allowed_charge_w=0, running_for_s=30 + second).power.total_active_w for second in range(10)]
    assert sent == [0, 0, 0, 0, 0, 0, 6000, 7000, 8000, 8000]


@pytest.mark.parametrize(
    ("watts", "bounds", "expected"),
    [
        (20_000, SocBounds(upper_w=0), (0, "soc_reserve")),
        (-20_000, SocBounds(upper_w=0), (-20_000, "none")),
        (20_000, forced(-18_000), (-18_000, "soc_charge")),
        (-10_000, forced(-18_000), (-18_000, "soc_charge")),
        (-50_000, forced(-18_000), (-50_000, "none")),
        (20_000, forced(-95_000), (-90_000, "soc_charge")),  # never past what the battery permits
        (20_000, forced(-18_020), (-18_100, "soc_charge")),  # at least so much, in whole steps
        (-20_000, SocBounds(lower_w=0), (0, "soc_maximum")),
        (20_000, SocBounds(lower_w=0), (20_000, "none")),
    ],
)
@pytest.mark.parametrize("phases", [1, 3])
def test_soc_bounds(watts: float, bounds: SocBounds, expected: tuple[float, str], phases: int) -> None:
    """The protection of the state of charge narrows, and may turn a discharge into a charge."""
    assert total(ask(watts, bounds=bounds, phases=phases)) == expected


@pytest.mark.parametrize(
    ("watts", "bounds", "limit"),
    [
        pytest.param(20_000, SocBounds(upper_w=0), "battery_discharge", id="reserve"),
        pytest.param(-20_000, SocBounds(lower_w=0), "battery_charge", id="maximum"),
    ],
)
def test_limit_of_the_battery_is_named_before_the_same_one_of_the_protection(
    watts: float, bounds: SocBounds, limit: str
) -> None:
    """Where the battery permits nothing, nothing is left for the protection to take away."""
    assert total(ask(watts, bounds=bounds, allowed_charge_w=0, allowed_discharge_w=0)) == (0, limit)


def test_phases_keep_their_shares() -> None:
    """A limit on the total scales every phase alike."""
    asked = Power((30_000.0, 20_000.0, 10_000.0), (0.0,) * 3)
    reading = replace(GOOD, allowed_discharge_w=30_000)
    assert decide(asked, reading, Settings(), running_for_s=LONG_AGO).power.active_w == (15_000, 10_000, 5000)


@pytest.mark.parametrize(
    "active",
    [
        (10_000.0, -10_050.0, 0.0),  # a total of -50 W
        (30_000.0, -10_000.0, 0.0),  # a total that would be turned, and the second phase with it
        (-30_000.0, 30_000.0, 0.0),
        (-9000.0, 0.0, 0.0),
        (-5e-324, 0.0, 0.0),
    ],
)
def test_forced_charge_is_split_evenly(active: tuple[float, ...]) -> None:
    """Raising phases to a forced charge by one factor would drive opposite phases apart, so each takes a third."""
    decision = decide(Power(active, (0.0,) * 3), GOOD, Settings(), running_for_s=LONG_AGO, bounds=forced(-18_000))
    assert decision == Decision(Power((-6000,) * 3, (0,) * 3), Limit.SOC_CHARGE)


def test_opposite_phases_keep_their_shares() -> None:
    """One phase charging and another discharging are scaled alike, by what the total demands."""
    asked = Power((60_000.0, -20_000.0, 0.0), (0.0,) * 3)
    reading = replace(GOOD, allowed_discharge_w=20_000)
    assert decide(asked, reading, Settings(), running_for_s=LONG_AGO).power.active_w == (30_000, -10_000, 0)


def test_apparent_power_is_never_rounded_up() -> None:
    """A limit a hair below a whole step permits the step below it."""
    found = ask(200_000, allowed_discharge_w=200_000, settings=Settings(apparent_limit_va=99_999.99999999))
    assert found.power.active_w == (99_900,)


@pytest.mark.parametrize(("active", "reactive"), [((), ()), ((1.0,) * 2, (0.0,) * 2), ((1.0,), (0.0,) * 3)])
def test_power_has_one_value_or_three(active: tuple[float, ...], reactive: tuple[float, ...]) -> None:
    """Setpoints are of all phases together or of three, and the same for both kinds."""
    with pytest.raises(ValueError, match="1 value"):
        Power(active, reactive)


@pytest.mark.parametrize(
    "compare",
    [
        pytest.param(lambda one: one.widened(Power.zero(3)), id="widened"),
        pytest.param(lambda one: one.union(Envelope.zero(3)), id="union"),
        pytest.param(lambda one: one.contains(Power.zero(3)), id="contains"),
        pytest.param(lambda one: one.covers(Power.zero(3)), id="covers"),
        pytest.param(lambda one: one.lingers(Power.zero(3)), id="lingers"),
    ],
)
def test_totals_and_phases_are_never_compared(compare: Callable[[Envelope], object]) -> None:
    """They are other registers, whose values say nothing about these."""
    with pytest.raises(ValueError, match="argument 2"):
        compare(Envelope.zero(1))


@pytest.mark.parametrize(
    ("watts", "contained", "covered"),
    [
        pytest.param(0, True, True, id="zero"),
        pytest.param(20_000, True, True, id="upper end"),
        pytest.param(20_100, False, True, id="a step beyond it"),
        pytest.param(20_101, False, False, id="more than a step beyond it"),
        pytest.param(-10_000, True, True, id="lower end"),
        pytest.param(-10_100, False, True, id="a step below it"),
        pytest.param(-10_101, False, False, id="more than a step below it"),
    ],
)
def test_range_of_setpoints(watts: float, *, contained: bool, covered: bool) -> None:
    """A value that was sent lies in it exactly; a readback may be rounded up by one step."""
    ours = Envelope.zero(1).widened(Power.total(20_000, 0, 1)).widened(Power.total(-10_000, 0, 1))
    power = Power.total(watts, 0, 1)
    assert (ours.contains(power), ours.covers(power)) == (contained, covered)
    assert ours.lingers(power) is (covered and watts != 0)


@pytest.mark.parametrize("var", [-100, 100])
def test_range_of_nothing_is_zero_alone(var: float) -> None:
    """A setpoint that was never sent other than zero is not rounded either."""
    assert not Envelope.zero(1).covers(Power.total(0, var, 1))


def test_range_of_one_setpoint_says_nothing_about_the_others() -> None:
    """Another system's active power beside our reactive power: some of it lingers, not all of it is ours."""
    ours, held = Envelope.zero(1).widened(Power.total(0, 5000, 1)), Power.total(-50_000, 5000, 1)
    assert not ours.covers(held)
    assert ours.lingers(held)
    assert not ours.lingers(Power.total(-50_000, 0, 1))


def test_sum_beyond_every_number() -> None:
    """Values whose sum is no finite number are an error too."""
    with pytest.raises(ValueError, match="finite"):
        decide(Power((1e308,) * 3, (0.0,) * 3), GOOD, Settings(), running_for_s=LONG_AGO)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number(value: float) -> None:
    """A non-finite value is an error that names the power."""
    with pytest.raises(ValueError, match="power must be a finite number"):
        ask(value)
    with pytest.raises(ValueError, match="power must be a finite number"):
        ask(1000, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("apparent_limit_va", 0),
        ("start_delay_s", -1),
        ("ramp_w_per_s", 0),
        ("stale_after_s", 0),
        ("dead_band_w", -1),
        ("dead_band_w", math.nan),
    ],
)
def test_settings_out_of_range(name: str, value: float) -> None:
    """A setting outside its range is refused by name."""
    with pytest.raises(ValueError, match=name):
        Settings(**{name: value})  # type: ignore[arg-type]


WATTS = st.floats(-200_000, 200_000)
LIMIT = st.none() | st.floats(-120_000, 120_000)
READINGS = st.builds(
    Reading,
    age_s=st.none() | st.floats(0, 10),
    system_state=st.sampled_from([None, *SystemState, *[SystemState.START] * 8]),
    battery_state=st.sampled_from([BatteryState.START] * 8 + [BatteryState.STOP, None]),
    battery_mode=st.sampled_from([BatteryMode.NORMAL_MODE] * 8 + [None]),
    operation_mode=st.sampled_from([OperationMode.PQ_SET_POINT] * 8 + [None, OperationMode.IAC_COS_PHI_SET_POINT]),
    stop_request=st.sampled_from([0] * 8 + [1, None]),
    ready=st.sampled_from([True] * 8 + [False]),
    fault=st.sampled_from([False] * 8 + [True]),
    mains_ok=st.sampled_from([None, True, True, True, False]),
    other_setpoints_zero=st.sampled_from([None, True, True, True, False]),
    allowed_charge_w=LIMIT,
    allowed_discharge_w=LIMIT,
    inverter_charge_w=LIMIT,
    inverter_discharge_w=LIMIT,
    soc=st.none() | st.floats(0, 100),
)
ASKED = st.builds(lambda p, q: Power((p,), (q,)), WATTS, WATTS) | st.builds(
    lambda p, q: Power(tuple(p), tuple(q)),
    st.lists(WATTS, min_size=3, max_size=3),
    st.lists(WATTS, min_size=3, max_size=3),
)
BOUNDS = st.builds(
    SocBounds,
    lower_w=st.none() | st.just(0.0),
    upper_w=st.none() | st.floats(-100_000, 0),
    upper_limit=st.just(Limit.SOC_CHARGE),
)
SETTINGS = st.builds(Settings, apparent_limit_va=st.just(100_000) | st.floats(100, 200_000))
OF_BATTERY = {
    Limit.BATTERY_CHARGE,
    Limit.BATTERY_DISCHARGE,
    Limit.INVERTER_CHARGE,
    Limit.INVERTER_DISCHARGE,
    Limit.SOC_RESERVE,
    Limit.SOC_MAXIMUM,
}


@given(ASKED, READINGS, st.none() | st.floats(0, 200), BOUNDS)
@examples(max_examples=600, deadline=None)
def test_nothing_grows(asked: Power, reading: Reading, running_for_s: float | None, bounds: SocBounds) -> None:
    """No phase gets more than was asked of it, or another sign, but for the step of rounding and a forced charge."""
    decision = decide(asked, reading, Settings(), running_for_s=running_for_s, bounds=bounds)
    power, active = decision.power, decision.power.total_active_w
    pairs = list(zip(power.reactive_var, asked.reactive_var, strict=True))
    if bounds.upper_w is None or asked.total_active_w <= bounds.upper_w or bounds.upper_w == 0:
        pairs += zip(power.active_w, asked.active_w, strict=True)
    assert all(abs(sent) < abs(wanted) + 100 and sent * wanted >= 0 for sent, wanted in pairs)
    if decision.limit is Limit.SOC_CHARGE and bounds.upper_w is not None:
        narrowest = abs(reading.allowed_charge_w or 0)
        if reading.inverter_charge_w or reading.inverter_discharge_w:
            narrowest = min(narrowest, abs(reading.inverter_charge_w or 0))
        assert active <= bounds.upper_w or active <= -(narrowest // 100 * 100) or bounds.lower_w == active == 0
    if bounds.lower_w is not None:
        assert active >= 0
    if decision.limit in OF_BATTERY and active == 0 and not any(power.active_w):
        assert power.is_zero


@given(ASKED, READINGS, st.none() | st.floats(0, 200), BOUNDS, SETTINGS)
@examples(max_examples=800, deadline=None)
def test_properties(
    asked: Power, reading: Reading, running_for_s: float | None, bounds: SocBounds, settings: Settings
) -> None:
    """For any request and reading: within every limit, outside the dead band, in whole steps, and deterministic."""
    decision = decide(asked, reading, settings, running_for_s=running_for_s, bounds=bounds)
    power, count = decision.power, len(asked.active_w)
    active, reactive = power.total_active_w, power.total_reactive_var
    assert len(power.active_w) == len(power.reactive_var) == count
    assert all(value % 100 == 0 for value in (*power.active_w, *power.reactive_var))
    assert -abs(reading.allowed_charge_w or 0) <= active <= abs(reading.allowed_discharge_w or 0)
    if bounds.upper_w is not None and any(asked.active_w):
        assert active <= 0
    assert math.hypot(active, reactive) <= settings.apparent_limit_va + 1e-6
    for one, other in zip(power.active_w, power.reactive_var, strict=True):
        assert math.hypot(one, other) <= settings.apparent_limit_va / count + 1e-6
    if abs(reading.allowed_charge_w or 0) < 100:
        assert not 0 < active <= 5000
    if abs(reading.allowed_discharge_w or 0) < 100:
        assert not -5000 <= active < 0
    if (
        reading.age_s is None
        or reading.age_s > 5
        or reading.fault
        or reading.system_state is not SystemState.START
        or reading.battery_state is not BatteryState.START
        or reading.battery_mode is not BatteryMode.NORMAL_MODE
        or reading.operation_mode is not OperationMode.PQ_SET_POINT
        or reading.stop_request != 0
        or not reading.ready
        or reading.other_setpoints_zero is False
        or reading.mains_ok is False
    ):
        assert power.is_zero
    if running_for_s is None or running_for_s <= 30:
        assert power.is_zero
    if decision.limit is Limit.NONE:
        assert abs(active - asked.total_active_w) < 100 * count
    assert decide(asked, reading, settings, running_for_s=running_for_s, bounds=bounds) == decision


@given(st.floats(-100_000, 100_000), st.floats(0, 100_000), st.floats(0, 100_000))
@examples(max_examples=300, deadline=None)
def test_phases_sum_to_the_total(watts: float, charge: float, discharge: float) -> None:
    """Three phases carry what one total would, but for the thirds of the apparent power in whole steps."""
    change: dict[str, Any] = {"allowed_charge_w": charge, "allowed_discharge_w": discharge}
    one, three = ask(watts, **change), ask(watts, phases=3, **change)
    assert abs(one.power.total_active_w - three.power.total_active_w) <= (100 if abs(watts) > 99_900 else 0)
