"""The logbook says which alarm, for what reason, and who commanded."""

from typing import Any
from unittest.mock import MagicMock

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import Context, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser, async_fire_time_changed

from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.ess import End, Limit, Refusal
from custom_components.refu_ess.logbook import async_describe_events, message

from .bits import SMOKE
from .helpers import poll, switch

POWER = "number.refu_ess_power_setpoint"
COMMANDS = "event.refu_ess_commands"


@pytest.fixture
def lines(hass: HomeAssistant) -> list[dict[str, Any]]:
    """The lines of the logbook, as Home Assistant's logbook makes them from the bus, with the context's user."""
    found: list[dict[str, Any]] = []

    @callback
    def describe_event(domain: str, event_type: str, describe: Any) -> None:
        @callback
        def log(event: Event) -> None:
            found.append({"domain": domain, "user": event.context.user_id, **describe(event)})

        hass.bus.async_listen(event_type, log)

    async_describe_events(hass, describe_event)
    return found


@pytest.mark.parametrize(
    ("language", "raised", "cleared"),
    [
        ("en", "Alarm raised: Fog (smoke) alarm (Fault)", "Alarm cleared: Fog (smoke) alarm (Fault)"),
        ("de", "Alarm ausgelöst: Nebel-/Rauchalarm (Störung)", "Alarm beendet: Nebel-/Rauchalarm (Störung)"),
    ],
)
async def test_alarms(
    hass: HomeAssistant,
    lines: list[dict[str, Any]],
    entry: MockConfigEntry,
    link: MagicMock,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    language: str,
    raised: str,
    cleared: str,
) -> None:
    """An alarm has its name and its severity, in Home Assistant's language, at its event entity."""
    hass.config.language = language
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    for on in (True, False):
        switch(unit, SMOKE, on=on)
        await poll(hass, freezer)
    entity_id = er.async_get(hass).async_get_entity_id("event", DOMAIN, "refu_alarms")
    assert entity_id is not None
    state = hass.states.get(entity_id)
    assert state is not None
    assert [line["message"] for line in lines] == [raised, cleared]
    assert {(line["domain"], line["entity_id"], line["name"]) for line in lines} == {(DOMAIN, entity_id, state.name)}


async def test_commands(
    hass: HomeAssistant,
    lines: list[dict[str, Any]],
    loaded: MockConfigEntry,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    hass_admin_user: MockUser,
) -> None:
    """A command is attributed to its user in each state and line that it causes; an expiry is attributed to nobody."""
    unit.holding[0x203] = 0
    await poll(hass, freezer, 6)
    changed: list[tuple[str, str | None]] = []

    @callback
    def listen(event: Event[EventStateChangedData]) -> None:
        changed.append((event.data["entity_id"], event.context.user_id))

    hass.bus.async_listen("state_changed", listen)
    user = hass_admin_user.id

    async def call(domain: str, service: str, **data: Any) -> None:
        await hass.services.async_call(domain, service, data, blocking=True, context=Context(user_id=user))
        await hass.async_block_till_done()

    await call("number", "set_value", entity_id=POWER, value=5)
    assert {by for entity_id, by in changed if entity_id in (POWER, COMMANDS)} == {user}
    assert {entity_id for entity_id, by in changed if by == user} >= {POWER, COMMANDS}
    changed.clear()
    await call(DOMAIN, "release")
    assert (COMMANDS, user) in changed
    assert [(line["message"], line["user"]) for line in lines] == [("Setpoint ended: Released", user)]
    lines.clear()
    await call(DOMAIN, "set_power", active_power=5000, duration={"seconds": 2})
    changed.clear()
    for _ in range(6):
        freezer.tick(1.0)
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    assert [(line["message"], line["user"]) for line in lines] == [("Setpoint ended: Duration over", None)]
    assert (COMMANDS, None) in changed
    lines.clear()
    with pytest.raises(Exception, match=r"no error"):
        await call(DOMAIN, "reset_error")
    assert [(line["message"], line["user"]) for line in lines] == [("Command refused: No error to reset", user)]


@pytest.mark.parametrize("language", ["en", "de"])
async def test_every_reason_has_a_text(
    hass: HomeAssistant, entry: MockConfigEntry, link: MagicMock, language: str
) -> None:
    """No line shows a key."""
    hass.config.language = language
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    every = [("lease_ended", reason.value) for reason in End]
    every += [("refused", reason.value) for reason in Refusal]
    every += [("not_delivered", reason.value) for reason in (Limit.NOT_DELIVERED, Limit.REDUCED_BY_DEVICE)]
    for kind, reason in every:
        _, text = message(hass, {"event_type": kind, "reason": reason}).split(": ")
        assert text[0].isupper()
