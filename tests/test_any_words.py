"""Any words over any link, as the states of Home Assistant show them."""

import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, STATE_ON, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from hypothesis import HealthCheck, Phase, given, settings
from modbus_connection.mock import MockModbusConnection, MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.refu_ess.ess import BITS, Severity

from .conftest import RUNNING_INPUT
from .oracle import NAMES, PLACES, STEPS, Oracle

READY = {entry.key for entry in BITS if entry.bit.severity is Severity.READY}
FACTORS = {"kW": 1000.0, "kvar": 1000.0}
QUIET = settings(
    max_examples=int(os.environ.get("REFU_ESS_EXAMPLES", "15")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize="REFU_ESS_EXAMPLES" not in os.environ,
)


@pytest.fixture(autouse=True)
def _unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Let nothing be logged with a traceback."""
    caplog.set_level(logging.ERROR)
    yield
    assert not [one.getMessage() for one in caplog.get_records("call") if one.exc_info]


class States:
    """The states of the entities, as the oracle looks at them."""

    def __init__(self, hass: HomeAssistant, entry: MockConfigEntry) -> None:
        """Find the entities by their keys."""
        self.hass = hass
        prefix = f"{entry.entry_id}_"
        self.ids = {
            one.unique_id.removeprefix(prefix): one.entity_id
            for one in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
            if one.domain in {"sensor", "binary_sensor"}
        }
        assert NAMES.keys() | PLACES.keys() <= self.ids.keys()

    def shown(self, key: str) -> tuple[bool, Any]:
        """Return whether a state is available, and what it says in the channel's unit."""
        state = self.hass.states.get(self.ids[key])
        assert state is not None
        if state.state == STATE_UNAVAILABLE:
            return False, None
        if state.state == STATE_UNKNOWN:
            return True, None
        if key in PLACES:
            return True, (state.state == STATE_ON) is not (key in READY)
        try:
            return True, float(state.state) * FACTORS.get(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT, ""), 1.0)
        except ValueError:
            return True, state.state


@pytest.mark.usefixtures("link", "everything_enabled")
@given(steps=STEPS)
@QUIET
async def test_any_words_over_any_link(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    connection: MockModbusConnection,
    unit: MockModbusUnit,
    freezer: FrozenDateTimeFactory,
    steps: list[tuple[dict[int, int], tuple[str, Any]]],
) -> None:
    """A state says what was served, or nothing; and when the link is well again, every state is fresh without help."""
    oracle = Oracle(connection, unit, time.monotonic)
    oracle.pass_time = lambda seconds: freezer.tick(timedelta(seconds=seconds))
    oracle.heal()
    unit.input.update(RUNNING_INPUT)
    if entry.entry_id not in {one.entry_id for one in hass.config_entries.async_entries()}:
        entry.add_to_hass(hass)
        assert await hass.config_entries.async_setup(entry.entry_id)
    else:
        assert await hass.config_entries.async_reload(entry.entry_id)  # each begins with nothing in mind
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    states = States(hass, entry)

    async def poll(seconds: float) -> None:
        freezer.tick(timedelta(seconds=seconds))
        began = time.monotonic()
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)
        oracle.check(states.shown, fresh_s=time.monotonic() - began)

    for words, event in steps:
        oracle.put(words)
        oracle.meet(event)
        await poll(11)
    oracle.heal()
    await poll(400)  # longer than registers that were refused are left alone
    await poll(11)
    assert all(states.shown(key)[0] for key in (*NAMES, *PLACES))
