"""Alarms in Home Assistant: every change is one event, whatever happens to the link or to Home Assistant."""

import json
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import STATE_UNKNOWN, Platform
from homeassistant.core import CoreState, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from modbus_connection import IllegalDataAddressError
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.refu_ess.alarm_memory import SAVE_DELAY_SECONDS
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.diagnostics import async_get_config_entry_diagnostics

from .bits import GROUP_3_SILENT, HOT, INVERTER_FAULT, SMOKE
from .helpers import ALARM_EVENT, Reported, poll, state, switch
from .registers import BATTERY_BLOCK, INVERTER_STATUS, SYSTEM_ERROR_1, SYSTEM_STATE

ACTIVE = "sensor.refu_ess_active_alarms"
FAULT = "binary_sensor.refu_ess_fault"
STORE = f"{DOMAIN}.refu.alarms"


def short(reported: Reported) -> list[str]:
    """Return `+` and `-` with keys, and `?` where a change was found at the start."""
    signs = {"raised": "+", "cleared": "-"}
    return [signs[one["event_type"]] + one["key"] + ("?" if one["found_at_start"] else "") for one in reported]


async def test_raised_and_cleared(
    hass: HomeAssistant,
    reported: Reported,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
) -> None:
    """An event has all that a message needs."""
    assert state(hass, ALARM_EVENT) == STATE_UNKNOWN
    freezer.move_to("2040-01-02T12:00:00+00:00")
    switch(unit, SMOKE)
    await poll(hass, freezer)
    facts = {
        "key": "fog_alarm",
        "text": "Fog (smoke) alarm",
        "label": "Frog alarm",
        "severity": "fault",
        "category": "temperature",
        "battery_group": None,
        "word": "BatteryFault10",
        "bit": 7,
        "since": "2040-01-02T12:00:11+00:00",
        "found_at_start": False,
        "snapshot": {
            "soc": 62,
            "active_power": 25_000,
            "battery_voltage": 768.0,
            "battery_highest_temperature": 24,
            "battery_lowest_temperature": -2,
            "system_state": "start",
            "error_code": 0,
            "dcdc_error": 0,
        },
    }
    assert facts.items() <= reported[0].items()
    assert (reported[0]["event_type"], reported[0]["duration"]) == ("raised", None)
    switch(unit, SMOKE, on=False)
    await poll(hass, freezer, 2)
    assert facts.items() <= reported[1].items()
    assert (reported[1]["event_type"], reported[1]["duration"]) == ("cleared", 11.0)
    assert len(reported) == 2


async def test_a_group_and_its_place(
    hass: HomeAssistant,
    reported: Reported,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
) -> None:
    """The text names the battery group, and the bit is where the chosen layout has it."""
    hass.config_entries.async_update_entry(loaded, options={"inverter_status_layout": "shifted"})
    await hass.config_entries.async_reload(loaded.entry_id)
    reported.clear()
    switch(unit, GROUP_3_SILENT, (INVERTER_STATUS, 7))
    unit.input[SYSTEM_STATE] = 3  # at rest nothing speaks against the layout
    await poll(hass, freezer)
    about = {one["key"]: (one["text"], one["battery_group"], one["word"], one["bit"]) for one in reported}
    text = "CAN lost, group 3"
    assert about["group_3_can_interrupted"] == (text, 3, "BatteryFault2", 2)
    assert about["inverter_warning"] == ("Inverter warning", None, "InverterStatus", 7)


