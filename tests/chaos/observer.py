"""Observations of one run: states, lease, log, and the words that the device served and received."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess import ess
from tests.registers import BATTERY_ADDRESSES, STATUS_ADDRESSES
from tests.simulator import Simulator

from .faults import COMMAND_ADDRESSES, SETPOINT_ADDRESSES

SOC_KEY = "soc"
ENTRIES: tuple[ess.ChannelEntry | ess.BitEntry, ...] = (*ess.REGISTER_CHANNELS, *ess.BITS)
FIELDS = {entry.key: entry.field for entry in ENTRIES if entry.field is not None}
INVERTED = {entry.key for entry in ess.BITS if entry.bit.severity is ess.Severity.READY}
"""Bits whose entity shows that they are not set."""
BLOCKS = {
    "status": STATUS_ADDRESSES,
    "battery": BATTERY_ADDRESSES,
    "settings": range(COMMAND_ADDRESSES.start, SETPOINT_ADDRESSES.stop),
}
OWN = "custom_components.refu_ess"
KILO = 1000
NOT_OURS = re.compile(r"^Executing <|^Updating state for .* took|incoming connection")
"""Log lines of a slow machine, and of the simulator in the same process."""


@dataclass(frozen=True)
class Shown:
    """A state that an entity had."""

    at: float
    key: str
    state: str
    unit: str | None


@dataclass
class Observer:
    """Follows the entities of one entry, its commander and the log."""

    hass: HomeAssistant
    sim: Simulator
    entry: MockConfigEntry
    shown: list[Shown] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    """Of control: time and `kind` or `kind: reason`."""
    values: dict[str, set[Any]] = field(default_factory=dict)
    """Every value of a channel or bit that the picture held."""
    keys: dict[str, str] = field(default_factory=dict)
    """Channel or bit by entity."""
    _stops: list[Callable[[], None]] = field(default_factory=list)

    def start(self) -> None:
        """Follow the entry, which has just been set up."""
        registry = er.async_get(self.hass)
        for one in er.async_entries_for_config_entry(registry, self.entry.entry_id):
            key = one.unique_id.removeprefix(f"{self.entry.entry_id}_")
            if one.domain in ("sensor", "binary_sensor") and key in FIELDS:
                self.keys[one.entity_id] = key
        for entity_id in self.keys:
            self._note(entity_id)
        coordinator = self.entry.runtime_data
        self._look()
        self._stops = [
            self.hass.bus.async_listen("state_changed", self._changed),
            coordinator.commander.async_listen(self._commanded),
            coordinator.async_add_listener(self._look),
        ]

    def stop(self) -> None:
        """Follow nothing any longer."""
        for stop in self._stops:
            stop()

    @callback
    def _changed(self, event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] in self.keys and event.data["new_state"] is not None:
            self._note(event.data["entity_id"])

    def _note(self, entity_id: str) -> None:
        if (state := self.hass.states.get(entity_id)) is not None:
            unit = state.attributes.get("unit_of_measurement")
            self.shown.append(Shown(time.time(), self.keys[entity_id], state.state, unit))

    @callback
    def _commanded(self, event: Any) -> None:
        reason = event.details.get("reason")
        self.events.append((time.time(), event.kind.value + (f": {reason}" if reason else "")))

    @callback
    def _look(self) -> None:
        picture = self.entry.runtime_data.data
        for key in FIELDS:
            self.values.setdefault(key, set()).add(picture.values.get(key))

    # What is shown now

    def states(self) -> dict[str, str]:
        """The state of each channel and bit that has an entity."""
        found = {key: self.hass.states.get(entity_id) for entity_id, key in self.keys.items()}
        return {key: state.state for key, state in found.items() if state is not None}

    def without(self, state: str) -> set[str]:
        """The channels and bits that show `state`, which is no value."""
        return {key for key, one in self.states().items() if one == state}

    def soc(self) -> str:
        """The state of the state of charge sensor."""
        return self.states()[SOC_KEY]

    def description(self, unknown_before: set[str], fresh_soc: int) -> str:
        """A summary of the entities' states."""
        missing = self.without(STATE_UNAVAILABLE)
        gone = [
            name
            for name, span in BLOCKS.items()
            if missing >= {key for key in self.keys.values() if FIELDS[key].address in span}
        ]
        unknown = self.without(STATE_UNKNOWN) - unknown_before
        words = []
        if len(gone) == len(BLOCKS):
            return "unavailable"
        if gone:
            words.append(f"{' and '.join(gone)} unavailable")
        elif missing:
            words.append(f"{len(missing)} unavailable")
        if unknown:
            words.append(f"{len(unknown)} unknown")
        if self.soc() not in (STATE_UNAVAILABLE, STATE_UNKNOWN):
            words.append("values go on" if self.soc() == str(fresh_soc) else "old values")
        return ", ".join(words) or "unavailable"

    # What must hold

    def served(self, key: str) -> list[Any]:
        """Every value of a channel or bit that the device sent."""
        one = FIELDS[key]
        found = []
        for address, words in self.sim.served:
            start = one.address - address
            if start >= 0 and start + one.count <= len(words):
                found.append(one.decode(list(words[start : start + one.count])))
        return found

    def never_served(self) -> list[str]:
        """Values that were shown and that the device did not send."""
        wrong = []
        for key, values in self.values.items():
            sent = self.served(key)
            wrong += [f"{key}={value}" for value in values if value is not None and value not in sent]
        for one in {(shown.key, shown.state, shown.unit) for shown in self.shown}:
            key, state, unit = one
            if state not in (STATE_UNAVAILABLE, STATE_UNKNOWN) and not self._was_sent(key, state, unit):
                wrong.append(f"{key} shows {state} {unit or ''}".strip())
        return sorted(wrong)

    def _was_sent(self, key: str, state: str, unit: str | None) -> bool:
        if state in ("on", "off"):
            return ((state == "on") != (key in INVERTED)) in map(bool, self.served(key))
        for value in self.served(key):
            if isinstance(value, ess.Code):
                if value.slug == state:
                    return True
                continue
            factor = KILO if unit is not None and unit.startswith("k") and abs(value) > abs(float(state)) else 1
            if abs(float(state) * factor - float(value)) <= 1e-6 * max(abs(float(value)), 1):
                return True
        return False


@contextmanager
def listening() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged: all of ours that a user can see, warnings of others."""
    found: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if NOT_OURS.search(record.getMessage()):
                return
            if record.levelno >= (logging.INFO if record.name.startswith(OWN) else logging.WARNING):
                found.append(record)

    handler, own = Handler(), logging.getLogger(OWN)
    before = own.level
    own.setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(handler)
        own.setLevel(before)
