"""Any input to actions, numbers, selects, options and the config flow: it works, or a translated error says why not.

An error changes nothing: no register, no option, no setpoint in force. `REFU_ESS_EXAMPLES` sets how many inputs are
tried; where it is set they are other ones each time.
"""

import _socket
import json
import logging
import math
import os
import socket
import string
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
import voluptuous as vol
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import config_validation as cv
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess.connection import modbus_params
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.options import FORM

from .conftest import HOST
from .generated import TRANSLATIONS
from .helpers import choose

LANGUAGES = {language: json.loads(path.read_text()) for language, path in TRANSLATIONS.items()}
EXAMPLES = int(os.environ.get("REFU_ESS_EXAMPLES", "40"))
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize="REFU_ESS_EXAMPLES" not in os.environ,
)

ODD_WORDS = (
    "",
    " ",
    "nan",
    "NaN",
    "inf",
    "-Infinity",
    "1e400",
    "5",
    " 5 ",
    "0x10",
    "1_000",
    "٣",
    "½",
    "on",
    "\0",
    "🔋" * 300,
)
ODD_NUMBERS = (math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**63, -0.0, 1e308, 5e-324)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(ODD_NUMBERS),
    st.sampled_from(ODD_WORDS),
    st.integers(-(10**7), 10**7),
    st.floats(),
    st.text(max_size=8),
)
ANYTHING = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(st.text(max_size=3), PLAIN, max_size=2))
POWERS = st.one_of(ANYTHING, st.sampled_from([-20_000, "-20000", 3000, 0, 1_000_001, -1e6]))
UNITS = st.sampled_from(["days", "hours", "minutes", "seconds", "milliseconds", "weeks"])
DURATIONS = st.one_of(
    ANYTHING,
    st.dictionaries(UNITS, PLAIN, max_size=2),
    st.sampled_from(
        ["00:05", "999999999:00:00", "-00:01", "00:00:00", 5, 0, -5, 1e300, {"days": 1e12}, {"seconds": 5}]
    ),
)
WHICH = st.one_of(ANYTHING, st.sampled_from(["refu", "refu2", "number.refu_ess_power_setpoint", "all", "none"]))
POWER_FIELDS = [f"{kind}_power{phase}" for kind in ("active", "reactive") for phase in ("", "_l1", "_l2", "_l3")]
TARGETS = ("config_entry_id", "entity_id", "device_id", "area_id", "floor_id", "label_id")


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Refusals produce many log messages."""
    caplog.set_level(logging.CRITICAL)
    yield
    assert not [one for one in caplog.records if one.levelno >= logging.CRITICAL]


def _fields(strategies: dict[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these fields, and sometimes one that nobody knows."""
    one = st.one_of(*(st.tuples(st.just(name), values) for name, values in strategies.items()))
    unknown = st.tuples(st.text(string.ascii_lowercase, min_size=1, max_size=5), ANYTHING)
    return st.lists(st.one_of(*[one] * 9, unknown), max_size=most).map(dict)


ACTIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "set_power": _fields(
        dict.fromkeys(POWER_FIELDS, POWERS) | {"duration": DURATIONS} | dict.fromkeys(TARGETS, WHICH), 3
    ),
    "preview_power": _fields(dict.fromkeys(POWER_FIELDS, POWERS) | dict.fromkeys(TARGETS, WHICH), 3),
    "release": _fields(dict.fromkeys(TARGETS, WHICH), 2),
    "reset_error": _fields({"force": ANYTHING} | dict.fromkeys(TARGETS, WHICH), 2),
    "get_alarms": _fields(dict.fromkeys(TARGETS, WHICH), 2),
}


def check_translated(err: HomeAssistantError) -> None:
    """Check that an error has a text in every language, with everything that the text names."""
    assert err.translation_key, repr(err)
    assert err.translation_domain, repr(err)
    if err.translation_domain != DOMAIN:
        return
    given_ = err.translation_placeholders or {}
    for language, texts in LANGUAGES.items():
        text = texts["exceptions"][err.translation_key]["message"]
        named = {field for _, field, _, _ in string.Formatter().parse(text) if field}
        assert named == set(given_), (language, err.translation_key)
    if err.translation_key.startswith("out_of_range"):
        assert {"minimum", "maximum"} <= set(given_)


