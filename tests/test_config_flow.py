"""The config flow: what is asked, what is probed, and what each failure says."""

import json
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from unittest.mock import AsyncMock, MagicMock, patch

import pytest
from homeassistant.components.modbus.connection import ModbusConnectionInfo
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusProtocolError,
    ModbusTimeoutError,
)
from modbus_connection.mock import MockModbusUnit, WriteEvent
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.ess import Doubt

from .conftest import HOST, SERIAL_DATA, TCP_DATA
from .generated import TRANSLATIONS
from .helpers import choose, fields
from .registers import ACTIVE_POWER, SOC, SYSTEM_STATE

TCP_FORM = {"name": "Barn", "host": HOST, "port": 502, "connection": {"unit_id": 1, "share_connection": False}}
SERIAL_FORM = {
    "name": "Barn",
    "device": "/dev/ttyUSB0",
    "baudrate": 19200,
    "bytesize": "8",
    "parity": "even",
    "stopbits": "1",
    "connection": {"unit_id": 3, "share_connection": False},
}


def placeholders(form: ConfigFlowResult) -> Mapping[str, str]:
    """Return the placeholders of a form's texts."""
    found = form["description_placeholders"]
    assert found is not None
    return found


SITE_FORM = {"battery_groups": 2, "capacity": 65.5, "read_only": False}


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp", "serial"])
async def test_forms_can_be_sent_to_the_browser(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: MockConfigEntry, transport: str
) -> None:
    """Every form passes Home Assistant's web interface, where a validator of another kind is an internal error."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_client()

    async def post(path: str, answers: dict[str, Any]) -> dict[str, Any]:
        response = await client.post(f"/api/config/config_entries/{path}", json=answers)
        assert response.status == HTTPStatus.OK
        return dict(await response.json())

    menu = await post("flow", {"handler": DOMAIN})
    form = await post(f"flow/{menu['flow_id']}", {"next_step_id": transport})
    port = {"name": "port", "required": True, "default": 502}
    assert transport == "serial" or port.items() <= form["data_schema"][2].items()
    form = await post("options/flow", {"handler": entry.entry_id})
    assert next(field["name"] for field in form["data_schema"]) == "poll_interval"
    if transport != "serial":
        flow = await choose(hass, transport)
        flow = await submit(hass, flow, TCP_FORM | {"host": "10.0.0.9"})
        form = dict(await (await client.get(f"/api/config/config_entries/flow/{flow['flow_id']}")).json())
        assert form["step_id"] == "site"


async def finish(hass: HomeAssistant, form: ConfigFlowResult) -> ConfigFlowResult:
    """Answer the last form of the setup."""
    assert form["step_id"] == "site"
    result = await submit(hass, form, SITE_FORM)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    return result


async def submit(hass: HomeAssistant, form: ConfigFlowResult, answers: dict[str, Any]) -> ConfigFlowResult:
    """Send a form and let what it starts finish."""
    result = await hass.config_entries.flow.async_configure(form["flow_id"], answers)
    await hass.async_block_till_done()
    return result


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
async def test_address(hass: HomeAssistant, unit: MockModbusUnit, transport: str) -> None:
    """An address that answers becomes an entry, and nothing was written on the way."""
    written: list[WriteEvent] = []
    unit.on_write(written.append)
    result = await finish(hass, await submit(hass, await choose(hass, transport), TCP_FORM))
    assert result["title"] == "Barn"
    assert result["data"] == TCP_DATA | {"transport": transport}
    assert result["options"] == SITE_FORM
    assert result["result"].unique_id is None
    assert result["result"].state is ConfigEntryState.LOADED
    assert written == []


@pytest.mark.usefixtures("link", "unit")
async def test_serial(hass: HomeAssistant, connection: Any, unit: MockModbusUnit) -> None:
    """A serial port becomes an entry with its line settings."""
    connection.for_unit(3).input.update(unit.input)
    result = await finish(hass, await submit(hass, await choose(hass, "serial"), SERIAL_FORM))
    assert result["data"] == SERIAL_DATA


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize(
    ("error", "key"),
    [
        (ModbusTimeoutError("late"), "no_answer"),
        (IllegalDataAddressError(), "illegal_address"),
        (GatewayTargetError(), "device_error"),
        (ModbusProtocolError("odd"), "bad_answer"),
        (ValueError("embedded null character"), "no_such_host"),
    ],
)
async def test_device_errors_and_recovery(
    hass: HomeAssistant, unit: MockModbusUnit, error: Exception, key: str
) -> None:
    """Each failure of the device has its own text, and the form can be submitted again."""
    unit.fail_requests(error)
    form = await submit(hass, await choose(hass, "tcp"), TCP_FORM)
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == {"base": key}
    unit.fail_requests(None)
    await finish(hass, await submit(hass, form, TCP_FORM))


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize(
    ("outcome", "key"),
    [
        (socket.gaierror(), "no_such_host"),
        (ConnectionRefusedError(), "refused"),
        (TimeoutError(), "unreachable"),
        (OSError("no route"), "unreachable"),
        ((MagicMock(), MagicMock()), "no_connection"),
    ],
)
async def test_connection_errors_and_recovery(
    hass: HomeAssistant, unit: MockModbusUnit, outcome: Any, key: str
) -> None:
    """The reason for a failed connection is found and shown."""
    unit.fail_requests(ModbusConnectionError("could not connect"))
    form = await choose(hass, "tcp")
    with patch("asyncio.open_connection", AsyncMock(side_effect=[outcome])):
        form = await submit(hass, form, TCP_FORM)
    assert form["errors"] == {"base": key}
    unit.fail_requests(None)
    await finish(hass, await submit(hass, form, TCP_FORM))


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("error", [ModbusConnectionError("could not open serial port"), ValueError("no such framing")])
async def test_serial_port_cannot_be_opened(hass: HomeAssistant, connection: Any, error: Exception) -> None:
    """A serial port that cannot be opened is reported as such, without trying the network."""
    connection.for_unit(3).fail_requests(error)
    form = await submit(hass, await choose(hass, "serial"), SERIAL_FORM)
    assert form["errors"] == {"base": "serial_port"}


@pytest.mark.usefixtures("link")
async def test_not_a_refu_ess(hass: HomeAssistant, unit: MockModbusUnit) -> None:
    """A device that does not look like a REFU ESS is described, and added only after a second confirmation."""
    unit.input.clear()
    form = await submit(hass, await choose(hass, "tcp"), TCP_FORM)
    assert form["step_id"] == "unusual"
    assert placeholders(form)["doubts"] == "all registers are zero"
    await finish(hass, await submit(hass, form, {}))


@pytest.mark.usefixtures("link")
async def test_unknown_readings_are_question_marks(hass: HomeAssistant, unit: MockModbusUnit) -> None:
    """A system state that no source names is shown as unknown."""
    unit.input[SYSTEM_STATE] = 77
    form = await submit(hass, await choose(hass, "tcp"), TCP_FORM)
    assert form["step_id"] == "unusual"
    assert placeholders(form)["system_state"] == "?"
    assert placeholders(form)["doubts"] == "unknown system state"


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize(
    ("language", "doubts", "state"),
    [
        ("de", "die Leistungen der Phasen ergeben nicht die Summe", "Standby"),
        ("en", "the phase powers do not add up to the total", "Standby"),
    ],
)
async def test_doubts_are_in_the_language_of_home_assistant(
    hass: HomeAssistant, unit: MockModbusUnit, language: str, doubts: str, state: str
) -> None:
    """The question names every doubt and the system state in words of the language that is set."""
    hass.config.language = language
    unit.input[SYSTEM_STATE] = 3
    unit.input[ACTIVE_POWER] = 900
    unit.input[SOC] = 0xFFF0
    form = await submit(hass, await choose(hass, "tcp"), TCP_FORM)
    named = placeholders(form)["doubts"].split("; ")
    assert named[-1] == doubts
    assert len(named) == 2
    assert placeholders(form)["system_state"] == state


@pytest.mark.parametrize("language", list(TRANSLATIONS))
def test_every_doubt_has_a_text(language: str) -> None:
    """Each language names each doubt, and nothing that is none."""
    content = json.loads(TRANSLATIONS[language].read_text())
    assert set(content["selector"]["doubt"]["options"]) == {doubt.value for doubt in Doubt}


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
async def test_duplicate(hass: HomeAssistant, transport: str) -> None:
    """One unit at one endpoint is set up once, however the host is spelled and the frames are made."""
    result = await submit(hass, await choose(hass, transport), TCP_FORM | {"host": f" {HOST.upper()} "})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


@pytest.mark.usefixtures("loaded")
async def test_other_unit_is_no_duplicate(hass: HomeAssistant, connection: Any, unit: MockModbusUnit) -> None:
    """A second unit behind the same gateway is another ESS."""
    connection.for_unit(2).input.update(unit.input)
    form = TCP_FORM | {"connection": {"unit_id": 2, "share_connection": False}}
    await finish(hass, await submit(hass, await choose(hass, "tcp"), form))


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 70000},
        {"host": "  "},
        {"port": 502.5},
        {"connection": {"unit_id": 0, "share_connection": False}},
        {"connection": {"unit_id": 248, "share_connection": False}},
    ],
)
async def test_values_out_of_range(hass: HomeAssistant, wrong: dict[str, Any]) -> None:
    """A value outside the permitted range is refused by name."""
    form = await choose(hass, "tcp")
    with pytest.raises(InvalidData) as refused:
        await submit(hass, form, TCP_FORM | wrong)
    (named,) = wrong
    if named == "connection":  # Home Assistant names a section's field in the text
        assert "connection.unit_id" in str(refused.value.schema_errors["base"])
    else:
        assert list(refused.value.schema_errors) == [named]


async def test_shared_connection(hass: HomeAssistant, unit: MockModbusUnit, connection: Any) -> None:
    """Over the shared connection Home Assistant hands out the unit."""
    shared = TCP_FORM | {"connection": {"unit_id": 1, "share_connection": True}}
    temporary = MagicMock()
    temporary.return_value.__aenter__ = AsyncMock(return_value=unit)
    temporary.return_value.__aexit__ = AsyncMock(return_value=None)
    with (
        patch("custom_components.refu_ess.connection.async_get_temporary_unit", temporary),
        patch("custom_components.refu_ess.connection.async_get_unit", return_value=unit) as opened,
    ):
        result = await finish(hass, await submit(hass, await choose(hass, "tcp"), shared))
    assert result["data"] == TCP_DATA | {"share_connection": True}
    assert opened.call_count == 1
    assert unit.required_timeout == 2.0


async def test_shared_connection_in_use(hass: HomeAssistant) -> None:
    """Other link settings on the shared connection are reported as such."""
    shared = TCP_FORM | {"connection": {"unit_id": 1, "share_connection": True}}
    with patch(
        "custom_components.refu_ess.connection.async_get_temporary_unit", side_effect=HomeAssistantError("in use")
    ):
        form = await submit(hass, await choose(hass, "rtu_over_tcp"), shared)
    assert form["errors"] == {"base": "link_in_use"}


@pytest.mark.usefixtures("link", "unit")
async def test_sharing_is_offered_once(hass: HomeAssistant) -> None:
    """If another entry holds the endpoint, the box comes back ticked; unticking it is respected."""
    info = ModbusConnectionInfo(endpoint=("tcp", HOST, 502), connected=True, units={"other": [5]})
    with patch("custom_components.refu_ess.connection.async_get_connection_info", return_value=[info]):
        form = await submit(hass, await choose(hass, "tcp"), TCP_FORM)
        assert form["errors"] == {"base": "shared_by_others"}
        suggested = {str(key): key.description["suggested_value"] for key in fields(form)["connection"].schema.schema}
        assert suggested == {"unit_id": 1, "share_connection": True}
        result = await finish(hass, await submit(hass, form, TCP_FORM))
    assert result["data"]["share_connection"] is False


@pytest.mark.usefixtures("link", "unit")
async def test_control_is_a_decision(hass: HomeAssistant) -> None:
    """The last form suggests to watch only; then no control entity exists."""
    form = await submit(hass, await choose(hass, "tcp"), TCP_FORM)
    assert {str(key): key.default() for key in fields(form)} == {
        "battery_groups": 4,
        "capacity": 130,
        "read_only": True,
    }
    result = await submit(hass, form, SITE_FORM | {"read_only": True})
    entry = result["result"]
    assert entry.options == SITE_FORM | {"read_only": True}
    assert entry.runtime_data.device.site.battery_groups == 2
    assert hass.states.async_entity_ids("button") == []


@pytest.mark.usefixtures("link", "unit")
@pytest.mark.parametrize(
    ("wrong", "limits"),
    [
        ({"battery_groups": 5}, {"minimum": "1", "maximum": "4"}),
        ({"capacity": 0}, {"minimum": "1", "maximum": "10000"}),
        ({"read_only": "yes"}, {}),
    ],
)
async def test_site_out_of_range(hass: HomeAssistant, wrong: dict[str, Any], limits: dict[str, str]) -> None:
    """An answer outside the permitted range is refused with its limits, and the other answers stay."""
    form = await submit(hass, await choose(hass, "tcp"), TCP_FORM)
    form = await submit(hass, form, SITE_FORM | wrong)
    (key,) = wrong
    assert form["errors"] == {"base": f"out_of_range_{key}"}
    assert limits.items() <= placeholders(form).items()
    assert placeholders(form)["control_page"].endswith("docs/control.md")
    assert {str(key): key.description["suggested_value"] for key in fields(form)} == SITE_FORM | wrong
    await finish(hass, form)


@pytest.mark.parametrize(
    ("used", "suggested"),
    [
        ([], "REFU ESS"),
        (["Barn"], "REFU ESS"),
        (["REFU ESS"], "REFU ESS 2"),
        (["REFU ESS 2", "REFU ESS"], "REFU ESS 3"),
    ],
)
async def test_suggested_name(hass: HomeAssistant, used: list[str], suggested: str) -> None:
    """A second ESS is not offered the name of the first."""
    for title in used:
        MockConfigEntry(domain=DOMAIN, title=title, data=TCP_DATA).add_to_hass(hass)
    form = await choose(hass, "tcp")
    (name,) = (key for key in fields(form) if key == "name")
    assert name.default() == suggested


async def test_reconfigure_keeps_every_entity(
    hass: HomeAssistant, loaded: MockConfigEntry, connection: Any, unit: MockModbusUnit
) -> None:
    """Another transport, address and unit change no entity's identity."""
    registry = er.async_get(hass)

    def identities() -> dict[str, str]:
        return {e.entity_id: e.unique_id for e in er.async_entries_for_config_entry(registry, loaded.entry_id)}

    before = identities()
    connection.for_unit(3).input.update(unit.input)
    form = await choose(hass, "serial", await loaded.start_reconfigure_flow(hass))
    assert "name" not in fields(form)
    result = await submit(hass, form, {key: value for key, value in SERIAL_FORM.items() if key != "name"})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reconfigure_successful"
    assert loaded.data == SERIAL_DATA
    assert loaded.title == "REFU ESS"
    assert loaded.state is ConfigEntryState.LOADED
    assert identities() == before


