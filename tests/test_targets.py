"""Which ESS an action is for."""

from contextlib import suppress
from typing import Any
from unittest.mock import MagicMock

import pytest
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import ServiceValidationError, Unauthorized, UnknownUser
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.refu_ess import alarm_action
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.coordinator import RefuEssCoordinator
from custom_components.refu_ess.targets import Right, async_coordinator_of

from .conftest import TCP_DATA

BATTERY = {
    "first": "sensor.refu_ess_battery_state_of_charge_soc",
    "second": "sensor.cellar_battery_state_of_charge_soc",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The entries whose alarms were asked for."""
    found: list[str] = []

    async def coordinator_of(call: Any, right: Right) -> RefuEssCoordinator:
        coordinator = await original(call, right)
        found.append(coordinator.config_entry.entry_id)
        return coordinator

    original = async_coordinator_of
    monkeypatch.setattr(alarm_action, "async_coordinator_of", coordinator_of)
    return found


@pytest.fixture
async def second(hass: HomeAssistant, loaded: MockConfigEntry, link: MagicMock) -> MockConfigEntry:
    """A second ESS."""
    entry = MockConfigEntry(domain=DOMAIN, title="Cellar", data=TCP_DATA | {"port": 503}, entry_id="second")
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


async def ask(hass: HomeAssistant, target: dict[str, Any] | None = None, **data: Any) -> None:
    """Call the action."""
    await hass.services.async_call(DOMAIN, "get_alarms", data, target=target, blocking=True, return_response=True)


async def refused(hass: HomeAssistant, target: dict[str, Any] | None = None, **data: Any) -> ServiceValidationError:
    """Call the action and return why it was refused."""
    with pytest.raises(ServiceValidationError) as caught:
        await ask(hass, target, **data)
    return caught.value


async def test_the_only_one(hass: HomeAssistant, loaded: MockConfigEntry, asked: list[str]) -> None:
    """With one ESS nothing has to be said, and everything may be."""
    await ask(hass)
    await ask(hass, config_entry_id="refu")
    await ask(hass, {"entity_id": BATTERY["first"]})
    await ask(hass, {"entity_id": BATTERY["first"]}, config_entry_id="refu")
    assert asked == ["refu"] * 4


async def test_by_device_area_and_label(
    hass: HomeAssistant,
    second: MockConfigEntry,
    asked: list[str],
    device_registry: dr.DeviceRegistry,
    area_registry: ar.AreaRegistry,
) -> None:
    """A target may be the ESS, a part of it, one of its entities, or where it stands; others there do not matter."""
    (ess,) = dr.async_entries_for_config_entry(device_registry, second.entry_id)
    part = dr.async_entries_for_parent_device(device_registry, ess.id)[0]
    area = area_registry.async_create("Cellar")
    device_registry.async_update_device(ess.id, area_id=area.id)
    other = MockConfigEntry(domain="hue")
    other.add_to_hass(hass)
    lamp = device_registry.async_get_or_create(config_entry_id=other.entry_id, identifiers={("hue", "lamp")})
    device_registry.async_update_device(lamp.id, area_id=area.id)
    for target in (
        {"device_id": ess.id},
        {"device_id": [part.id, lamp.id]},
        {"area_id": area.id},
        {"entity_id": [BATTERY["second"], "event.cellar_alarms"]},
    ):
        await ask(hass, target)
    assert asked == ["second"] * 4


async def test_by_entity_that_is_off(
    hass: HomeAssistant, second: MockConfigEntry, asked: list[str], entity_registry: er.EntityRegistry
) -> None:
    """An entity names its ESS although it is off."""
    off = next(
        one
        for one in er.async_entries_for_config_entry(entity_registry, second.entry_id)
        if one.disabled_by is not None
    )
    await ask(hass, {"entity_id": off.entity_id})
    assert asked == ["second"]


async def test_refused(hass: HomeAssistant, second: MockConfigEntry, asked: list[str]) -> None:
    """A call that does not mean exactly one ESS is refused, and says which there are."""
    err = await refused(hass)
    assert err.translation_key == "several_ess"
    assert err.translation_placeholders == {"names": "Cellar, REFU ESS"}
    assert (await refused(hass, {"entity_id": list(BATTERY.values())})).translation_key == "several_ess"
    assert (await refused(hass, {"entity_id": "light.lamp"})).translation_key == "target_without_ess"
    err = await refused(hass, {"entity_id": BATTERY["first"]}, config_entry_id="second")
    assert err.translation_key == "target_and_entry_differ"
    err = await refused(hass, {"entity_id": list(BATTERY.values())}, config_entry_id="second")
    assert err.translation_key == "target_and_entry_differ"
    assert (await refused(hass, config_entry_id="nobody")).translation_key == "service_config_entry_not_found"
    assert await hass.config_entries.async_unload("second")
    err = await refused(hass, {"entity_id": BATTERY["second"]})
    assert err.translation_key == "service_config_entry_not_loaded"
    assert asked == []
    await ask(hass)
    assert asked == ["refu"]


async def test_none_set_up(hass: HomeAssistant, loaded: MockConfigEntry) -> None:
    """Without an ESS that is set up the action says so."""
    assert await hass.config_entries.async_unload("refu")
    assert (await refused(hass)).translation_domain == "homeassistant"


SAME_AS = {
    "set_power": ["active_power_setpoint", "reactive_power_setpoint"],
    "release": ["release_setpoint"],
    "reset_error": ["reset_error"],
}
"""The entities that do the same as an action."""


def policy_for(registry: er.EntityRegistry, keys: list[str]) -> dict[str, Any]:
    """The right to do everything with these entities only."""
    ids = {one.entity_id for one in registry.entities.values() if one.unique_id.removeprefix("refu_") in keys}
    assert len(ids) == len(keys)
    return {"entities": {"entity_ids": dict.fromkeys(ids, True)}}


@pytest.fixture
def guest(hass: HomeAssistant) -> MockUser:
    """A user who may see everything and control nothing."""
    user = MockUser(name="Guest").add_to_hass(hass)
    user.mock_policy({"entities": {"all": {"read": True}}})
    return user


async def call_as(hass: HomeAssistant, user_id: str | None, action: str) -> None:
    """Call an action as this user."""
    data = {"active_power": 1000} if action.endswith("power") else {}
    await hass.services.async_call(
        DOMAIN,
        action,
        data,
        blocking=True,
        context=Context(user_id=user_id),
        return_response=action in {"get_alarms", "preview_power"},
    )


@pytest.mark.parametrize("action", SAME_AS)
async def test_who_may_control(
    hass: HomeAssistant,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    guest: MockUser,
    entity_registry: er.EntityRegistry,
    action: str,
) -> None:
    """An action is refused to a user who may not control the entities that do the same, and writes nothing."""
    commander = loaded.runtime_data.commander
    with pytest.raises(Unauthorized):
        await call_as(hass, guest.id, action)
    with pytest.raises(UnknownUser):
        await call_as(hass, "deleted", action)
    assert list(commander.controller.device.unit.writes) == []
    guest.mock_policy(policy_for(entity_registry, SAME_AS[action]))
    with suppress(ServiceValidationError):  # nothing to release, no error to reset
        await call_as(hass, guest.id, action)
    await commander.async_shut_down()


async def test_half_of_the_setpoints_is_not_enough(
    hass: HomeAssistant, loaded: MockConfigEntry, guest: MockUser, entity_registry: er.EntityRegistry
) -> None:
    """A call moves both setpoints, so its user must be allowed to control both."""
    guest.mock_policy(policy_for(entity_registry, SAME_AS["set_power"][:1]))
    with pytest.raises(Unauthorized):
        await call_as(hass, guest.id, "set_power")


async def test_who_may_read(hass: HomeAssistant, loaded: MockConfigEntry, guest: MockUser) -> None:
    """Alarms and previews take the right to read."""
    for action in ("get_alarms", "preview_power"):
        await call_as(hass, guest.id, action)
    guest.mock_policy({})
    for action in ("get_alarms", "preview_power"):
        with pytest.raises(Unauthorized):
            await call_as(hass, guest.id, action)


async def test_an_administrator_may_without_entities(
    hass: HomeAssistant, loaded: MockConfigEntry, guest: MockUser, hass_admin_user: MockUser
) -> None:
    """Without such an entity, as with a read-only ESS, only administrators get as far as the refusal."""
    hass.config_entries.async_update_entry(loaded, options={"read_only": True})
    await hass.config_entries.async_reload(loaded.entry_id)
    with pytest.raises(Unauthorized):
        await call_as(hass, guest.id, "set_power")
    with pytest.raises(ServiceValidationError):
        await call_as(hass, hass_admin_user.id, "set_power")
