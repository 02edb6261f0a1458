"""Any words over any link: nothing raises, only what was served is shown, and a counter does not fall for a glitch.

`REFU_ESS_EXAMPLES` sets how many courses are tried; where it is set they are other ones each time.
"""

import logging
import math
import os
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from modbus_connection import ModbusError
from modbus_connection.mock import MockModbusConnection
from modbus_connection.model import NumberField

from custom_components.refu_ess.ess import BITS, CHANNELS, CONDITIONS, REGISTER_CHANNELS, RefuEss
from custom_components.refu_ess.ess.enums import Code
from custom_components.refu_ess.ess.plausibility import CounterFilter
from tests.conftest import RUNNING_INPUT
from tests.oracle import STEPS, Oracle, Shown

from .clock import Clock

WORD = st.integers(0, 0xFFFF)
WHOLE = {
    entry.key for entry in REGISTER_CHANNELS if entry.codes is None and entry.unit in {None, "%", "mV", "°C", "kWh"}
}
"""The channels that count in whole numbers, words among them."""
QUIET = settings(
    max_examples=int(os.environ.get("REFU_ESS_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Random words produce many log messages."""
    caplog.set_level(logging.CRITICAL)


def shown_by(device: RefuEss) -> Shown:
    """Return how to look at a picture as the oracle does."""
    picture = device.picture

    def shown(key: str) -> tuple[bool, Any]:
        value = picture.values[key]
        return picture.available(key), value.slug if isinstance(value, Code) else value

    return shown


def check_types(device: RefuEss) -> None:
    """Check that every value is of its type, and every bit a yes or no."""
    for entry in CHANNELS:
        value = device.picture.values[entry.key]
        if entry.codes is not None:
            assert value is None or type(value) is entry.codes
        elif entry.key in WHOLE:
            assert value is None or type(value) is int, entry.key
        elif entry.key in {"alias", "most_severe_alarm"}:
            assert value is None or isinstance(value, str)
        else:
            assert value is None or isinstance(value, (int, float))
            assert value is None or math.isfinite(value)
    for key in (*(bit.key for bit in BITS), *CONDITIONS):
        value = device.picture.values[key]
        assert value is None or type(value) is bool


@given(steps=STEPS)
@QUIET
async def test_any_words_over_any_link(steps: list[tuple[dict[int, int], tuple[str, Any]]]) -> None:
    """Whatever words and faults come, only what was served is shown or nothing, and in the end all is fresh."""
    connection = MockModbusConnection()
    unit, clock = connection.for_unit(1), Clock()
    unit.input.update(RUNNING_INPUT)
    device = RefuEss(unit, clock=clock)
    oracle = Oracle(connection, unit, clock)

    def pass_time(seconds: float) -> None:
        clock.now += seconds

    oracle.pass_time = pass_time
    for words, event in steps:
        oracle.put(words)
        oracle.meet(event)
        began = clock.now
        with suppress(ModbusError):
            await device.async_poll()
        oracle.check(shown_by(device), fresh_s=clock.now - began)
        check_types(device)
        clock.now += 10
    oracle.heal()
    clock.now += 400  # longer than registers that were refused are left alone
    await device.async_poll()
    oracle.check(shown_by(device), fresh_s=0)
    assert not device.picture.unavailable


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
    counter = CounterFilter()
    assert counter.accept(start, 0) == start
    shown = counter.accept(glitch, 10)
    assert shown is not None
    assert start <= shown <= start + 11
    after = counter.accept(start + step, 20)
    assert after is not None
    assert after >= start
