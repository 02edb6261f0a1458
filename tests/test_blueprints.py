"""Each blueprint, loaded and run by Home Assistant itself: its messages and commands are compared."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.blueprint.importer import fetch_blueprint_from_url
from homeassistant.components.blueprint.models import DomainBlueprints
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, State, SupportsResponse, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.setup import async_setup_component
from homeassistant.util import yaml as yaml_util
from modbus_connection import ModbusTimeoutError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker

from .bits import GROUP_3_SILENT, INVERTER_FAULT, SMOKE
from .generated import INTEGRATION
from .helpers import state, switch
from .registers import ACTIVE_POWER, ACTIVE_SETPOINT
from .studies import site as study, table

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "blueprints" / "automation"
BLUEPRINTS = sorted(FOLDER.rglob("*.yaml"))
REPOSITORY: str = json.loads((INTEGRATION / "manifest.json").read_text())["documentation"]
RAW = REPOSITORY.replace("https://github.com", "https://raw.githubusercontent.com")

START = datetime(2026, 11, 25, 10, 0, 1, 300_000, tzinfo=UTC)
"""A Wednesday, shortly into a quarter-hour; what is due in a second is done in it."""
GRID = "sensor.meter_power"
QUARTER = "sensor.meter_quarter"
PEAK = "input_number.peak"
ESS = "sensor.ess_active_power"
SOC = "sensor.ess_soc"
PRICE = "sensor.price"
ALARMS = "event.ess_alarms"
ACTIVE = "sensor.ess_active_alarms"
BUTTON = "input_button.seen"

SEND = [{"action": "test.send", "data": {"title": "{{ title }}", "message": "{{ message }}"}}]
ESCALATE = [{"action": "test.escalate", "data": {"title": "{{ title }}", "message": "{{ message }}"}}]

INPUTS: dict[str, dict[str, Any]] = {
    "alarm_notification": {
        "alarms": ALARMS,
        "active_alarms": ACTIVE,
        "notify": SEND,
        "escalation": ESCALATE,
        "acknowledge": BUTTON,
        "interval": {"minutes": 10},
        "reminder_count": 3,
    },
    "charge_window": {"ess": "refu", "soc": SOC},
    "peak_guard": {
        "ess": "refu",
        "ess_power": ESS,
        "soc": SOC,
        "grid_power": GRID,
        "quarter_energy": QUARTER,
        "period_peak": PEAK,
        "contract": 80,
        "recharge_power": 0,
        "margin": 0,
    },
    "peak_record": {"quarter_energy": QUARTER, "period_peak": PEAK},
    "soc_warning": {"soc": SOC, "notify": SEND},
    "surplus": {"ess": "refu", "ess_power": ESS, "soc": SOC, "grid_power": GRID, "target": 0},
}


@pytest.fixture(autouse=True)
def _folder() -> Iterator[None]:
    """Home Assistant reads the blueprints of this repository."""
    with patch.object(DomainBlueprints, "blueprint_folder", PropertyMock(return_value=FOLDER)):
        yield


@pytest.fixture(autouse=True)
async def _utc(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """It is a known time, in a known zone."""
    await hass.config.async_set_time_zone("UTC")
    freezer.move_to(START)


@pytest.fixture
def commands(hass: HomeAssistant) -> list[dict[str, Any]]:
    """Collect the calls of `set_power`, without an ESS."""
    calls: list[dict[str, Any]] = []

    @callback
    def record(call: ServiceCall) -> ServiceResponse:
        calls.append(dict(call.data))
        return {}

    hass.services.async_register("refu_ess", "set_power", record, supports_response=SupportsResponse.OPTIONAL)
    return calls


@pytest.fixture
def sent(hass: HomeAssistant) -> list[tuple[str, str, str]]:
    """The messages: how they were sent, title and text."""
    messages: list[tuple[str, str, str]] = []

    @callback
    def record(call: ServiceCall) -> None:
        messages.append((call.service, call.data["title"], call.data["message"]))

    for service in ("send", "escalate"):
        hass.services.async_register("test", service, record)
    return messages


type Automate = Callable[..., Awaitable[None]]


@pytest.fixture
async def automate(hass: HomeAssistant) -> AsyncIterator[Automate]:
    """Makes an automation of a blueprint; it is turned off at the end."""

    async def make(name: str, **inputs: Any) -> None:
        config = {
            "id": name,
            "alias": name,
            "use_blueprint": {"path": f"refu_ess/{name}.yaml", "input": {**INPUTS[name], **inputs}},
        }
        assert await async_setup_component(hass, "automation", {"automation": config})
        await settle()
        state = hass.states.get(f"automation.{name}")
        assert state is not None
        assert state.state == "on"

    yield make
    await hass.services.async_call("automation", "turn_off", {"entity_id": "all"}, blocking=True)
    await settle()


async def settle() -> None:
    """Let everything run that can; `async_block_till_done` would wait for the delays inside an automation."""
    for _ in range(40):
        await asyncio.sleep(0)


async def pass_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float, step: float = 1) -> None:
    """Let time go by in steps."""
    for _ in range(round(seconds / step)):
        freezer.tick(timedelta(seconds=step))
        async_fire_time_changed(hass)
        await settle()


async def at(hass: HomeAssistant, freezer: FrozenDateTimeFactory, minute: int, second: int = 0) -> None:
    """Go to this time of the hour at once; what is due is done."""
    freezer.move_to(START.replace(minute=minute, second=second))
    async_fire_time_changed(hass)
    await settle()


def show(hass: HomeAssistant, entity_id: str, value: object, unit: str | None = None, **attributes: Any) -> None:
    """Let an entity show a value."""
    if unit is not None:
        attributes["unit_of_measurement"] = unit
    hass.states.async_set(entity_id, str(value), attributes)


def site(
    hass: HomeAssistant, grid_kw: float, quarter_kwh: float = 0, ess_kw: float = 0, soc: float = 60, peak_kw: float = 0
) -> None:
    """Let all entities of a site show values."""
    show(hass, GRID, grid_kw, "kW")
    show(hass, QUARTER, quarter_kwh, "kWh", last_period="0")
    show(hass, ESS, ess_kw, "kW")
    show(hass, SOC, soc, "%")
    show(hass, PEAK, peak_kw, "kW")


def powers(commands: list[dict[str, Any]]) -> list[float]:
    """The active powers of the commands."""
    return [command["active_power"] for command in commands]


# All of them


def test_every_blueprint_is_tested() -> None:
    assert {path.stem for path in BLUEPRINTS} == set(INPUTS)


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
async def test_import_by_link(hass: HomeAssistant, path: Path, aioclient_mock: AiohttpClientMocker) -> None:
    """The link in `source_url` leads to the file, and what is stored after an import is the same blueprint."""
    relative = path.relative_to(ROOT).as_posix()
    aioclient_mock.get(f"{RAW}/main/{relative}", text=path.read_text())  # noqa: ASYNC240 - a small file in a test
    loaded = yaml_util.load_yaml_dict(path)
    url = loaded["blueprint"]["source_url"]
    assert url == f"{REPOSITORY}/blob/main/{relative}"
    imported = await fetch_blueprint_from_url(hass, url)
    assert imported.blueprint.validate() is None
    stored = yaml_util.parse_yaml(imported.blueprint.yaml())
    assert isinstance(stored, dict)
    assert stored["blueprint"].keys() == loaded["blueprint"].keys()
    del stored["blueprint"], loaded["blueprint"]
    assert stored == yaml_util.parse_yaml(yaml_util.dump(loaded))


# Peak guard


async def test_guard_leaves_the_first_ten_minutes_alone(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate
) -> None:
    """100 kW at a limit of 80 kW waits for ten minutes, then spends what is left evenly."""
    site(hass, 100)
    await automate("peak_guard")
    await pass_time(hass, freezer, 60)
    assert commands == []
    await at(hass, freezer, 10)
    site(hass, 100, 100 * 10 / 60)
    await pass_time(hass, freezer, 10)
    # 20 kWh less 16.667 kWh over 290 s, since it is 10:10:10, allow 41.4 kW.
    assert commands == [{"config_entry_id": "refu", "active_power": 58_700, "duration": "00:00:30"}]


async def test_guard_acts_early_if_the_battery_could_not_catch_up(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate
) -> None:
    """Above the share of what the battery can give, it does not wait; its allowed power counts if it is lower."""
    show(hass, "sensor.allowed", 30, "kW")
    site(hass, 100)
    await automate("peak_guard", allowed_discharge="sensor.allowed")
    await at(hass, freezer, 1)
    site(hass, 100, 100 / 60)
    await pass_time(hass, freezer, 10)
    assert powers(commands) == [20_500]  # more than 60 % of 30 kW
    show(hass, "sensor.allowed", 20_000, "W")
    site(hass, 101, 100 / 60, ess_kw=20)
    await pass_time(hass, freezer, 10)
    assert powers(commands)[-1] == 20_000


@pytest.mark.parametrize(
    ("grid", "ess", "quarter"),
    [
        ((100, "kW"), (0, "kW"), (50 / 3, "kWh")),
        ((100_000, "W"), (0, "W"), (50_000 / 3, "Wh")),
        ((0.1, "MW"), (0, "kW"), (0.05 / 3, "MWh")),
        ((70_000, "W"), (30, "kW"), (50 / 3, "kWh")),
    ],
)
async def test_guard_in_any_unit(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    grid: tuple[float, str],
    ess: tuple[float, str],
    quarter: tuple[float, str],
) -> None:
    """The same site in other units leads to the same command in W."""
    site(hass, 0)
    show(hass, GRID, *grid)
    show(hass, ESS, *ess)
    show(hass, QUARTER, *quarter)
    await automate("peak_guard")
    await at(hass, freezer, 10, 1)
    for entity, value in ((GRID, grid), (QUARTER, quarter)):
        show(hass, entity, *value, seen=1)
    await pass_time(hass, freezer, 9)
    assert powers(commands) == [58_700]


BAD_FOR_ALL = [
    (GRID, "unavailable", "kW"),
    (GRID, "unknown", "kW"),
    (GRID, "nan", "kW"),
    (GRID, "100", "BTU/h"),
    (GRID, "100", None),
    (ESS, "unavailable", "kW"),
    (ESS, "0", "hp"),
    (SOC, "unavailable", "%"),
]


@pytest.mark.parametrize("name", ["peak_guard", "surplus"])
@pytest.mark.parametrize(("entity", "value", "unit"), BAD_FOR_ALL)
async def test_nothing_is_commanded_on_bad_readings(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    caplog: pytest.LogCaptureFixture,
    name: str,
    entity: str,
    value: str,
    unit: str | None,
) -> None:
    """Unknown readings lead to no command and no error; the command follows as soon as they are known."""
    site(hass, 150, 35)
    show(hass, entity, value, unit)
    await automate(name)
    await at(hass, freezer, 11)
    show(hass, GRID, 150, "kW", seen=1) if entity != GRID else None
    await pass_time(hass, freezer, 30)
    assert commands == []
    site(hass, 150, 35)
    await pass_time(hass, freezer, 10)
    assert len(commands) == 1
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "WARNING"} and name in record.name]


@pytest.mark.parametrize("name", ["peak_guard", "surplus"])
async def test_an_old_reading_ends_the_commands(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate, name: str
) -> None:
    """A meter that falls silent without becoming unavailable is not believed for longer than a minute."""
    site(hass, 150, 35)
    await automate(name)
    await at(hass, freezer, 11)
    site(hass, 150.1, 35)
    await pass_time(hass, freezer, 180)
    assert len(commands) == 6
    assert {command["duration"] for command in commands} == {"00:00:30"}


@pytest.mark.parametrize("name", ["peak_guard", "surplus"])
async def test_a_slow_meter_does_not_make_it_swing(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate, name: str
) -> None:
    """While the meter still shows the time before the command, what the battery delivers is not added."""
    site(hass, 150)
    await automate(name, **({"discharge_power": 1000} if name == "surplus" else {}))
    await pass_time(hass, freezer, 10)
    first = powers(commands)[-1]
    assert first > 60_000
    show(hass, ESS, first / 1000, "kW")
    await pass_time(hass, freezer, 20)
    assert [round(power, -4) for power in powers(commands)] == [round(first, -4)] * 3


async def test_guard_without_quarter_energy_is_a_cap(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate
) -> None:
    """Without the energy of the quarter-hour nothing may be saved for later."""
    site(hass, 100)
    show(hass, QUARTER, "unavailable", "kWh")
    await automate("peak_guard")
    await pass_time(hass, freezer, 10)
    assert powers(commands) == [20_000]


@pytest.mark.parametrize(
    ("peak", "unit", "expected"),
    [
        (90, "kW", [10_000]),
        (90_000, "W", [10_000]),
        (70, "kW", [20_000]),
        ("unknown", "kW", [20_000]),
        (90, None, [20_000]),
    ],
)
async def test_guard_limit_is_the_higher_of_contract_and_peak(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    peak: object,
    unit: str | None,
    expected: list[float],
) -> None:
    """A peak that has been billed anyway is free; one of an unknown unit does not count."""
    site(hass, 100)
    show(hass, QUARTER, "unavailable", "kWh")
    show(hass, PEAK, peak, unit)
    await automate("peak_guard")
    await pass_time(hass, freezer, 10)
    assert powers(commands) == expected


WINTER = {"first_day": "11-01", "last_day": "02-28", "weekdays": ["mon", "wed"], "from": "09:00:00", "to": "11:00:00"}


@pytest.mark.parametrize(
    ("windows", "acts"),
    [
        ([], True),
        ([WINTER], True),
        ([WINTER | {"weekdays": ["thu"]}], False),
        ([WINTER | {"first_day": "12-01"}], False),
        ([WINTER | {"from": "11:00:00", "to": "12:00:00"}], False),
        ([WINTER | {"from": "22:00:00", "to": "11:00:00"}], True),
        ([{"from": "10:00:00", "to": "10:15:00"}], True),
        ([WINTER | {"first_day": "12-01"}, {"from": "00:00:00", "to": "00:00:00"}], True),
    ],
)
async def test_guard_windows(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    windows: list[dict[str, Any]],
    acts: bool,
) -> None:
    """Outside all windows nothing is shaved. It is Wednesday, 25 November, ten o'clock."""
    site(hass, 100)
    show(hass, QUARTER, "unavailable", "kWh")
    await automate("peak_guard", windows=windows)
    await pass_time(hass, freezer, 10)
    assert powers(commands) == ([20_000] if acts else [])