def check_names_the_field(err: vol.Invalid) -> None:
    """Check that what refused a field says which one."""
    errors = err.errors if isinstance(err, vol.MultipleInvalid) else [err]
    assert errors
    for one in errors:
        assert one.path, str(one)
        assert str(one.path[0]) in str(one) or "@" in str(one)


def breaks(schema: Any, words: dict[str, Any]) -> bool:
    """Return whether an input makes a schema of Home Assistant itself raise what it should not."""
    try:
        schema(words)
    except vol.Invalid:
        return False
    except Exception:  # noqa: BLE001
        return True
    return False


class Unchanged:
    """State that a refused input must leave unchanged."""

    def __init__(self, entry: MockConfigEntry, written: list[Any], unit: MockModbusUnit) -> None:
        """Take what is there."""
        self.entry, self.written, self.unit = entry, written, unit
        self.before: tuple[Any, ...] = ()

    async def begin(self) -> None:
        """Begin at rest."""
        await self.entry.runtime_data.commander.async_release()
        self.written.clear()
        self.before = self._now()

    def _now(self) -> tuple[Any, ...]:
        commander = self.entry.runtime_data.commander
        return (
            dict(self.entry.options),
            dict(self.entry.data),
            commander.lease,
            commander.controller.ledger.record,
            commander.controller.soc_settings,
            dict(self.unit.holding),
            list(self.written),
        )

    def check(self) -> None:
        """Fail if anything is different."""
        assert self._now() == self.before


@pytest.fixture
def unchanged(ready: MockConfigEntry, written: list[Any], unit: MockModbusUnit) -> Unchanged:
    """A system at rest."""
    return Unchanged(ready, written, unit)


@pytest.mark.parametrize("action", ACTIONS)
@given(data=st.data())
@QUIET
async def test_actions(hass: HomeAssistant, unchanged: Unchanged, action: str, data: st.DataObject) -> None:
    """Whatever an action is given, it is done or refused by name."""
    await unchanged.begin()
    words = data.draw(ACTIONS[action])
    if breaks(vol.Schema(cv.ENTITY_SERVICE_FIELDS, extra=vol.ALLOW_EXTRA), words):
        return
    respond = action in {"set_power", "preview_power", "get_alarms"}
    try:
        await hass.services.async_call(DOMAIN, action, words, blocking=True, return_response=respond)
    except vol.Invalid as err:
        check_names_the_field(err)
        unchanged.check()
    except HomeAssistantError as err:
        check_translated(err)
        unchanged.check()
    else:
        if action in {"preview_power", "get_alarms"}:
            unchanged.check()


NUMBERS = ("battery_minimum_soc", "battery_charge_soc", "battery_maximum_soc", "active_power_setpoint")
ENTITY_ACTIONS: dict[tuple[str, str], st.SearchStrategy[dict[str, Any]]] = {
    ("number", "set_value"): st.fixed_dictionaries(
        {
            "entity_id": st.sampled_from([f"number.refu_ess_{name}" for name in NUMBERS]),
            "value": POWERS | st.integers(0, 100),
        }
    ),
    ("select", "select_option"): st.fixed_dictionaries(
        {
            "entity_id": st.just("select.refu_ess_operation_mode"),
            "option": ANYTHING | st.sampled_from(["pq_set_point", "cos_phi_set_point", "PQ_SET_POINT"]),
        }
    ),
    ("select", "select_next"): st.fixed_dictionaries(
        {"entity_id": st.just("select.refu_ess_operation_mode")}, optional={"cycle": ANYTHING}
    ),
}


@pytest.mark.parametrize("action", ENTITY_ACTIONS, ids=".".join)
@given(data=st.data())
@QUIET
async def test_entities(
    hass: HomeAssistant, unchanged: Unchanged, action: tuple[str, str], data: st.DataObject
) -> None:
    """Whatever an entity is told is done, or refused by name."""
    await unchanged.begin()
    words = data.draw(ENTITY_ACTIONS[action])
    schema = hass.services.async_services_for_domain(action[0])[action[1]].schema
    assert schema is not None
    if breaks(schema, words):
        return
    try:
        await hass.services.async_call(*action, words, blocking=True)
    except vol.Invalid:
        unchanged.check()
    except HomeAssistantError as err:
        check_translated(err)
        unchanged.check()