async def test_reconfigure_at_the_same_endpoint(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, connection: Any
) -> None:
    """The entry makes way for the probe: a gateway may take one client only."""
    connection.for_unit(2).input.update(unit.input)
    answers = {key: value for key, value in TCP_FORM.items() if key != "name"}
    answers["connection"] = {"unit_id": 2, "share_connection": False}
    result = await submit(hass, await choose(hass, "tcp", await loaded.start_reconfigure_flow(hass)), answers)
    assert result["reason"] == "reconfigure_successful"
    assert loaded.data["unit_id"] == 2
    assert loaded.state is ConfigEntryState.LOADED


async def test_reconfigure_shows_what_is_set(hass: HomeAssistant, loaded: MockConfigEntry) -> None:
    """The form of the present transport is filled in; the others are empty."""
    form = await choose(hass, "tcp", await loaded.start_reconfigure_flow(hass))
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in fields(form)}
    assert suggested["host"] == HOST
    assert suggested["port"] == 502
    form = await choose(hass, "serial", await loaded.start_reconfigure_flow(hass))
    assert all(key.description is None for key in fields(form))


async def test_failed_reconfigure_leaves_the_entry_running(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, connection: Any
) -> None:
    """The same endpoint with a unit that does not answer changes nothing."""
    connection.for_unit(9).fail_requests(ModbusTimeoutError("late"))
    answers = {key: value for key, value in TCP_FORM.items() if key != "name"}
    answers["connection"] = {"unit_id": 9, "share_connection": False}
    form = await submit(hass, await choose(hass, "tcp", await loaded.start_reconfigure_flow(hass)), answers)
    assert form["errors"] == {"base": "no_answer"}
    assert loaded.data == TCP_DATA
    assert loaded.state is ConfigEntryState.LOADED


