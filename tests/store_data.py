"""Makes the fixtures of stored data: what this release has on disk after a life of its own, with 20 kW held.

Run `.venv/bin/python -m pytest tests/store_data.py` in a checkout of a release, with this file copied into it
if it is older. It writes `tests/fixtures/stored/<version>/`, or the folder that `STORED_DATA` names. pytest does not
collect it by itself. Nothing in the fixtures is edited by hand.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import SOURCE_USER, ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
from homeassistant.helpers.json import json_encoder_default
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from .conftest import HOST

DOMAIN = "refu_ess"
INTEGRATION = Path(__file__).parents[1] / "custom_components" / DOMAIN
FORM = {"name": "Barn battery", "host": HOST, "port": 502, "connection": {"unit_id": 1, "share_connection": False}}
OPTIONS = {
    "poll_interval": 5,
    "battery_groups": 2,
    "apparent_power_limit": 80,
    "control": {"start_delay": 0, "ramp_rate": 100, "ignore_stop_request": False},
}
"""The options that a user changes; the rest have their defaults."""
ENTRY_ID = "01STORED0DATA0REFU0ESS0000"
KEPT_ENTITIES = (
    "soc",
    "active_power",
    "cos_phi_3p",
    "min_soc",
    "active_power_setpoint",
    "active_power_setpoint_l1",
    "work_state",
    "start",
    "operation_mode",
    "commands",
    "alarms",
    "group_2_operating",
    "fog_alarm",
    "soc_protection",
)
"""The entities whose whole entry is kept. Of the others only the ids are, to keep the fixture readable."""


def _taken_apart(value: object) -> Any:
    return json.loads(orjson.dumps(value, default=json_encoder_default, option=orjson.OPT_NON_STR_KEYS))


def _of_registry(registry: Any, key: str) -> dict[str, Any]:
    store = registry._store
    data = _taken_apart(registry._data_to_save())
    return {"version": store.version, "minor_version": store.minor_version, "key": key, "data": data}


async def _let_time_go_by(hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: int) -> None:
    for _ in range(seconds):
        freezer.tick(timedelta(seconds=1))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)


async def _set_up(hass: HomeAssistant) -> ConfigEntry:
    """Go through the config flow and the options as a user does."""
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    flow = await hass.config_entries.flow.async_configure(flow["flow_id"], {"next_step_id": "tcp"})
    flow = await hass.config_entries.flow.async_configure(flow["flow_id"], FORM)
    if flow["type"] is FlowResultType.FORM:  # since 0.2.0
        flow = await hass.config_entries.flow.async_configure(flow["flow_id"], {"read_only": False})
    assert flow["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    entry: ConfigEntry = flow["result"]
    form = await hass.config_entries.options.async_init(entry.entry_id)
    schema = form["data_schema"]
    assert schema is not None
    answers: dict[str, Any] = schema({**OPTIONS})
    done = await hass.config_entries.options.async_configure(form["flow_id"], answers)
    assert done["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    return entry


def _customise(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Change in the registries what a user can change."""
    area = ar.async_get(hass).async_create("Barn")
    devices, entities = dr.async_get(hass), er.async_get(hass)
    for found, update in (
        (dr.async_entries_for_config_entry(devices, entry.entry_id), devices.async_update_device),
        (dr.async_child_entries_for_config_entry(devices, entry.entry_id), devices.async_update_child_device),
    ):
        for device in found:
            own = {identifier for domain, identifier in device.identifiers if domain == DOMAIN}
            if own & {entry.entry_id, f"{entry.entry_id}_battery"}:
                update(device.id, area_id=area.id)
            if f"{entry.entry_id}_battery" in own:
                update(device.id, name_by_user="The big one")

    def entity_id(platform: str, key: str) -> str:
        found = entities.async_get_entity_id(platform, DOMAIN, f"{entry.entry_id}_{key}")
        assert found is not None
        return found

    entities.async_update_entity(entity_id("sensor", "soc"), name="Charge", new_entity_id="sensor.barn_charge")
    entities.async_update_entity(entity_id("sensor", "active_power"), disabled_by=er.RegistryEntryDisabler.USER)
    entities.async_update_entity(entity_id("sensor", "cos_phi_3p"), disabled_by=None)
    entities.async_update_entity(entity_id("binary_sensor", "fog_alarm"), area_id=area.id, icon="mdi:smoke")


@pytest.mark.usefixtures("link")
async def test_store_data(
    hass: HomeAssistant, unit: MockModbusUnit, freezer: FrozenDateTimeFactory, hass_storage: dict[str, Any]
) -> None:
    """Live through what leaves traces on disk, and keep the traces."""
    freezer.move_to("2026-11-01T12:00:00Z")
    unit.holding[0x203] = 0
    entry = await _set_up(hass)
    _customise(hass, entry)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    await _let_time_go_by(hass, freezer, 11)

    async def act(service: str, **data: Any) -> None:
        domain, _, name = service.partition(".")
        await hass.services.async_call(domain, name, data, blocking=True)

    entities = er.async_get(hass)
    protection = entities.async_get_entity_id("switch", DOMAIN, f"{entry.entry_id}_soc_protection")
    minimum = entities.async_get_entity_id("number", DOMAIN, f"{entry.entry_id}_min_soc")
    await act("number.set_value", entity_id=minimum, value=15)
    await act("switch.turn_on", entity_id=protection)
    unit.input[0x140] = 1 << 8  # a blown fuse, and then not
    await _let_time_go_by(hass, freezer, 12)
    unit.input[0x140] = 0
    await _let_time_go_by(hass, freezer, 12)
    await act(f"{DOMAIN}.set_power", active_power=20_000)
    unit.input[0x130] = 1 << 6  # a high temperature, and then the crash
    await _let_time_go_by(hass, freezer, 12)
    assert unit.holding[0x203] == 200

    found = {key: value for key, value in hass_storage.items() if key.startswith(DOMAIN)}
    (stored_entry,) = _taken_apart(hass.config_entries._data_to_save())["entries"]
    store = hass.config_entries._store
    found["core.config_entries"] = {
        "version": store.version,
        "minor_version": store.minor_version,
        "key": store.key,
        "data": {"entries": [stored_entry]},
    }
    found["core.area_registry"] = _of_registry(ar.async_get(hass), "core.area_registry")
    found["core.device_registry"] = _of_registry(dr.async_get(hass), "core.device_registry")
    of_entities = _of_registry(entities, "core.entity_registry")
    everything = of_entities["data"]["entities"]
    ids = {f"{one['entity_id'].partition('.')[0]} {one['unique_id']}": one["entity_id"] for one in everything}
    kept = {f"{entry.entry_id}_{key}" for key in KEPT_ENTITIES}
    of_entities["data"]["entities"] = [one for one in everything if one["unique_id"] in kept]
    found["core.entity_registry"] = of_entities
    found["entity_ids"] = dict(sorted(ids.items()))

    _write(found, entry.entry_id)


def _write(found: dict[str, Any], entry_id: str) -> None:
    version = json.loads((INTEGRATION / "manifest.json").read_text())["version"]
    default = Path(__file__).parent / "fixtures" / "stored" / version
    folder = Path(os.environ.get("STORED_DATA", default))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        text = json.dumps(content, indent=1, ensure_ascii=False).replace(entry_id, ENTRY_ID)
        (folder / f"{name.replace(entry_id, ENTRY_ID)}.json").write_text(text + "\n")
