"""The repair issue about the layout of InverterStatus."""

from http import HTTPStatus
from typing import Any

from aiohttp.test_utils import TestClient
from homeassistant.components.repairs import DOMAIN as REPAIRS_DOMAIN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.setup import async_setup_component
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.ess import InverterStatusLayout

from .helpers import state
from .registers import INVERTER_STATUS

ISSUE = "inverter_status_layout_refu"
SHIFTED_RUNNING = 0b0011_1110_0000_0111  # bit 13 set and bit 14 clear while running: the shifted layout


async def fix(client: TestClient[Any, Any], path: str, body: dict[str, str]) -> dict[str, Any]:
    """Go one step in the fix flow, as the interface does."""
    response = await client.post(f"/api/repairs/issues/fix{path}", json=body)
    assert response.status == HTTPStatus.OK, await response.text()
    step: dict[str, Any] = await response.json()
    return step


async def refresh(entry: MockConfigEntry, times: int) -> None:
    """Poll so often."""
    for _ in range(times):
        await entry.runtime_data.async_refresh()


async def test_issue_comes_is_fixed_and_goes(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """Readings that contradict the layout raise the issue on the third poll; one click mends it."""
    assert await async_setup_component(hass, REPAIRS_DOMAIN, {})
    issues = ir.async_get(hass)
    unit.input[INVERTER_STATUS] = SHIFTED_RUNNING
    await refresh(loaded, 2)
    assert issues.async_get_issue(DOMAIN, ISSUE) is None
    await refresh(loaded, 1)
    issue = issues.async_get_issue(DOMAIN, ISSUE)
    assert issue is not None
    assert issue.translation_key == "inverter_status_layout_shifted"
    assert state(hass, "binary_sensor.refu_ess_mains_ok") == "unknown"

    client = await hass_client()
    flow = await fix(client, "", {"handler": DOMAIN, "issue_id": ISSUE})
    assert flow["step_id"] == "confirm"
    assert flow["description_placeholders"]["name"] == "REFU ESS"
    done = await fix(client, f"/{flow['flow_id']}", {})
    assert done["type"] == "create_entry"
    await hass.async_block_till_done()
    assert loaded.options == {"inverter_status_layout": "shifted"}
    assert loaded.runtime_data.device.layout.chosen is InverterStatusLayout.SHIFTED
    assert state(hass, "binary_sensor.refu_ess_mains_ok") == "on"
    assert issues.async_get_issue(DOMAIN, ISSUE) is None


async def test_fix_of_an_entry_that_is_gone(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, loaded: MockConfigEntry, unit: MockModbusUnit
) -> None:
    """A flow that was open while the entry was removed says so."""
    assert await async_setup_component(hass, REPAIRS_DOMAIN, {})
    unit.input[INVERTER_STATUS] = SHIFTED_RUNNING
    await refresh(loaded, 3)
    client = await hass_client()
    flow = await fix(client, "", {"handler": DOMAIN, "issue_id": ISSUE})
    await hass.config_entries.async_remove(loaded.entry_id)
    assert (await fix(client, f"/{flow['flow_id']}", {}))["reason"] == "entry_removed"


async def test_issue_goes_with_the_entry(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """An issue about an ESS that was removed makes no sense."""
    unit.input[INVERTER_STATUS] = SHIFTED_RUNNING
    await refresh(loaded, 3)
    assert ir.async_get(hass).async_get_issue(DOMAIN, ISSUE)
    await hass.config_entries.async_remove(loaded.entry_id)
    assert ir.async_get(hass).async_get_issue(DOMAIN, ISSUE) is None


async def test_renamed_entry(hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit) -> None:
    """A new title names the device and the issues at once, without a reload, which would end a setpoint."""
    unit.input[INVERTER_STATUS] = SHIFTED_RUNNING
    await refresh(loaded, 3)
    coordinator = loaded.runtime_data
    devices = dr.async_get(hass)
    before = devices.async_get(coordinator.device_id)
    hass.config_entries.async_update_entry(loaded, title="Barn")
    await hass.async_block_till_done()
    assert loaded.runtime_data is coordinator
    device = devices.async_get(coordinator.device_id)
    assert before is not None
    assert device is not None
    assert (before.name, device.name) == ("REFU ESS", "Barn")
    issue = ir.async_get(hass).async_get_issue(DOMAIN, ISSUE)
    assert issue is not None
    assert issue.is_fixable
    assert issue.translation_placeholders is not None
    assert issue.translation_placeholders["name"] == "Barn"
    assert coordinator.device.site.alias == "Barn"