@pytest.mark.parametrize(
    ("soc", "inputs", "expected"),
    [
        (10, {}, []),
        (11, {}, [20_000]),
        (51, {"ceiling_soc": 50}, []),
        (50, {"ceiling_soc": 50}, [20_000]),
    ],
)
async def test_guard_state_of_charge(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    soc: float,
    inputs: dict[str, Any],
    expected: list[float],
) -> None:
    site(hass, 100, soc=soc)
    show(hass, QUARTER, "unavailable", "kWh")
    await automate("peak_guard", **inputs)
    await pass_time(hass, freezer, 10)
    assert powers(commands) == expected


@pytest.mark.parametrize(
    ("grid", "ess", "soc", "expected"),
    [
        (50, 0, 60, [-20_000]),
        (60, 0, 60, [-12_000]),  # nine tenths of 80 kW are left
        (69.5, 0, 60, []),  # less than 3 kW to start with
        (69.5, -12, 60, [-14_500]),  # it charges already
        (50, 0, 76, []),  # starts 5 % below its end
        (50, -12, 76, [-20_000]),
        (50, -12, 80, []),
    ],
)
async def test_guard_recharges_below_the_limit(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    grid: float,
    ess: float,
    soc: float,
    expected: list[float],
) -> None:
    """Its own charging must not set the peak."""
    site(hass, grid, ess_kw=ess, soc=soc)
    await automate("peak_guard", recharge_power=20)
    await pass_time(hass, freezer, 10)
    assert powers(commands) == expected