async def test_explained_before_it_is_reported(
    hass: HomeAssistant, loaded: MockConfigEntry, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """When the event fires, the sensors already show the alarm."""
    shown: list[tuple[str, Any]] = []

    @callback
    def listen(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] == ALARM_EVENT:
            active = hass.states.get(ACTIVE)
            assert active is not None
            shown.append((state(hass, FAULT), active.attributes["alarm_keys"]))

    hass.bus.async_listen("state_changed", listen)
    switch(unit, INVERTER_FAULT)
    await poll(hass, freezer)
    assert shown == [("on", ["inverter_fault"])]


async def test_restart(
    hass: HomeAssistant,
    reported: Reported,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    """An alarm that was there before raises no event again; a new or past one does, marked as found at the start."""
    switch(unit, HOT, INVERTER_FAULT)
    await poll(hass, freezer)
    reported.clear()
    assert await hass.config_entries.async_unload(loaded.entry_id)
    assert [one["key"] for one in hass_storage[STORE]["data"]["active"]] == [
        "inverter_fault",
        "normal_high_temperature",
    ]
    switch(unit, SMOKE)
    switch(unit, HOT, on=False)
    freezer.tick(timedelta(hours=1))
    assert await hass.config_entries.async_setup(loaded.entry_id)
    await hass.async_block_till_done()
    assert short(reported) == ["+fog_alarm?", "-normal_high_temperature?"]
    switch(unit, INVERTER_FAULT, on=False)
    reported.clear()
    await poll(hass, freezer)
    assert short(reported) == ["-inverter_fault"]
    assert reported[0]["duration"] == pytest.approx(3611, abs=1)


async def test_nothing_is_reported_before_automations_listen(
    hass: HomeAssistant,
    reported: Reported,
    entry: MockConfigEntry,
    link: MagicMock,
    unit: MockModbusUnit,
    hass_storage: dict[str, Any],
) -> None:
    """Changes found while Home Assistant starts are reported once it has started."""
    hass_storage[STORE] = {"version": 1, "key": STORE, "data": {"version": 1, "active": [], "history": []}}
    switch(unit, SMOKE)
    hass.set_state(CoreState.starting)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    switch(unit, HOT)
    await entry.runtime_data.async_refresh()
    await hass.async_block_till_done()
    assert state(hass, ALARM_EVENT) == STATE_UNKNOWN
    assert reported == []
    hass.set_state(CoreState.running)
    hass.bus.async_fire("homeassistant_started")
    await hass.async_block_till_done()
    assert short(reported) == ["+fog_alarm?", "+normal_high_temperature"]


async def test_first_start_reports_nothing(
    hass: HomeAssistant, reported: Reported, entry: MockConfigEntry, link: MagicMock, unit: MockModbusUnit
) -> None:
    """Alarms that are active when the ESS is set up for the first time raise no event, but are listed."""
    switch(unit, SMOKE)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert reported == []
    found = await ask(hass)
    assert [(one["key"], one["found_at_start"]) for one in found["active"]] == [("fog_alarm", True)]


async def test_read_only(
    hass: HomeAssistant,
    reported: Reported,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A read-only ESS reports alarms too."""
    hass.config_entries.async_update_entry(loaded, options={"read_only": True})
    await hass.config_entries.async_reload(loaded.entry_id)
    assert hass.states.get("event.refu_ess_commands") is None
    switch(unit, SMOKE)
    await poll(hass, freezer)
    assert short(reported) == ["+fog_alarm"]


async def ask(hass: HomeAssistant, **data: Any) -> dict[str, Any]:
    """Return what the action answers."""
    answer = await hass.services.async_call(DOMAIN, "get_alarms", data, blocking=True, return_response=True)
    assert answer is not None
    return dict(answer)


async def test_action_and_diagnostics(
    hass: HomeAssistant,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Both answer the active alarms since when, and the history with the newest first, as data."""
    freezer.move_to("2040-01-02T12:00:00+00:00")
    switch(unit, SMOKE, HOT)
    await poll(hass, freezer)
    switch(unit, SMOKE, on=False)
    await poll(hass, freezer)
    unit.fail_read(BATTERY_BLOCK, IllegalDataAddressError(), register_type="input")
    await poll(hass, freezer)
    found = await ask(hass)
    assert found["complete"] is False
    (hot,) = found["active"]
    assert hot == {
        "key": "normal_high_temperature",
        "text": "High temperature, level 1",
        "label": "Normal high temperature",
        "severity": "warning",
        "category": "temperature",
        "battery_group": None,
        "word": "BatteryAlarm1",
        "bit": 6,
        "since": "2040-01-02T12:00:11+00:00",
        "found_at_start": False,
        "readable": False,
    }
    history = [(one["event"], one["key"], one["at"], one["duration"]) for one in found["history"]]
    assert history == [
        ("cleared", "fog_alarm", "2040-01-02T12:00:22+00:00", 11.0),
        ("raised", "normal_high_temperature", "2040-01-02T12:00:11+00:00", None),
        ("raised", "fog_alarm", "2040-01-02T12:00:11+00:00", None),
    ]
    assert json.loads(json.dumps(found)) == found
    diagnostics = await async_get_config_entry_diagnostics(hass, loaded)
    assert diagnostics["alarms"] == found


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "BMS not ready"), ("de", "BMS nicht bereit"), ("is", "BMS not ready")],
)
async def test_one_text_everywhere(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    entry: MockConfigEntry,
    link: MagicMock,
    reported: Reported,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    language: str,
    text: str,
) -> None:
    """The event, the list of active alarms and the diagnostics say what is wrong, in Home Assistant's language."""
    hass.config.language = language
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    registry = er.async_get(hass)
    ids = {
        key: registry.async_get_entity_id(domain, DOMAIN, f"refu_{key}") or ""
        for domain, key in ((Platform.EVENT, "alarms"), (Platform.SENSOR, "active_alarms"))
    }
    switch(unit, (SYSTEM_ERROR_1, 9), on=False)
    await poll(hass, freezer)
    event, active = hass.states.get(ids["alarms"]), hass.states.get(ids["active_alarms"])
    assert event is not None
    assert active is not None
    assert event.attributes["text"] == text
    assert active.attributes["alarms"] == [text]
    diagnostics = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert diagnostics["channels"]["Warning"]["bits"] == [text]
    assert (await ask(hass))["active"][0]["text"] == text


async def test_saved_while_it_flaps(
    hass: HomeAssistant,
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    """A flapping alarm puts off no write: a crash takes away at most the last seconds."""
    for n in range(round(SAVE_DELAY_SECONDS)):
        switch(unit, HOT, on=not n % 2)
        await loaded.runtime_data.async_refresh()
        freezer.tick(1.1)
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    assert len(hass_storage[STORE]["data"]["history"]) >= 9


async def test_removed_with_the_entry(
    hass: HomeAssistant, loaded: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """Nothing is remembered of an ESS that is gone."""
    await hass.config_entries.async_unload(loaded.entry_id)
    assert STORE in hass_storage
    await hass.config_entries.async_remove(loaded.entry_id)
    assert STORE not in hass_storage