# Options


_NUMBERS_NEARBY = st.sampled_from([0, 0.04, 1, 4, 5, 10.5, 60, 61, 100, 1000, 1001, 10_000, 168.1])
_CHOICES_NEARBY = st.sampled_from(["documented", "shifted", "total", "per_phase", "DOCUMENTED"])
ANSWERS = {option.key: ANYTHING | _NUMBERS_NEARBY | _CHOICES_NEARBY for option in FORM}


def sectioned(answers: dict[str, Any]) -> dict[str, Any]:
    """Put the answers where the form has their fields."""
    control = {option.key for option in FORM if option.section}
    inner = {key: value for key, value in answers.items() if key in control}
    return {**{key: value for key, value in answers.items() if key not in control}, "control": inner}


@given(answers=_fields(ANSWERS, 3), control=st.none() | ANYTHING)
@QUIET
async def test_options(hass: HomeAssistant, unchanged: Unchanged, answers: dict[str, Any], control: Any) -> None:
    """Any answers are stored as they are meant, or the form names field and range and none is stored."""
    entry = unchanged.entry
    await unchanged.begin()
    form = await hass.config_entries.options.async_init(entry.entry_id)
    words = sectioned(answers)
    if control is not None:
        words["control"] = control
    try:
        done = await hass.config_entries.options.async_configure(form["flow_id"], words)
    except InvalidData:  # not the form's fields at all
        done = None
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    if done is None or done["type"] is FlowResultType.FORM:
        unchanged.check()
        hass.config_entries.options.async_abort(form["flow_id"])
    if done is None:
        return
    if done["type"] is FlowResultType.FORM:
        check_form(done, "options")
        return
    assert done["type"] is FlowResultType.CREATE_ENTRY
    for option in FORM:
        assert entry.options[option.key] == option.checked(entry.options[option.key])
        if option.key in answers and control is None:
            assert entry.options[option.key] == option.checked(answers[option.key])
    hass.config_entries.async_update_entry(entry, options=unchanged.before[0])
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()


def check_form(form: Any, flow: str) -> None:
    """Check that the error of a form has a text in every language, with everything that it names."""
    assert form["errors"]
    given_ = form["description_placeholders"] or {}
    for texts in LANGUAGES.values():
        for key in form["errors"].values():
            text = texts[flow]["error"][key]
            assert {field for _, field, _, _ in string.Formatter().parse(text) if field} <= set(given_)


# Config flow and reconfiguration


ODD_HOSTS = (
    "",
    " ",
    "\0",
    "a\0b",
    ".",
    "..",
    "a..b",
    "-",
    "x" * 64,
    "x" * 300,
    "[::1",
    "%",
    "http://a/",
    "ä" * 70,
    "\ud800",
)
CONNECTION = _fields({"unit_id": ANYTHING | st.integers(1, 247), "share_connection": ANYTHING}, 2)
ADDRESS = st.fixed_dictionaries(
    {"host": ANYTHING | st.just(HOST), "connection": ANYTHING | CONNECTION},
    optional={"port": ANYTHING | st.integers(1, 65535), "unknown": ANYTHING},
)
SERIAL = st.fixed_dictionaries(
    {"device": ANYTHING | st.just("/dev/ttyUSB0"), "connection": ANYTHING | CONNECTION},
    optional={
        "baudrate": ANYTHING | st.just(19200),
        "bytesize": ANYTHING | st.sampled_from(["7", 8]),
        "parity": ANYTHING | st.sampled_from(["even", "E"]),
        "stopbits": ANYTHING | st.sampled_from(["1", "2"]),
    },
)
SITE = _fields(dict.fromkeys(("battery_groups", "capacity", "read_only"), ANYTHING), 3)
TRANSPORTS = {"tcp": ADDRESS, "rtu_over_tcp": ADDRESS, "serial": SERIAL}