@pytest.mark.parametrize("name", ["peak_guard", "surplus"])
async def test_export_as_positive(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate, name: str
) -> None:
    site(hass, -100)
    show(hass, QUARTER, "unavailable", "kWh")
    await automate(name, export_positive=True)
    await pass_time(hass, freezer, 10)
    assert powers(commands) == [20_000 if name == "peak_guard" else 100_000]


# Peak record


@pytest.mark.parametrize("expected_lingering_timers", [True])  # the Utility meter's own
async def test_record_of_a_utility_meter(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, automate: Automate
) -> None:
    """With Home Assistant's own helpers: the highest quarter-hour is kept, and the next month begins at 0."""
    freezer.move_to(datetime(2026, 11, 30, 23, 20, 0, 300_000, tzinfo=UTC))
    helper = {"peak": {"min": 0, "max": 10_000, "initial": 0, "step": 0.001, "unit_of_measurement": "kW"}}
    assert await async_setup_component(hass, "input_number", {"input_number": helper})
    meter = {"meter_quarter": {"source": "sensor.counter", "cycle": "quarter-hourly"}}
    energy = {"device_class": "energy", "state_class": "total_increasing"}
    show(hass, "sensor.counter", 1000, "kWh", **energy)
    assert await async_setup_component(hass, "utility_meter", {"utility_meter": meter})
    await hass.async_block_till_done()
    await automate("peak_record")

    async def quarter(kwh: float) -> float:
        before = float(state(hass, "sensor.counter"))
        await pass_time(hass, freezer, 300, 30)
        show(hass, "sensor.counter", before + kwh, "kWh", **energy)
        await pass_time(hass, freezer, 590, 10)
        await pass_time(hass, freezer, 10)
        return float(state(hass, PEAK))

    await pass_time(hass, freezer, 610, 10)  # until 23:30:10
    assert await quarter(20) == 80
    assert await quarter(25) == 0  # it was the last of November, and December begins without a peak
    assert await quarter(5) == 20


