"""Values that words support: an independent oracle, made from the register map, which the declarations never read.

It sees each request and its answer. For every channel and bit it knows what may be shown: what was served the last time
it was asked for, nothing if that request failed, and `None` where the integration is documented to doubt. Showing
nothing is never wrong while something fails.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusProtocolError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.refu_ess.ess import BITS, REGISTER_CHANNELS

from .registers import BATTERY_ADDRESSES, REGISTER_MAP as MAP, STATUS_ADDRESSES

BY_NAME: Mapping[str, dict[str, Any]] = {channel["name"]: channel for channel in MAP["channels"]}
NAMES = {entry.key: str(entry.channel.table_name) for entry in REGISTER_CHANNELS}
PLACES = {entry.key: (str(entry.word.channel.table_name), entry.field.start) for entry in BITS}
SLUGS = {entry.key: {int(code): code.slug for code in entry.codes} for entry in REGISTER_CHANNELS if entry.codes}

NOMINAL_W = 100_000
LIMITS = {"PcsAllowedCharge", "PcsAllowedDischarge", "BatteryAllowedCharge", "BatteryAllowedDischarge"}
LIMIT_KEYS = {"allowed_charge", "allowed_discharge", "pcs_allowed_charge", "pcs_allowed_discharge"}
COUNTERS = {"battery_charge_energy", "battery_discharge_energy"}
DOUBTFUL_BITS = {("InverterStatus", bit) for bit in range(8, 16)}
SETTINGS_AGE_S = 75
"""Settings are read once a minute."""

INPUTS = [*STATUS_ADDRESSES, *BATTERY_ADDRESSES]
SETTINGS = list(range(0x200, 0x20B))
BLOCKS = (0x100, 0x11A, 0x200, 0x203, 0x204, 0x207, 0x208)
"""Where the requests begin."""

type Shown = Callable[[str], tuple[bool, Any]]
"""Returns of a key whether it is available, and its value: a number in the channel's unit, the slug of a code, a yes or
no, `None` if it is unknown."""


class Oracle:
    """Stands between the integration and the device in memory."""

    def __init__(self, connection: MockModbusConnection, unit: MockModbusUnit, now: Callable[[], float]) -> None:
        """See every read from here on."""
        self.connection, self.unit, self._now = connection, unit, now
        self.pass_time: Callable[[float], object] = lambda _: None
        """Called with the seconds by which an answer is late."""
        self.late_s = 0.0
        self.short = False
        """Answers lack their last register."""
        self._served: dict[int, tuple[float, int]] = {}
        """The word that an address was last served with, and when."""
        self._failed: set[int] = set()
        """The addresses whose last request failed."""
        self._counted: dict[str, set[float]] = {key: set() for key in COUNTERS}
        """Every value of the counters that was served."""
        self._input, self._holding = unit.read_input_registers, unit.read_holding_registers
        unit.read_input_registers = self._read_inputs  # type: ignore[method-assign]
        unit.read_holding_registers = self._read_settings  # type: ignore[method-assign]

    async def _read_inputs(self, address: int, count: int) -> list[int]:
        return await self._see(self._input(address, count), address, count)

    async def _read_settings(self, address: int, count: int) -> list[int]:
        return await self._see(self._holding(address, count), address, count)

    async def _see(self, request: Awaitable[list[int]], address: int, count: int) -> list[int]:
        asked = range(address, address + count)
        if self.late_s:
            self.pass_time(self.late_s)
        self._failed.update(asked)
        words = await request
        if self.short:
            return words[:-1]
        self._failed.difference_update(asked)
        self._served.update({one: (self._now(), word) for one, word in zip(asked, words, strict=True)})
        for key in COUNTERS:
            if BY_NAME[NAMES[key]]["address"] in asked:
                self._counted[key].add(self.number(NAMES[key]))
        return words

    # What happens to the link and the device

    def heal(self) -> None:
        """Let every request be answered in time."""
        self.late_s, self.short = 0.0, False
        self.unit.fail_requests(None)
        for address in BLOCKS:
            self.unit.fail_read(address, None, register_type="input" if address < SETTINGS[0] else "holding")

    def meet(self, event: tuple[str, Any]) -> None:
        """Let something happen to the link."""
        kind, detail = event
        if kind == "heal":
            self.heal()
        elif kind == "all":
            self.unit.fail_requests(detail)
        elif kind == "one":
            address, error = detail
            self.unit.fail_read(address, error, register_type="input" if address < SETTINGS[0] else "holding")
        elif kind == "late":
            self.late_s = detail
        elif kind == "short":
            self.short = True
        elif kind == "lost":
            self.connection.simulate_connection_lost()

    def put(self, words: Mapping[int, int]) -> None:
        """Put words into registers."""
        for address, word in words.items():
            (self.unit.input if address < SETTINGS[0] else self.unit.holding)[address] = word

    # What the words support

    def word(self, address: int) -> int:
        """The word that an address was last served with."""
        return self._served[address][1]

    def number(self, name: str) -> float:
        """Return the value of a channel by the register map."""
        channel = BY_NAME[name]
        first, count = channel["address"], channel["registers"]
        raw = sum(self.word(first + index) << 16 * index for index in range(count))  # low word first
        if channel["signed"] and raw >= 1 << (16 * count - 1):
            raw -= 1 << (16 * count)
        to_ours = 0.001 if channel["unit_effective"] in {"mV", "mA"} and "stVoltage" not in name else 1.0
        return float(raw * channel["scale_effective"] * to_ours * (-1 if channel["negate"] else 1))

    def _gone(self, name: str) -> bool:
        """Return whether the last request for a channel failed, or there was none."""
        channel = BY_NAME[name]
        addresses = range(channel["address"], channel["address"] + channel["registers"])
        return any(address in self._failed or address not in self._served for address in addresses)

    def check(self, shown: Shown, *, fresh_s: float) -> None:
        """Check everything that is read; input registers that are available are at most `fresh_s` old."""
        for key, name in NAMES.items():
            available, value = shown(key)
            if available:
                assert not self._gone(name), key
                self._check_age(name, fresh_s)
                self._check_channel(key, name, value)
        for key, (name, bit) in PLACES.items():
            available, value = shown(key)
            if available:
                assert not self._gone(name), key
                supported = bool(self.word(BY_NAME[name]["address"]) >> bit & 1)
                doubted = value is None and (name, bit) in DOUBTFUL_BITS
                assert doubted or value is supported, key
        self._check_derived(shown)

    def _check_age(self, name: str, fresh_s: float) -> None:
        channel = BY_NAME[name]
        age_s = self._now() - self._served[channel["address"]][0]
        assert age_s <= (fresh_s if channel["table"] == "input" else SETTINGS_AGE_S), name

    def _check_channel(self, key: str, name: str, value: Any) -> None:
        channel, supported = BY_NAME[name], self.number(name)
        if channel["kind"] == "enum":
            assert value == SLUGS[key].get(int(supported)), key
        elif key == "soc":
            assert value == (supported if supported <= 100 else None)
        elif key in LIMIT_KEYS:
            assert value == (pytest.approx(supported) if abs(supported) <= 5 * NOMINAL_W else None), key
        elif key in COUNTERS:
            assert value is None or value in self._counted[key], key
        elif key == "battery_voltage":
            assert value is None or value == pytest.approx(supported)
        else:
            assert value == pytest.approx(supported), key

    def _check_derived(self, shown: Shown) -> None:
        """Check what is computed: from what is shown, and not at all where that is unknown."""

        def of(*keys: str) -> Iterator[Any]:
            return (shown(key)[1] if shown(key)[0] else None for key in keys)

        high, low, hot, cold, soc = of(
            "battery_highest_voltage",
            "battery_lowest_voltage",
            "battery_highest_temperature",
            "battery_lowest_temperature",
            "soc",
        )
        expected = {
            "cell_voltage_spread": None if high is None or low is None else high - low,
            "temperature_spread": None if hot is None or cold is None else hot - cold,
            "stored_energy": None if soc is None else pytest.approx(soc * 1.3, abs=0.011),
            "energy_to_full": None if soc is None else pytest.approx((100 - soc) * 1.3, abs=0.011),
        }
        assert dict(zip(expected, of(*expected), strict=True)) == expected


WORD = st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 2, 3, 4, 5, 100, 101, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF])
WORDS = st.dictionaries(st.sampled_from([*INPUTS, *SETTINGS]), WORD, max_size=12) | st.lists(
    WORD, min_size=len(INPUTS), max_size=len(INPUTS)
).map(lambda words: dict(zip(INPUTS, words, strict=True)))
ERRORS: st.SearchStrategy[ModbusError] = st.sampled_from(
    [
        ModbusTimeoutError("late"),
        ModbusConnectionError("gone"),
        ModbusProtocolError("odd"),
        ServerDeviceBusyError(),
        IllegalDataAddressError(),
    ]
)
EVENTS: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.just(("heal", None)),
    st.just(("nothing", None)),
    st.tuples(st.just("all"), ERRORS),
    st.tuples(st.just("one"), st.tuples(st.sampled_from(BLOCKS), ERRORS)),
    st.tuples(st.just("late"), st.sampled_from([0.5, 1.9, 4.0])),
    st.just(("short", None)),
    st.just(("lost", None)),
)
STEPS = st.lists(st.tuples(WORDS, EVENTS), min_size=1, max_size=8)