@pytest.fixture
def shared_link(unit: MockModbusUnit) -> Iterator[None]:
    """Home Assistant's shared links lead to the ESS in memory too."""
    shared = MagicMock(wraps=unit)

    @asynccontextmanager
    async def temporary(*_: object) -> AsyncIterator[MagicMock]:
        yield shared

    with (
        patch("custom_components.refu_ess.connection.async_get_unit", return_value=shared),
        patch("custom_components.refu_ess.connection.async_get_temporary_unit", temporary),
    ):
        yield


@pytest.mark.usefixtures("shared_link")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("reconfigure", [False, True], ids=["new", "reconfigure"])
@given(data=st.data())
@QUIET
async def test_config_flow(
    hass: HomeAssistant, unchanged: Unchanged, transport: str, reconfigure: bool, data: st.DataObject
) -> None:
    """Any answers make an entry whose data are of their types, or are refused and change nothing."""
    await unchanged.begin()
    entry = unchanged.entry
    words = data.draw(TRANSPORTS[transport])
    if not reconfigure:
        words |= data.draw(_fields({"name": ANYTHING}, 1))
    flow = await choose(hass, transport, await entry.start_reconfigure_flow(hass) if reconfigure else None)
    done: ConfigFlowResult | None
    try:
        done = await hass.config_entries.flow.async_configure(flow["flow_id"], words)
        if done["type"] is FlowResultType.FORM and done["step_id"] == "site":
            done = await hass.config_entries.flow.async_configure(flow["flow_id"], data.draw(SITE))
    except InvalidData:
        done = None
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    for other in hass.config_entries.async_entries(DOMAIN):
        if other is not entry:
            check_data(other.data)
            check_site(other.options)
            await hass.config_entries.async_remove(other.entry_id)
    check_data(entry.data)
    if done is None or done["type"] is FlowResultType.FORM:
        unchanged.check()
        hass.config_entries.flow.async_abort(flow["flow_id"])
        if done is not None and done["step_id"] != "unusual":
            check_form(done, "config")
    elif reconfigure and done["reason"] == "reconfigure_successful":
        hass.config_entries.async_update_entry(entry, data=unchanged.before[1])
        assert await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
    else:
        unchanged.check()


def check_site(options: Mapping[str, Any]) -> None:
    """Check that the options of a new entry are of their types and within their ranges."""
    assert type(options["battery_groups"]) is int
    assert 1 <= options["battery_groups"] <= 4
    assert type(options["capacity"]) is float
    assert 1 <= options["capacity"] <= 10_000
    assert type(options["read_only"]) is bool


def check_data(data: Any) -> None:
    """Check that an entry's data are what the link can be opened with."""
    assert type(data["unit_id"]) is int
    assert type(data["share_connection"]) is bool
    modbus_params(data)
    if data["transport"] == "serial":
        assert type(data["device"]) is str
        assert type(data["baudrate"]) is int
    else:
        assert type(data["host"]) is str
        assert data["host"].strip() == data["host"] != ""
        assert type(data["port"]) is int


@pytest.fixture
def no_names(socket_enabled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that knows no name; addresses are addresses, and what cannot be a name raises as it does."""

    def look_up(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
        return _socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.usefixtures("no_names")
@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
@pytest.mark.parametrize("host", ODD_HOSTS, ids=lambda one: ascii(one)[:12])
async def test_hosts_that_cannot_be(hass: HomeAssistant, transport: str, host: str) -> None:
    """A host that cannot be a name is refused as one that does not exist."""
    form = await choose(hass, transport)
    answers = {"name": "Barn", "host": host, "port": 1, "connection": {"unit_id": 1}}
    if not host.strip():
        with pytest.raises(InvalidData) as refused:
            await hass.config_entries.flow.async_configure(form["flow_id"], answers)
        assert "host" in refused.value.schema_errors
        return
    done = await hass.config_entries.flow.async_configure(form["flow_id"], answers)
    assert done["type"] is FlowResultType.FORM
    assert done["errors"] == {"base": "no_such_host"}