async def test_record_begins_again_after_a_break(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, automate: Automate
) -> None:
    """Home Assistant was not running when the month changed; the peak of last month does not stay."""
    last_run = State("automation.peak_record", "on", {"last_triggered": "2026-10-31T23:45:05+00:00"})
    helper = {"peak": {"min": 0, "max": 999, "initial": 95, "unit_of_measurement": "kW"}}
    assert await async_setup_component(hass, "input_number", {"input_number": helper})
    show(hass, QUARTER, 0, "kWh", last_period="12.5")
    with patch("homeassistant.helpers.restore_state.RestoreEntity.async_get_last_state", return_value=last_run):
        await automate("peak_record")
    assert await quarter_end(hass, freezer) == "50.0"


async def quarter_end(hass: HomeAssistant, freezer: FrozenDateTimeFactory, minute: int = 15) -> str:
    """Pass the end of a quarter-hour and return the recorded peak."""
    await at(hass, freezer, minute, 0)
    await pass_time(hass, freezer, 7)
    state = hass.states.get(PEAK)
    assert state is not None
    return state.state


@pytest.mark.parametrize(
    ("energy", "peak_unit", "expected"),
    [
        (("0", "kWh", "25"), "kW", 100.0),
        (("0", "Wh", "25000"), "kW", 100.0),
        (("0", "MWh", "0.025"), "W", 100_000.0),
        (("unavailable", "kWh", "25"), "kW", 50.0),
        (("0", "kJ", "25"), "kW", 50.0),
        (("0", "kWh", None), "kW", 50.0),
        (("0", "kWh", "25"), None, 50.0),
        (("0", "kWh", "10"), "kW", 50.0),
    ],
)
async def test_record_in_any_unit(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    energy: tuple[str, str, str | None],
    peak_unit: str | None,
    expected: float,
) -> None:
    """A peak of 50 stays unless a known quarter-hour is higher."""
    helper = {"peak": {"min": 0, "max": 1_000_000, "initial": 50}}
    if peak_unit is not None:
        helper["peak"]["unit_of_measurement"] = peak_unit  # type: ignore[assignment]
    assert await async_setup_component(hass, "input_number", {"input_number": helper})
    show(hass, QUARTER, energy[0], energy[1], last_period=energy[2])
    await automate("peak_record")
    assert float(await quarter_end(hass, freezer)) == expected