async def test_reconfigure_onto_another_entry(hass: HomeAssistant, loaded: MockConfigEntry) -> None:
    """An entry cannot take over the endpoint and unit of another."""
    other = MockConfigEntry(domain=DOMAIN, data=TCP_DATA | {"unit_id": 2}, entry_id="other")
    other.add_to_hass(hass)
    form = await choose(hass, "tcp", await other.start_reconfigure_flow(hass))
    answers = {key: value for key, value in TCP_FORM.items() if key != "name"}
    assert (await submit(hass, form, answers))["reason"] == "already_configured"


async def test_options(hass: HomeAssistant, loaded: MockConfigEntry) -> None:
    """Options take effect by one reload, and those set elsewhere stay."""
    hass.config_entries.async_update_entry(loaded, options={"min_soc": 20})
    form = await hass.config_entries.options.async_init(loaded.entry_id)
    assert form["type"] is FlowResultType.FORM
    answers = {
        "poll_interval": 5,
        "battery_groups": 2,
        "capacity": 65.5,
        "nominal_power": 50,
        "apparent_power_limit": 48.3,
        "inverter_status_layout": "shifted",
    }
    control = {
        "read_only": False,
        "setpoint_registers": "per_phase",
        "start_delay": 10,
        "ramp_rate": 2.5,
        "longest_hold": 12,
        "ignore_stop_request": True,
        "guard": False,
    }
    result = await hass.config_entries.options.async_configure(form["flow_id"], {**answers, "control": control})
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert loaded.options == answers | control | {"min_soc": 20}
    coordinator = loaded.runtime_data
    assert coordinator.update_interval.total_seconds() == 5
    site = coordinator.device.site
    assert (site.capacity, site.max_nominal_power, site.allowed_apparent) == (65_500, 50_000, 48_300)
    controller = coordinator.commander.controller
    assert controller.per_phase
    assert (controller.settings.start_delay_s, controller.settings.ramp_w_per_s) == (10, 2500)
    assert controller.settings.apparent_limit_va == 48_300
    assert controller.settings.ignore_stop_request
    assert controller.settings.longest_hold_s == 12 * 3600
    assert (site.battery_groups, site.min_soc, site.inverter_status_layout.slug) == (2, 20, "shifted")
