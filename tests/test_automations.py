"""Triggers and conditions in the editor and in automations."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import voluptuous as vol
import yaml
from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.automation import automations_with_device
from homeassistant.components.websocket_api.automation import (
    async_get_conditions_for_target,
    async_get_services_for_target,
    async_get_triggers_for_target,
)
from homeassistant.core import Event, HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import (
    condition,
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
    trigger,
)
from homeassistant.setup import async_setup_component
from modbus_connection import IllegalDataAddressError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.refu_ess.automations import COMMAND_TRIGGERS, OPTIONS
from custom_components.refu_ess.condition import CONDITIONS
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.ess import Event as ControlEvent, EventKind
from custom_components.refu_ess.trigger import TRIGGERS

from .bits import GROUP_3_SILENT, HOT, INVERTER_FAULT, LEAKAGE, SMOKE
from .generated import INTEGRATION, ROOT, TRANSLATIONS
from .helpers import poll, switch
from .registers import ACTIVE_POWER, BATTERY_BLOCK, SOC

OF_ALARMS = {"refu_ess.alarm_raised", "refu_ess.alarm_cleared"}
OF_COMMANDS = {f"refu_ess.{key}" for key in COMMAND_TRIGGERS}
RAN = "automation_ran"

type Ran = list[dict[str, Any]]


@pytest.fixture
def ess(loaded: MockConfigEntry, device_registry: dr.DeviceRegistry) -> str:
    """The device of the ESS."""
    return dr.async_entries_for_config_entry(device_registry, loaded.entry_id)[0].id


@pytest.fixture
def ran(hass: HomeAssistant) -> Ran:
    """The data that the automations of a test passed on."""
    found: Ran = []

    async def listen(event: Event) -> None:
        found.append(dict(event.data))

    hass.bus.async_listen(RAN, listen)
    return found


async def automate(hass: HomeAssistant, triggers: Any, conditions: Any = ()) -> None:
    """Set an automation up that passes on what triggered it."""
    data = "{{ trigger.to_state.attributes.get('key') or trigger.to_state.attributes.get('reason', '') }}"
    config = {
        "id": "one",
        "alias": "one",
        "triggers": triggers,
        "conditions": list(conditions),
        "actions": [{"event": RAN, "event_data": {"what": data, "by": "{{ trigger.entity_id }}"}}],
        "mode": "queued",
        "max": 130,
    }
    assert await async_setup_component(hass, "automation", {"automation": [config]})
    await hass.async_block_till_done()


def when(key: str, device_id: str, **options: Any) -> dict[str, Any]:
    """Return a trigger of ours as the editor writes it."""
    return {"trigger": f"{DOMAIN}.{key}", "target": {"device_id": device_id}, "options": options}


async def test_offered_for_the_ess(
    hass: HomeAssistant, ess: str, entity_registry: er.EntityRegistry, device_registry: dr.DeviceRegistry
) -> None:
    """Picking the ESS as the target offers its triggers, conditions and actions, and those of its battery."""
    for component in ("battery", "power"):
        await async_setup_component(hass, component, {})
    target = {"device_id": [ess]}
    triggers = set(await async_get_triggers_for_target(hass, target, True))
    assert triggers >= OF_ALARMS | OF_COMMANDS
    assert {"battery.level_crossed_threshold", "power.crossed_threshold"} <= triggers
    conditions = set(await async_get_conditions_for_target(hass, target, True))
    assert {"refu_ess.is_alarm_active", "refu_ess.is_setpoint_held", "battery.is_level"} <= conditions
    assert "refu_ess.get_alarms" in await async_get_services_for_target(hass, target, True)
    entity_registry.async_get_or_create("light", "hue", "lamp", suggested_object_id="lamp")
    elsewhere = {"entity_id": ["light.lamp"]}
    assert not [one for one in await async_get_triggers_for_target(hass, elsewhere, True) if "refu" in one]
    assert not [one for one in await async_get_conditions_for_target(hass, elsewhere, True) if "refu" in one]
    assert not [one for one in await async_get_services_for_target(hass, elsewhere, True) if "refu" in one]


async def test_alarms_raised(
    hass: HomeAssistant, ess: str, ran: Ran, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """Each alarm is one run, also of bits whose entity is off, and the automation is listed with the device."""
    await automate(hass, when("alarm_raised", ess))
    switch(unit, SMOKE, LEAKAGE, INVERTER_FAULT, HOT, GROUP_3_SILENT)
    await poll(hass, freezer)
    keys = [
        "fog_alarm",
        "group_3_can_interrupted",
        "inverter_fault",
        "normal_high_temperature",
        "stack_serious_leakage",
    ]
    assert sorted(one["what"] for one in ran) == keys
    assert {one["by"] for one in ran} == {"event.refu_ess_alarms"}
    assert automations_with_device(hass, ess) == ["automation.one"]
    ran.clear()
    switch(unit, SMOKE, on=False)
    await poll(hass, freezer)
    assert ran == []


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"severity": ["fault"]}, {"fog_alarm", "inverter_fault"}),
        ({"severity": "warning"}, {"normal_high_temperature"}),
        ({"category": ["temperature"]}, {"fog_alarm", "normal_high_temperature"}),
        ({"category": ["temperature"], "severity": ["fault"]}, {"fog_alarm"}),
        ({"alarm": ["fog_alarm", "fuse_fault"]}, {"fog_alarm"}),
        ({"alarm": []}, {"fog_alarm", "inverter_fault", "normal_high_temperature"}),
    ],
)
@pytest.mark.parametrize("change", ["raised", "cleared"])
async def test_narrowed_down(
    hass: HomeAssistant,
    ess: str,
    ran: Ran,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    options: dict[str, Any],
    keys: set[str],
    change: str,
) -> None:
    """A trigger fires for the chosen severities, categories and alarms only."""
    await automate(hass, when(f"alarm_{change}", ess, **options))
    switch(unit, SMOKE, INVERTER_FAULT, HOT)
    await poll(hass, freezer)
    if change == "cleared":
        assert ran == []
        switch(unit, SMOKE, INVERTER_FAULT, HOT, on=False)
        await poll(hass, freezer)
    assert {one["what"] for one in ran} == keys


async def test_trace_says_why_not(
    hass: HomeAssistant, ess: str, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """A trigger that an event did not fire says which choice kept it from firing."""
    reasons: list[tuple[str, Any]] = []
    wanted = cv.TRIGGER_SCHEMA([when("alarm_raised", ess, severity=["warning"], alarm=["fog_alarm"])])
    (config,) = await trigger.async_validate_trigger_config(hass, wanted)
    remove = await trigger.async_initialize_triggers(
        hass,
        [config],
        lambda *_: None,
        DOMAIN,
        "test",
        lambda *_, **__: None,
        did_not_trigger=lambda *found: reasons.extend(
            (one.reason, one.data) for one in found if hasattr(one, "reason")
        ),
    )
    switch(unit, SMOKE)
    await poll(hass, freezer)
    switch(unit, SMOKE, on=False)
    await poll(hass, freezer)
    assert remove is not None
    remove()
    assert reasons == [("other_severity", {"found": "fault", "wanted": ["warning"]})]


@pytest.mark.parametrize("key", COMMAND_TRIGGERS)
async def test_commands(hass: HomeAssistant, ess: str, loaded: MockConfigEntry, ran: Ran, key: str) -> None:
    """Events of commands fire their trigger, narrowed down by their reason."""
    kind, fields = COMMAND_TRIGGERS[key]
    reasons = OPTIONS[fields["reason"]] if fields else ()
    await automate(hass, when(key, ess, **({"reason": [reasons[1]]} if reasons else {})))
    report = loaded.runtime_data.commander.controller.report
    for other in EventKind:
        if other is not kind:
            report(ControlEvent(other, {"reason": reasons[1] if reasons else "x"}))
    for reason in reasons:
        report(ControlEvent(kind, {"reason": reason, "owner": "action"}))
    if not reasons:
        report(ControlEvent(kind, {"held": 7000.0}))
    await hass.async_block_till_done()
    assert ran == [{"what": reasons[1] if reasons else "", "by": "event.refu_ess_commands"}]


async def test_a_real_refusal(hass: HomeAssistant, ess: str, loaded: MockConfigEntry, ran: Ran) -> None:
    """A command that is refused fires the trigger."""
    await automate(hass, when("command_refused", ess, reason=["no_error"]))
    with pytest.raises(ServiceValidationError):
        await hass.services.async_call(DOMAIN, "reset_error", {}, blocking=True)
    await hass.async_block_till_done()
    assert [one["what"] for one in ran] == ["no_error"]


async def test_condition_alarm(
    hass: HomeAssistant, ess: str, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """The condition holds while one of the chosen alarms is active and can be read."""

    async def holds(**options: Any) -> bool | None:
        config = {"condition": f"{DOMAIN}.is_alarm_active", "target": {"device_id": ess}, "options": options}
        config = await condition.async_validate_condition_config(hass, config)
        return (await condition.async_from_config(hass, config)).async_check()

    assert await holds() is False
    switch(unit, INVERTER_FAULT, GROUP_3_SILENT)
    await poll(hass, freezer)
    assert await holds() is True
    assert await holds(severity=["fault"], category=["inverter"]) is True
    assert await holds(severity=["warning"]) is False
    assert await holds(severity=["fault"], category=["temperature"]) is False
    assert await holds(alarm=["group_3_can_interrupted"]) is True
    assert await holds(alarm=["fog_alarm"]) is False
    assert await holds(behavior="all") is True
    unit.fail_read(BATTERY_BLOCK, IllegalDataAddressError(), register_type="input")
    await poll(hass, freezer)
    assert await holds(alarm=["inverter_fault"]) is True
    assert await holds(alarm=["group_3_can_interrupted"]) is False


async def test_condition_for_some_time(
    hass: HomeAssistant, ess: str, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """The condition can ask for how long, and other alarms that come and go do not matter."""
    active = {
        "condition": f"{DOMAIN}.is_alarm_active",
        "target": {"device_id": ess},
        "options": {"alarm": ["fog_alarm"], "for": "00:01:00"},
    }
    await automate(hass, {"trigger": "event", "event_type": "look"}, [active])
    switch(unit, SMOKE)
    await poll(hass, freezer)
    hass.bus.async_fire("look")
    await hass.async_block_till_done()
    assert _last_triggered(hass) is None
    switch(unit, HOT)
    await poll(hass, freezer)
    freezer.tick(timedelta(seconds=50))
    hass.bus.async_fire("look")
    await hass.async_block_till_done()
    assert _last_triggered(hass) is not None


def _last_triggered(hass: HomeAssistant) -> object:
    automation = hass.states.get("automation.one")
    assert automation is not None
    return automation.attributes["last_triggered"]


async def test_condition_setpoint(hass: HomeAssistant, ess: str, freezer: FrozenDateTimeFactory) -> None:
    """The condition holds from the command to its end."""
    config = {"condition": f"{DOMAIN}.is_setpoint_held", "target": {"device_id": ess}}
    config = await condition.async_validate_condition_config(hass, config)
    held = (await condition.async_from_config(hass, config)).async_check
    assert held() is False
    await hass.services.async_call(DOMAIN, "set_power", {"active_power": 20_000, "duration": "00:10:00"}, blocking=True)
    assert held() is True
    await hass.services.async_call(DOMAIN, "release", {}, blocking=True)
    await poll(hass, freezer)
    assert held() is False


async def test_battery_level_of_the_platform(
    hass: HomeAssistant, ess: str, ran: Ran, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """Home Assistant's own trigger for a low battery works with the ESS as its target."""
    await async_setup_component(hass, "battery", {})
    threshold = {"type": "below", "value": {"number": 20}}
    low = {
        "trigger": "battery.level_crossed_threshold",
        "target": {"device_id": ess},
        "options": {"threshold": threshold},
    }
    await automate(hass, low)
    unit.input[SOC] = 21
    await poll(hass, freezer)
    assert ran == []
    unit.input[SOC] = 19
    await poll(hass, freezer)
    assert [one["by"] for one in ran] == ["sensor.refu_ess_battery_state_of_charge_soc"]