async def test_record_counts_windows_only(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, automate: Automate
) -> None:
    """The quarter-hour that has just ended is the one that must lie in a window."""
    assert await async_setup_component(
        hass, "input_number", {"input_number": {"peak": {"min": 0, "max": 999, "unit_of_measurement": "kW"}}}
    )
    show(hass, QUARTER, 0, "kWh", last_period="25")
    await automate("peak_record", windows=[{"from": "10:15:00", "to": "10:30:00"}])
    assert await quarter_end(hass, freezer, 15) == "0.0"
    assert await quarter_end(hass, freezer, 30) == "100.0"


# Surplus


@pytest.mark.parametrize(
    ("grid", "ess", "soc", "expected"),
    [
        (-30, 0, 60, [-30_000]),
        (30, 0, 60, [30_000]),
        (5, -30, 60, [-25_000]),
        (-5, 30, 60, [25_000]),
        (2.9, 0, 60, []),
        (-2.9, 0, 60, []),
        (0, 2, 60, [2_000]),  # once running, half of it is enough
        (0, 1.4, 60, []),
        (300, 0, 60, [100_000]),
        (-300, 0, 60, [-100_000]),
        (30, 0, 17, []),
        (30, 0, 18, [30_000]),
        (0, 30, 16, [30_000]),
        (0, 30, 15, []),
        (-30, 0, 93, []),
        (-30, 0, 92, [-30_000]),
        (0, -30, 94, [-30_000]),
        (0, -30, 95, []),
    ],
)
async def test_surplus(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    grid: float,
    ess: float,
    soc: float,
    expected: list[float],
) -> None:
    site(hass, grid, ess_kw=ess, soc=soc)
    await automate("surplus")
    await pass_time(hass, freezer, 9)
    assert [float(power) for power in powers(commands)] == expected


async def test_surplus_pauses(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate
) -> None:
    site(hass, -30)
    show(hass, "input_boolean.pause", "off")
    await automate("surplus", pause="input_boolean.pause")
    await pass_time(hass, freezer, 9)
    assert len(commands) == 1
    show(hass, "input_boolean.pause", "on")
    await pass_time(hass, freezer, 30)
    assert len(commands) == 1


