"""Any words at all: nothing raises, nothing is of a wrong type, and a counter does not fall for a glitch."""

import logging
import math

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from modbus_connection.mock import MockModbusConnection
from modbus_connection.model import NumberField

from custom_components.refu_ess.ess import (
    BITS,
    CHANNELS,
    CONDITIONS,
    REGISTER_CHANNELS,
    InverterStatusLayout,
    RefuEss,
    Site,
)
from custom_components.refu_ess.ess.plausibility import Counted
from tests.registers import FIRST_SETTING, STATUS_BLOCK

from .clock import Clock

WORD = st.integers(0, 0xFFFF)
WHOLE = {
    entry.key for entry in REGISTER_CHANNELS if entry.codes is None and entry.unit in {None, "%", "mV", "°C", "kWh"}
}
"""The channels that count in whole numbers, words among them."""
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Random words make much noise."""
    caplog.set_level(logging.CRITICAL)


@given(
    st.lists(st.lists(WORD, min_size=86, max_size=86), min_size=1, max_size=4),
    st.lists(WORD, min_size=11, max_size=11),
    st.sampled_from(InverterStatusLayout),
)
@QUIET
async def test_any_words(polls: list[list[int]], holdings: list[int], layout: InverterStatusLayout) -> None:
    """Every value is of its type, and every bit a yes or no, however many polls brought whatever words."""
    unit = MockModbusConnection().for_unit(1)
    unit.holding.update(dict(enumerate(holdings, FIRST_SETTING)))
    clock = Clock()
    device = RefuEss(unit, Site(inverter_status_layout=layout), clock=clock)
    for inputs in polls:
        unit.input.update(dict(enumerate(inputs, STATUS_BLOCK)))
        await device.async_poll()
        clock.now += 10
    for entry in CHANNELS:
        value = device.picture.values[entry.key]
        if entry.codes is not None:
            assert value is None or type(value) is entry.codes
        elif entry.key in WHOLE:
            assert value is None or type(value) is int, entry.key
        elif entry.key in ("alias", "most_severe_alarm"):
            assert isinstance(value, str)
        else:
            assert value is None or isinstance(value, (int, float))
            assert value is None or math.isfinite(value)
    for bit in BITS:
        value = device.picture.values[bit.key]
        assert type(value) is bool or (value is None and bit.bit.depends_on_layout)
    for key in CONDITIONS:
        assert type(device.picture.values[key]) is bool


@given(st.data())
@QUIET
def test_what_is_decoded_can_be_encoded(data: st.DataObject) -> None:
    """Decoding and encoding a word gives that word, for every channel that is not a set of codes."""
    for entry in REGISTER_CHANNELS:
        if isinstance(entry.field, NumberField) and entry.codes is None:
            words = data.draw(st.lists(WORD, min_size=entry.field.count, max_size=entry.field.count))
            assert entry.field.encode(entry.field.decode(words)) == words


def test_codes_survive_a_round_trip() -> None:
    """Every code that a channel knows is encoded as the word it was decoded from."""
    coded = [entry for entry in REGISTER_CHANNELS if entry.codes is not None]
    assert len(coded) == 6
    for entry in coded:
        assert isinstance(entry.field, NumberField)
        for code in entry.codes or ():
            assert entry.field.decode(entry.field.encode(code)) is code
            assert entry.field.encode(code) == [int(code)]


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
