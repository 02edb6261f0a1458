"""The parts of an ESS are its child devices, also where an earlier release had registered devices of their own."""

from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
from homeassistant.helpers.device_registry import DeviceInfo
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess.coordinator import RefuEssCoordinator
from custom_components.refu_ess.entity import ess_device_info, part_identifier
from custom_components.refu_ess.ess import Part

SOC = "sensor.refu_ess_battery_state_of_charge_soc"
OFF = "sensor.refu_ess_battery_current"
RENAMED = "sensor.my_own_id"


def device_of_its_own(coordinator: RefuEssCoordinator, part: Part, group: int | None) -> DeviceInfo:
    """Return the device of a part as the first release registered it."""
    if part is Part.ESS:
        return ess_device_info(coordinator)
    names = {Part.BATTERY: "battery" if group is None else f"battery group {group}", Part.DCDC: "DC/DC converter"}
    return DeviceInfo(
        identifiers={part_identifier("refu", part, group)},
        name=f"REFU ESS {names[part]}",
        manufacturer="REFU",
        via_device_id=coordinator.device_id,
    )


@pytest.fixture
async def old(hass: HomeAssistant, entry: MockConfigEntry, link: MagicMock) -> MockConfigEntry:
    """An entry that the first release has set up."""
    entry.add_to_hass(hass)
    with patch("custom_components.refu_ess.entity.part_device_info", device_of_its_own):
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    return entry


def identity(one: er.RegistryEntry) -> dict[str, Any]:
    """Return what must not change about an entity."""
    return {
        "entity_id": one.entity_id,
        "device_id": one.device_id,
        "disabled_by": one.disabled_by,
        "hidden_by": one.hidden_by,
        "name": one.name,
        "area_id": one.area_id,
        "labels": one.labels,
        "options": one.options,
    }


async def test_devices_become_children(
    hass: HomeAssistant,
    old: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
    area_registry: ar.AreaRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ids, names, areas, labels and what is disabled stay as the user left them."""
    cellar, roof = area_registry.async_create("Cellar").id, area_registry.async_create("Roof").id
    devices = {one.name: one for one in dr.async_entries_for_config_entry(device_registry, old.entry_id)}
    assert len(devices) == 7
    assert dr.async_child_entries_for_config_entry(device_registry, old.entry_id) == []
    battery, dcdc = devices["REFU ESS battery"], devices["REFU ESS DC/DC converter"]
    group = devices["REFU ESS battery group 4"]
    device_registry.async_update_device(battery.id, name_by_user="Big one", area_id=cellar, labels={"heavy"})
    device_registry.async_update_device(group.id, disabled_by=dr.DeviceEntryDisabler.USER)
    entity_registry.async_update_entity(SOC, new_entity_id=RENAMED, name="Fuel", area_id=roof, labels={"watch"})
    entity_registry.async_update_entity(OFF, disabled_by=er.RegistryEntryDisabler.USER)
    await hass.async_block_till_done()

    def entities() -> dict[str, dict[str, Any]]:
        found = er.async_entries_for_config_entry(entity_registry, old.entry_id)
        return {one.unique_id: identity(one) for one in found}

    before = entities()
    caplog.clear()
    assert await hass.config_entries.async_reload(old.entry_id)
    await hass.async_block_till_done()
    (ess,) = dr.async_entries_for_config_entry(device_registry, old.entry_id)
    assert ess.id == devices["REFU ESS"].id
    children = {one.id: one for one in dr.async_entries_for_parent_device(device_registry, ess.id)}
    assert children.keys() == {one.id for one in devices.values()} - {ess.id}
    child = children[battery.id]
    assert (child.name, child.name_by_user, child.area_id, child.labels) == ("Battery", "Big one", cellar, {"heavy"})
    assert children[dcdc.id].name == "DC/DC converter"
    assert children[group.id].disabled_by is dr.DeviceEntryDisabler.USER
    assert entities() == before
    assert hass.states.get(RENAMED)
    assert hass.states.get(OFF) is None
    loud = [one for one in caplog.records if one.levelname in ("WARNING", "ERROR")]
    assert not [one for one in loud if one.name.startswith(("homeassistant", "custom_components"))]


async def test_children_stay(
    hass: HomeAssistant, old: MockConfigEntry, device_registry: dr.DeviceRegistry, entity_registry: er.EntityRegistry
) -> None:
    """Once they are children, the next start changes nothing."""
    assert await hass.config_entries.async_reload(old.entry_id)
    await hass.async_block_till_done()

    def tree() -> set[tuple[str, str]]:
        found = dr.async_child_entries_for_config_entry(device_registry, old.entry_id)
        return {(one.id, one.parent_device_id) for one in found}

    before = tree()
    assert len(before) == 6
    assert await hass.config_entries.async_reload(old.entry_id)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await hass.async_block_till_done()
    assert tree() == before


async def test_absent_groups_of_an_old_tree(
    hass: HomeAssistant, old: MockConfigEntry, device_registry: dr.DeviceRegistry
) -> None:
    """Groups that are no longer configured are removed, whichever kind of device they were."""
    hass.config_entries.async_update_entry(old, options={"battery_groups": 1})
    assert await hass.config_entries.async_reload(old.entry_id)
    await hass.async_block_till_done()
    names = {one.name for one in dr.async_child_entries_for_config_entry(device_registry, old.entry_id)}
    assert names == {"Battery", "Battery group 1", "DC/DC converter"}
    assert len(dr.async_entries_for_config_entry(device_registry, old.entry_id)) == 1