@pytest.mark.parametrize(("key", "words"), [("started_charging", (0, 0xFF38)), ("stopped_charging", (0xFF38, 0))])
async def test_battery_charging_of_the_platform(
    hass: HomeAssistant,
    ess: str,
    ran: Ran,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    key: str,
    words: tuple[int, int],
) -> None:
    """Home Assistant's own triggers for charging work with the ESS as their target."""
    await async_setup_component(hass, "battery", {})
    await automate(hass, {"trigger": f"battery.{key}", "target": {"device_id": ess}})
    unit.input[ACTIVE_POWER] = words[0]
    await poll(hass, freezer)
    assert ran == []
    unit.input[ACTIVE_POWER] = words[1]
    await poll(hass, freezer)
    assert [one["by"] for one in ran] == ["binary_sensor.refu_ess_battery_charging"]


async def test_alarm_condition_in_an_alarm_automation(
    hass: HomeAssistant, ess: str, ran: Ran, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """An automation that an alarm starts already finds it active."""
    active = {
        "condition": f"{DOMAIN}.is_alarm_active",
        "target": {"device_id": ess},
        "options": {"alarm": ["fog_alarm"]},
    }
    await automate(hass, when("alarm_raised", ess, alarm=["fog_alarm"]), [active])
    switch(unit, SMOKE)
    await poll(hass, freezer)
    assert [one["what"] for one in ran] == ["fog_alarm"]


@pytest.mark.parametrize("name", ["triggers", "conditions"])
def test_described(name: str) -> None:
    """Every trigger and condition is described, with a target of ours, icons, and fields that it understands."""
    described = yaml.safe_load((INTEGRATION / f"{name}.yaml").read_text())
    described = {key: value for key, value in described.items() if not key.startswith(".")}
    built: Mapping[str, Any] = TRIGGERS if name == "triggers" else CONDITIONS
    assert described.keys() == built.keys()
    icons = json.loads((INTEGRATION / "icons.json").read_text())[name]
    assert icons.keys() == built.keys()
    texts = {language: json.loads(path.read_text()) for language, path in TRANSLATIONS.items()}
    for key, one in described.items():
        assert one["target"]["entity"]["integration"] == DOMAIN
        assert one["target"]["entity"]["domain"] in ("event", "sensor")
        fields = one.get("fields", {})
        target = {"target": {"device_id": ["x"]}}
        for field, about in fields.items():
            select = about["selector"].get("select")
            if select is not None:
                built[key]._schema(target | {"options": {field: select["options"]}})
                for content in texts.values():
                    assert content["selector"][select["translation_key"]]["options"].keys() == set(select["options"])
        with pytest.raises(vol.Invalid):
            built[key]._schema(target | {"options": {"colour": "red"}})
        for content in texts.values():
            assert content[name][key].get("fields", {}).keys() == fields.keys()


async def test_home_assistant_reads_the_descriptions(
    hass: HomeAssistant, loaded: MockConfigEntry, hass_ws_client: WebSocketGenerator
) -> None:
    """Home Assistant accepts the descriptions, as the editor asks for them."""
    assert await async_setup_component(hass, "automation", {})
    triggers = await trigger.async_get_all_descriptions(hass)
    assert {key for key, one in triggers.items() if one and key.startswith(DOMAIN)} == OF_ALARMS | OF_COMMANDS
    conditions = await condition.async_get_all_descriptions(hass)
    assert {key for key, one in conditions.items() if one and key.startswith(DOMAIN)} == {
        "refu_ess.is_alarm_active",
        "refu_ess.is_setpoint_held",
    }


PAGES = sorted(path for folder in ("triggers", "conditions") for path in (ROOT / "docs" / folder).glob("*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page(path: Path) -> None:
    """The page of a trigger or condition names all its options, and its example is valid."""
    text = path.read_text()
    kind = path.parent.name
    described = yaml.safe_load((INTEGRATION / f"{kind}.yaml").read_text())[path.stem]
    for field, about in described.get("fields", {}).items():
        assert f"| `{field}` |" in text
        if field == "reason":
            assert all(f"`{option}`" in text for option in about["selector"]["select"]["options"])
    english = json.loads((INTEGRATION / "translations" / "en.json").read_text())
    assert text.startswith(f"# {kind.removesuffix('s').capitalize()}: {english[kind][path.stem]['name']}\n")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (one,) = yaml.safe_load(example)[kind]
    assert one.pop(kind.removesuffix("s")) == f"{DOMAIN}.{path.stem}"
    built: Mapping[str, Any] = TRIGGERS if kind == "triggers" else CONDITIONS
    built[path.stem]._schema(one)


def test_every_trigger_and_condition_has_a_page() -> None:
    """One page each, as the quality scale demands."""
    assert {path.stem for path in PAGES} == {*TRIGGERS, *CONDITIONS}