@pytest.mark.parametrize("name", ["peak_guard", "surplus", "charge_window"])
async def test_a_refusal_is_logged_once_a_minute(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """An ESS in fault refuses; the automation goes on trying without filling the log."""
    asked: list[ServiceCall] = []

    @callback
    def refuse(call: ServiceCall) -> ServiceResponse:
        asked.append(call)
        raise ServiceValidationError("Fault")

    hass.services.async_register("refu_ess", "set_power", refuse, supports_response=SupportsResponse.OPTIONAL)
    site(hass, 150)
    show(hass, QUARTER, "unavailable", "kWh")
    await automate(name, **({} if name == "charge_window" else {"meter_timeout": 3600}))
    await pass_time(hass, freezer, 180)
    assert 2 <= len(asked) <= 3


# Charge window


def priced(hass: HomeAssistant, price: object) -> None:
    """Let the price be this."""
    show(hass, PRICE, price, "EUR/MWh")


@pytest.mark.parametrize(
    ("start", "end", "charges"),
    [
        ("00:00:00", "00:00:00", True),
        ("09:00:00", "11:00:00", True),
        ("11:00:00", "12:00:00", False),
        ("22:00:00", "06:00:00", False),
        ("22:00:00", "11:00:00", True),
    ],
)
async def test_charge_by_time(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    start: str,
    end: str,
    charges: bool,
) -> None:
    show(hass, SOC, 40, "%")
    await automate("charge_window", start=start, end=end)
    await pass_time(hass, freezer, 59)
    command = {"config_entry_id": "refu", "active_power": -20_000, "duration": "00:01:30"}
    assert commands == ([command] * 2 if charges else [])


@pytest.mark.parametrize(
    ("price", "charges"), [(49.9, True), (50, True), (50.1, False), (-3, True), ("unavailable", False), ("nan", False)]
)
async def test_charge_by_price(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    price: object,
    charges: bool,
) -> None:
    show(hass, SOC, 40, "%")
    priced(hass, price)
    await automate("charge_window", price=PRICE, highest_price=50)
    await pass_time(hass, freezer, 30)
    assert powers(commands) == ([-20_000] if charges else [])


async def test_charge_up_to_a_state_of_charge(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate
) -> None:
    """It ends where it should, and starts again 3 % below."""
    show(hass, SOC, 88, "%")
    await automate("charge_window")
    await pass_time(hass, freezer, 30)
    assert commands == []
    show(hass, SOC, 87, "%")
    await pass_time(hass, freezer, 30)
    show(hass, SOC, 89, "%")
    await pass_time(hass, freezer, 30)
    assert len(commands) == 2
    show(hass, SOC, 90, "%")
    await pass_time(hass, freezer, 60)
    assert len(commands) == 2


@pytest.mark.parametrize(
    ("grid", "unit", "ess", "expected"),
    [
        (50, "kW", 0, [-10_000]),
        (50_000, "W", 0, [-10_000]),
        (20, "kW", 0, [-20_000]),
        (59.5, "kW", 0, []),
        (60, "kW", -15, [-15_000]),
        ("unavailable", "kW", 0, []),
        (50, "hp", 0, []),
        (50, "kW", "unknown", []),
    ],
)
async def test_charge_below_an_import(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    commands: list[dict[str, Any]],
    automate: Automate,
    grid: object,
    unit: str,
    ess: object,
    expected: list[float],
) -> None:
    show(hass, SOC, 40, "%")
    show(hass, GRID, grid, unit)
    show(hass, ESS, ess, "kW")
    await automate("charge_window", grid_power=GRID, ess_power=ESS, grid_limit=60)
    await pass_time(hass, freezer, 30)
    assert powers(commands) == expected


async def test_charge_needs_both_or_none_of_meter_and_power(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate
) -> None:
    """An import that cannot be limited is not risked, nor is one whose reading is old."""
    show(hass, SOC, 40, "%")
    show(hass, GRID, 10, "kW")
    await automate("charge_window", grid_power=GRID, grid_limit=60)
    await pass_time(hass, freezer, 60)
    assert commands == []


async def test_charge_ends_with_the_meter(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, commands: list[dict[str, Any]], automate: Automate
) -> None:
    show(hass, SOC, 40, "%")
    show(hass, GRID, 10, "kW")
    show(hass, ESS, 0, "kW")
    await automate("charge_window", grid_power=GRID, ess_power=ESS, grid_limit=60)
    await pass_time(hass, freezer, 300)
    assert len(commands) == 4


# State of charge warning


async def test_reserve_warning(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, automate: Automate, sent: list[tuple[str, str, str]]
) -> None:
    """One message below the reserve, one at the critical level, one when it is full again."""
    show(hass, SOC, 40, "%", friendly_name="Cellar")
    await automate("soc_warning")

    async def soc(value: object, seconds: int = 130) -> None:
        show(hass, SOC, value, "%", friendly_name="Cellar")
        await settle()
        await pass_time(hass, freezer, seconds, 10)

    await soc(19, 60)
    await soc(21)
    assert sent == []  # it did not last
    await soc(19)
    await soc(15)
    await soc("unavailable")
    await soc(15)
    await soc(9)
    await soc(8)
    await soc(25)
    await soc(9)
    await soc(31)
    await soc(40)
    assert sent == [
        ("send", "Battery below its reserve", "Cellar: the state of charge is 19 %, below 20 %."),
        ("send", "Battery nearly empty", "Cellar: the state of charge is 9 %, below 10 %."),
        ("send", "Battery reserve full again", "Cellar: the state of charge is 31 %."),
    ]
    await soc(5)
    assert sent[-1] == ("send", "Battery nearly empty", "Cellar: the state of charge is 5 %, below 10 %.")
    assert len(sent) == 4


# Alarms


class Ess:
    """An ESS's alarms as its entities show them."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
        """Begin without alarms."""
        self.hass, self.freezer = hass, freezer
        self.active: list[str] = []
        self.last = "unknown"
        self._count()
        hass.states.async_set(ALARMS, self.last)
        hass.states.async_set(BUTTON, "unknown")

    def _count(self) -> None:
        self.hass.states.async_set(ACTIVE, str(len(self.active)), {"alarms": list(self.active)})

    def tell(self, kind: str, text: str, severity: str = "fault", **more: Any) -> None:
        """An alarm is raised or cleared; what explains is written first."""
        (self.active.append if kind == "raised" else self.active.remove)(text)
        self._count()
        self.freezer.tick(timedelta(milliseconds=1))
        self.last = datetime.now(UTC).isoformat(timespec="milliseconds")
        details = {"event_type": kind, "key": text.lower(), "text": text, "severity": severity, "category": "battery"}
        self.hass.states.async_set(ALARMS, self.last, details | more)


@pytest.fixture
def ess(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Ess:
    """An ESS without alarms."""
    return Ess(hass, freezer)


async def test_five_alarms_at_once(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    sent: list[tuple[str, str, str]],
    ess: Ess,
) -> None:
    """Five messages in their order, then one reminder that lists all five, which escalates, until acknowledged."""
    await automate("alarm_notification")
    for number in range(5):
        ess.tell("raised", f"Alarm {number}")
    for _ in range(10):
        await settle()
    title = "REFU ESS: fault"
    assert sent == [("send", title, f"Alarm {number} (fault, battery)") for number in range(5)]
    sent.clear()

    await pass_time(hass, freezer, 605, 5)
    everything = "Active: Alarm 0, Alarm 1, Alarm 2, Alarm 3, Alarm 4"
    assert sent == [("send", "REFU ESS: reminder 1, not acknowledged", everything)]
    sent.clear()
    await pass_time(hass, freezer, 605, 5)
    second = ("REFU ESS: reminder 2, not acknowledged", everything)
    assert sent == [("send", *second), ("escalate", *second)]
    sent.clear()
    hass.states.async_set(BUTTON, "2026-11-25T10:30:00+00:00")
    await pass_time(hass, freezer, 1800, 5)
    assert sent == []

    ess.tell("raised", "Alarm 5", "warning")
    await settle()
    assert sent == [("send", "REFU ESS: warning", "Alarm 5 (warning, battery)")]


async def test_reminders_end(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    sent: list[tuple[str, str, str]],
    ess: Ess,
) -> None:
    """With their number, with the last alarm, or with the phone's button."""
    await automate("alarm_notification")
    ess.tell("raised", "Smoke")
    await pass_time(hass, freezer, 6000, 10)
    assert [how for how, _, _ in sent] == ["send", "send", "send", "escalate", "send", "escalate"]
    sent.clear()

    ess.tell("cleared", "Smoke")
    ess.tell("raised", "Fuse")
    await pass_time(hass, freezer, 100, 10)
    ess.tell("cleared", "Fuse")
    await pass_time(hass, freezer, 3000, 10)
    assert sent == [("send", "REFU ESS: fault", "Fuse (fault, battery)")]
    sent.clear()

    ess.tell("raised", "Fan")
    await pass_time(hass, freezer, 100, 10)
    hass.bus.async_fire("mobile_app_notification_action", {"action": "SOMETHING_ELSE"})
    await pass_time(hass, freezer, 600, 10)
    assert len(sent) == 2
    hass.bus.async_fire("mobile_app_notification_action", {"action": "REFU_ESS_ACKNOWLEDGE"})
    await pass_time(hass, freezer, 3000, 10)
    assert len(sent) == 2


async def test_an_alarm_during_reminders_is_told_at_once(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    sent: list[tuple[str, str, str]],
    ess: Ess,
) -> None:
    """It does not wait until the reminders of the one before have ended."""
    await automate("alarm_notification")
    ess.tell("raised", "Smoke")
    await pass_time(hass, freezer, 60, 10)
    ess.tell("raised", "Fuse")
    await pass_time(hass, freezer, 2)
    assert [text for _, _, text in sent] == ["Smoke (fault, battery)", "Fuse (fault, battery)"]
    await pass_time(hass, freezer, 610, 10)
    assert [text for _, _, text in sent][2:] == ["Active: Smoke, Fuse"]


async def test_what_is_no_new_alarm(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    sent: list[tuple[str, str, str]],
    ess: Ess,
) -> None:
    """A start, a reconnect, another severity and an end are none."""
    hass.states.async_remove(ALARMS)
    await automate("alarm_notification", severities=["fault"])
    attributes = {"event_type": "raised", "text": "Old", "severity": "fault", "category": "battery"}
    for value in ("2026-11-24T10:00:00+00:00", "unavailable", "2026-11-24T10:00:00+00:00"):
        hass.states.async_set(ALARMS, value, attributes if value != "unavailable" else {})
        await settle()
    ess.tell("raised", "Mild", "warning")
    await settle()
    ess.tell("cleared", "Mild", "warning")
    await settle()
    assert sent == []
    ess.tell("raised", "Smoke")
    await settle()
    assert [text for _, _, text in sent] == ["Smoke (fault, battery)"]


async def test_cleared_is_told_if_wanted(
    hass: HomeAssistant, automate: Automate, sent: list[tuple[str, str, str]], ess: Ess
) -> None:
    await automate("alarm_notification", tell_cleared=True)
    ess.tell("raised", "Smoke")
    await settle()
    ess.tell("cleared", "Smoke", duration=5)
    for _ in range(5):
        await settle()
    assert [(title, text) for _, title, text in sent] == [
        ("REFU ESS: fault", "Smoke (fault, battery)"),
        ("REFU ESS: alarm cleared", "Smoke (fault, battery)"),
    ]


# Against the integration


@pytest.mark.parametrize(
    ("name", "grid", "watts"), [("surplus", -30, -30_000), ("peak_guard", 100, 20_000), ("charge_window", 0, -20_000)]
)
async def test_the_battery_rests_when_the_automation_is_stuck(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    entry: MockConfigEntry,
    link: object,
    unit: MockModbusUnit,
    name: str,
    grid: float,
    watts: int,
) -> None:
    """The device gets the command; once nothing renews it, it gets zero within the duration."""
    unit.holding[ACTIVE_SETPOINT] = 0
    unit.input[ACTIVE_POWER] = 0
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={"start_delay": 0, "ramp_rate": 100})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await pass_time(hass, freezer, 11)
    site(hass, grid)
    show(hass, QUARTER, "unavailable", "kWh")
    own = {"ess_power": "sensor.refu_ess_active_power"} if name != "charge_window" else {}
    await automate(name, **own, soc="sensor.refu_ess_battery_state_of_charge_soc")
    await pass_time(hass, freezer, 31)
    assert unit.holding[ACTIVE_SETPOINT] == watts // 100 % 0x10000
    await hass.services.async_call("automation", "turn_off", {"entity_id": "all"}, blocking=True)
    await pass_time(hass, freezer, 95)
    assert unit.holding[ACTIVE_SETPOINT] == 0


