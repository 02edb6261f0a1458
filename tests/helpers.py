"""Helpers of tests in Home Assistant: polling, states, the log, forms."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from .registers import held


async def poll(hass: HomeAssistant, freezer: FrozenDateTimeFactory, times: int = 1) -> None:
    """Let the coordinator poll."""
    for _ in range(times):
        freezer.tick(timedelta(seconds=11))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)


def state(hass: HomeAssistant, entity_id: str) -> str:
    """Return the state of an entity that is there."""
    found = hass.states.get(entity_id)
    assert found is not None
    return found.state


def own_lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the integration's log lines for users."""
    return [one for one in caplog.records if one.name.startswith("custom_components") and one.levelno >= logging.INFO]


def switch(unit: MockModbusUnit, *bits: tuple[int, int], on: bool = True) -> None:
    """Set or clear bits of input registers, each by address and number."""
    for address, index in bits:
        word = held(unit.input, address)
        unit.input[address] = word | 1 << index if on else word & ~(1 << index)


def fields(form: ConfigFlowResult) -> dict[Any, Any]:
    """Return the fields of a form: their markers with their selectors."""
    schema = form["data_schema"]
    assert schema is not None
    return dict(schema.schema)
