"""Helpers of tests in Home Assistant: polling, states, the log, forms."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import SOURCE_USER, ConfigFlowResult
from homeassistant.core import HomeAssistant, State
from homeassistant.data_entry_flow import FlowResultType
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.refu_ess.const import DOMAIN

from .registers import ACTIVE_SETPOINT, REACTIVE_SETPOINT, held

ALARM_EVENT = "event.refu_ess_alarms"
QUICK = {"start_delay": 0, "ramp_rate": 100}

type Written = list[tuple[int, list[int]]]
"""Writes to the device: address and words."""
type Reported = list[dict[str, Any]]
"""Attributes of alarm events."""

ZERO: Written = [(ACTIVE_SETPOINT, [0]), (REACTIVE_SETPOINT, [0])]


async def poll(hass: HomeAssistant, freezer: FrozenDateTimeFactory, times: int = 1) -> None:
    """Let the coordinator poll."""
    for _ in range(times):
        freezer.tick(timedelta(seconds=11))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)


async def seconds(hass: HomeAssistant, freezer: FrozenDateTimeFactory, count: int, *, wait: bool = True) -> None:
    """Advance time second by second; without `wait`, tasks that wait for it need not be done."""
    for _ in range(count):
        freezer.tick(timedelta(seconds=1))
        async_fire_time_changed(hass)
        if wait:
            await hass.async_block_till_done(wait_background_tasks=True)
        else:
            for _ in range(50):
                await asyncio.sleep(0)


def shown(hass: HomeAssistant, entity_id: str) -> State:
    """Return the state, with its attributes, of an entity that is there."""
    found = hass.states.get(entity_id)
    assert found is not None
    return found


def state(hass: HomeAssistant, entity_id: str) -> str:
    """Return the state of an entity that is there."""
    return shown(hass, entity_id).state


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


async def choose(hass: HomeAssistant, transport: str, flow: ConfigFlowResult | None = None) -> ConfigFlowResult:
    """Open the form of a transport."""
    if flow is None:
        flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert flow["type"] is FlowResultType.MENU
    assert flow["menu_options"] == ["tcp", "rtu_over_tcp", "serial"]
    form = await hass.config_entries.flow.async_configure(flow["flow_id"], {"next_step_id": transport})
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == transport
    return form
