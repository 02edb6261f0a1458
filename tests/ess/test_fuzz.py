"""Any words at all: nothing raises, nothing is of a wrong type, and a counter does not fall for a glitch."""

import logging
import math

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from modbus_connection.mock import MockModbusConnection
from modbus_connection.model import NumberField

from custom_components.refu_ess.ess import BITS, CHANNELS, CONDITIONS, REGISTER_CHANNELS, RefuEss
from custom_components.refu_ess.ess.enums import Code
from custom_components.refu_ess.ess.plausibility import Counted

from .conftest import Clock

WORD = st.integers(0, 0xFFFF)
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Random words make much noise."""
    caplog.set_level(logging.CRITICAL)


@given(st.lists(WORD, min_size=86, max_size=86), st.lists(WORD, min_size=11, max_size=11))
@QUIET
async def test_any_words(inputs: list[int], holdings: list[int]) -> None:
    """Every value is of its type, and every bit a yes or no."""
    unit = MockModbusConnection().for_unit(1)
    unit.input.update(dict(enumerate(inputs, 0x100)))
    unit.holding.update(dict(enumerate(holdings, 0x200)))
    device = RefuEss(unit, clock=Clock())
    await device.async_poll()
    for entry in CHANNELS:
        value = device.value(entry)
        if entry.codes is not None:
            assert value is None or isinstance(value, Code)
        elif entry.key in ("alias", "most_severe_alarm"):
            assert isinstance(value, str)
        else:
            assert value is None or isinstance(value, (int, float))
            assert value is None or math.isfinite(value)
    for bit in BITS:
        assert device.bit(bit) in (True, False, None)
    for key in CONDITIONS:
        assert device.condition(key) in (True, False)


@given(st.data())
@QUIET
def test_what_is_decoded_can_be_encoded(data: st.DataObject) -> None:
    """Decoding and encoding a word gives that word, for every channel that is not a set of codes."""
    for entry in REGISTER_CHANNELS:
        if isinstance(entry.field, NumberField) and entry.codes is None:
            words = data.draw(st.lists(WORD, min_size=entry.field.count, max_size=entry.field.count))
            assert entry.field.encode(entry.field.decode(words)) == words


@given(st.integers(1, 2**31), st.integers(-(2**31), 2**31 - 1), st.integers(0, 10))
@QUIET
def test_a_glitch_never_lowers_a_counter(start: int, glitch: int, step: int) -> None:
    """One reading of any kind between two good ones is either possible or not shown."""
    counter = Counted()
    assert counter.accept(start, 0) == start
    shown = counter.accept(glitch, 10)
    assert shown is not None
    assert start <= shown <= start + 11
    after = counter.accept(start + step, 20)
    assert after is not None
    assert after >= start
