"""Each blueprint, loaded and run by Home Assistant itself: its messages and commands are compared."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.blueprint.importer import fetch_blueprint_from_url
from homeassistant.components.blueprint.models import DomainBlueprints
from homeassistant.core import Event, HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse
from homeassistant.exceptions import ServiceValidationError
from homeassistant.setup import async_setup_component
from homeassistant.util import yaml as yaml_util
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "blueprints" / "automation"
BLUEPRINTS = sorted(FOLDER.rglob("*.yaml"))
REPOSITORY = "https://github.com/refu-ess/ha-refu-ess"
RAW = "https://raw.githubusercontent.com/refu-ess/ha-refu-ess"

START = datetime(2026, 11, 25, 10, 0, 1, tzinfo=UTC)
"""A Wednesday, one second into a quarter-hour."""
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
    """What `set_power` is asked for, where there is no ESS behind it."""
    calls: list[dict[str, Any]] = []

    def record(call: ServiceCall) -> ServiceResponse:
        calls.append(dict(call.data))
        return {}

    hass.services.async_register("refu_ess", "set_power", record, supports_response=SupportsResponse.OPTIONAL)
    return calls


@pytest.fixture
def sent(hass: HomeAssistant) -> list[tuple[str, str, str]]:
    """The messages: how they were sent, title and text."""
    messages: list[tuple[str, str, str]] = []

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
    for _ in range(30):
        await asyncio.sleep(0)


async def pass_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float, step: float = 1) -> None:
    """Let time go by in steps."""
    for _ in range(round(seconds / step)):
        freezer.tick(timedelta(seconds=step))
        async_fire_time_changed(hass)
        await settle()


async def at(hass: HomeAssistant, freezer: FrozenDateTimeFactory, minute: int, second: int = 0) -> None:
    """Go to this time of the hour at once; what is due is done."""
    freezer.move_to(START.replace(minute=minute, second=second, microsecond=600_000))
    async_fire_time_changed(hass)
    await settle()


def show(hass: HomeAssistant, entity_id: str, value: object, unit: str | None = None, **attributes: Any) -> None:
    """Let an entity show a value."""
    if unit is not None:
        attributes["unit_of_measurement"] = unit
    hass.states.async_set(entity_id, str(value), attributes)


def site(  # noqa: PLR0917
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
    aioclient_mock.get(f"{RAW}/main/{relative}", text=path.read_text())
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


async def test_proto_guard(hass, freezer, commands, automate):
    site(hass, 100, 0)
    await automate("peak_guard")
    await pass_time(hass, freezer, 30)
    print(commands)
    await at(hass, freezer, 10, 1)
    site(hass, 100, 100 * 10 / 60)
    await pass_time(hass, freezer, 60)
    print(commands)
    st = hass.states.get("automation.peak_guard")
    print(st)