async def set_bits(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, unit: MockModbusUnit, *bits: tuple[int, int], on: bool = True
) -> None:
    """Let the device set or clear these bits of its words, and be read."""
    switch(unit, *bits, on=on)
    await pass_time(hass, freezer, 12)
    for _ in range(10):
        await settle()


async def test_alarms_of_the_device(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    sent: list[tuple[str, str, str]],
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
) -> None:
    """Its bits become messages with the alarms' names; a lost link neither raises nor clears one."""
    await automate(
        "alarm_notification",
        alarms="event.refu_ess_alarms",
        active_alarms="sensor.refu_ess_active_alarms",
        tell_cleared=True,
    )
    await set_bits(hass, freezer, unit, SMOKE, GROUP_3_SILENT, INVERTER_FAULT)
    smoke, fault = "Fog (smoke) alarm", "Inverter fault"
    silent = "CAN lost, group 3"
    assert sent == [
        ("send", "REFU ESS: fault", f"{smoke} (fault, temperature)"),
        ("send", "REFU ESS: fault", f"{fault} (fault, inverter)"),
        ("send", "REFU ESS: fault", f"{silent} (fault, communication)"),
    ]
    sent.clear()
    await pass_time(hass, freezer, 600, 10)
    assert sent == [("send", "REFU ESS: reminder 1, not acknowledged", f"Active: {smoke}, {fault}, {silent}")]
    sent.clear()

    unit.fail_requests(ModbusTimeoutError("late"))
    await pass_time(hass, freezer, 60, 10)
    assert hass.states.is_state("event.refu_ess_alarms", "unavailable")
    unit.fail_requests(None)
    await pass_time(hass, freezer, 60, 10)
    assert hass.states.is_state("sensor.refu_ess_active_alarms", "3")
    assert sent == []

    await set_bits(hass, freezer, unit, SMOKE, INVERTER_FAULT, on=False)
    assert sent == [
        ("send", "REFU ESS: alarm cleared", f"{smoke} (fault, temperature)"),
        ("send", "REFU ESS: alarm cleared", f"{fault} (fault, inverter)"),
    ]
    sent.clear()
    await set_bits(hass, freezer, unit, GROUP_3_SILENT, on=False)
    assert sent == [("send", "REFU ESS: alarm cleared", f"{silent} (fault, communication)")]
    sent.clear()
    await pass_time(hass, freezer, 1200, 10)
    assert sent == []


# The documents


def test_every_blueprint_has_a_page() -> None:
    """With the button that imports it, every input by its name, and its limits; no other page is left."""
    pages = ROOT / "docs" / "blueprints"
    assert {page.stem for page in pages.glob("*.md")} == {path.stem for path in BLUEPRINTS}
    for path in BLUEPRINTS:
        loaded = yaml_util.load_yaml_dict(path)["blueprint"]
        page = (pages / f"{path.stem}.md").read_text()
        assert page.startswith(f"# Blueprint: {loaded['name'].removeprefix('REFU ESS - ')}\n")
        link = loaded["source_url"].replace(":", "%3A").replace("/", "%2F")
        assert f"https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url={link}" in page
        assert "Limits: " in page
        for key, value in loaded["input"].items():
            for one in value["input"].values() if "input" in value else [value]:
                assert f"| {one['name']} |" in page, (path.stem, key)


def test_the_studies_are_those_of_the_blueprints() -> None:
    """After a change of a blueprint or the studies, `scripts/study` writes the tables again."""
    assert table.stored_digest() == table.digest()


@pytest.mark.parametrize(
    "case", [1, 6, 10], ids=lambda index: f"{study.CASES[index][0].name}: {study.CASES[index][1].name}"
)
async def test_a_study_repeats(hass: HomeAssistant, case: int) -> None:
    """The same seed leads to the same hours."""
    first, second = (study.run(hass, *study.CASES[case], 2 / 24) for _ in range(2))
    assert first == second
    assert max(study.net_load(study.CASES[case][0], 2 / 24)) > 20


async def test_a_study_of_nine_hours(hass: HomeAssistant) -> None:
    """The guard keeps the limit that is broken without it, with less energy than a plain cap."""
    site_ = study.SITES[0]
    without, guard, cap = (study.run(hass, site_, one, 0.4) for one in (study.NONE, study.GUARD, study.CAP))
    assert without.peak_kw > site_.limit_kw
    assert guard.peak_kw <= site_.limit_kw
    assert cap.peak_kw <= site_.limit_kw
    assert 0 < guard.discharged_kwh < cap.discharged_kwh
