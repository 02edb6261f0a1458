"""One ESS: its blocks, what each poll brought, and the value of every channel and bit."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import Any, cast

from modbus_connection import (
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ModbusUnit,
)
from modbus_connection.model import Component, PackedBitField

from .alarms import ALARMS, counts_as, is_active
from .battery import Battery
from .catalogue import BITS_BY_WORD, INPUT_BLOCKS, SETTING_BLOCKS, BitEntry, ChannelEntry
from .derived import CONDITIONS, DERIVED
from .enums import InverterStatusLayout, OperationMode, WorkState
from .facts import Category, Severity
from .layout import LayoutEvidence
from .link import GuardedUnit
from .plausibility import Plausibility
from .settings import Commands, PhaseSetpoints, Setpoints, TotalSetpoints
from .site import Site
from .status import STATUS

_LOGGER = logging.getLogger(__name__)

SETTINGS_INTERVAL_SECONDS = 60.0
"""How often the holding registers are read back."""
REFUSED_RETRY_SECONDS = 300.0
"""How long a block that the device refused is left alone."""
SILENT_POLLS_BEFORE_RECYCLING_SHARED_LINK = 3
"""Others may be using it, and their requests may still be answered."""


@dataclass
class Block:
    """A block of registers and how its last reading went."""

    component: Component
    words: dict[int, int] = field(default_factory=dict)
    """The raw words of the last good reading, by address."""
    failure: ModbusError | None = None
    """Why the last reading failed, `None` if it did not."""
    read_at: float | None = None
    asked_at: float | None = None
    refused: bool = False

    @property
    def available(self) -> bool:
        """Whether the values are those of the last time it was asked."""
        return self.read_at is not None and self.failure is None

    def due(self, now: float, interval: float) -> bool:
        """Whether it is time to read it, `interval` seconds after the last time."""
        if self.asked_at is None or (self.failure is not None and not self.refused):
            return True
        return now - self.asked_at >= (REFUSED_RETRY_SECONDS if self.refused else interval)


class RefuEss:
    """A REFU battery inverter ESS behind a Modbus unit. It writes only what it is told to."""

    def __init__(
        self,
        unit: ModbusUnit,
        site: Site | None = None,
        *,
        shared_link: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Take the unit of a link that `shared_link` says others use too. Nothing is sent yet."""
        self.site = site or Site()
        self._clock = clock or time.monotonic
        self.unit = GuardedUnit(unit, self._clock)
        self.plausibility = Plausibility()
        self.layout = LayoutEvidence(self.site.inverter_status_layout)
        self.unknown_bits: dict[str, int] = {}
        """Bits seen set that nobody declared, as a mask by the word's key; kept once seen."""
        self._shared_link = shared_link
        self._silent_polls = 0
        modbus_unit = cast("ModbusUnit", self.unit)  # it serves what a component asks for
        self.status = STATUS[self.site.inverter_status_layout](modbus_unit)
        self.battery = Battery(modbus_unit)
        self.commands = Commands(modbus_unit)
        self.setpoints: dict[int, Setpoints] = {1: TotalSetpoints(modbus_unit), 3: PhaseSetpoints(modbus_unit)}
        """The sets of setpoints by their number of setpoints of each kind."""
        self.blocks = {
            "status": Block(self.status),
            "battery": Block(self.battery),
            "commands": Block(self.commands),
            "total_setpoints": Block(self.setpoints[1]),
            "phase_setpoints": Block(self.setpoints[3]),
        }

    # Reading

    async def async_poll(self, *, settings: bool = True, also: Mapping[str, float] = MappingProxyType({})) -> None:
        """Read the input blocks and, if `settings` are wanted and due, the holding registers.

        `also` names blocks that are due earlier, with the age in seconds from which they are.

        A block that fails alone is marked; `ModbusError` is raised if no input block could be read.
        """
        now = self._clock()
        names = [name for name in INPUT_BLOCKS if self.blocks[name].due(now, 0)]
        if settings:
            names += [
                name for name in SETTING_BLOCKS if self.blocks[name].due(now, also.get(name, SETTINGS_INTERVAL_SECONDS))
            ]
        try:
            for name in names:
                await self._read(self.blocks[name])
        except (ModbusConnectionError, ModbusTimeoutError) as err:
            for block in self.blocks.values():
                block.failure = err
            await self._recycle_silent_link()
            raise
        self._silent_polls = 0
        self._judge(now)
        if not any(self.blocks[name].available for name in INPUT_BLOCKS):
            raise next(failure for name in INPUT_BLOCKS if (failure := self.blocks[name].failure))

    async def async_read(self, names: Iterable[str]) -> None:
        """Read these blocks now, whether they are due or not; one that fails is marked and raises nothing."""
        for name in names:
            try:
                await self._read(self.blocks[name])
            except (ModbusConnectionError, ModbusTimeoutError) as err:
                self.blocks[name].failure = err

    async def async_read_older(self, ages: Mapping[str, float]) -> None:
        """Read the blocks whose reading is older than their age in seconds."""
        now = self._clock()
        old = {name for name, age in ages.items() if (at := self.blocks[name].read_at) is None or now - at > age}
        await self.async_read(name for name in self.blocks if name in old)

    async def _read(self, block: Block) -> None:
        """Read one block, once more over a fresh link if it was well until now.

        Raises `ModbusConnectionError` or `ModbusTimeoutError` if nothing answers.
        """
        block.asked_at = self._clock()
        try:
            try:
                raw = await block.component.async_read_raw(notify=False)
            except ModbusConnectionError, ModbusTimeoutError:
                if not block.available:
                    raise
                if not self._shared_link:
                    await self.async_renew_link()
                raw = await block.component.async_read_raw(notify=False)
        except ModbusConnectionError, ModbusTimeoutError:
            raise
        except ModbusError as err:
            block.failure = err
            block.refused = isinstance(err, (IllegalDataAddressError, IllegalFunctionError))
            return
        block.words = {address: int(word) for words in raw.values() for address, word in words.items()}
        block.read_at, block.failure, block.refused = self._clock(), None, False

    # Keeping the link alive

    async def _recycle_silent_link(self) -> None:
        """Drop a link that brings no answers: it may be half open, and only a new one would tell."""
        self._silent_polls += 1
        if not self._shared_link or self._silent_polls % SILENT_POLLS_BEFORE_RECYCLING_SHARED_LINK == 0:
            await self.async_renew_link()

    async def async_renew_link(self) -> None:
        """Drop the link, so that the next request opens a new one."""
        try:
            await self.unit.disconnect()
        except ModbusConnectionError as err:
            _LOGGER.debug("The old link could not be closed properly: %s", err)

    def _judge(self, now: float) -> None:
        """Look at what was read with suspicion."""
        fresh = {name for name in INPUT_BLOCKS if self.blocks[name].available}
        if "battery" in fresh:
            self.plausibility.judge_battery(self.battery, now)
        if fresh == set(INPUT_BLOCKS):
            self.plausibility.judge_voltages(self.status, self.battery)
        if "status" in fresh:
            self.layout.observe(self.status)
        for key, entries in BITS_BY_WORD.items():
            if (block := self.blocks[entries[0].block]).available:
                self._note_unknown_bits(key, entries, block)

    def _note_unknown_bits(self, key: str, entries: Iterable[BitEntry], block: Block) -> None:
        placed = [cast("PackedBitField", block.component.declared_fields[entry.key]) for entry in entries]
        known = self.unknown_bits.get(key, 0)
        unknown = block.words[placed[0].address] & ~reduce(or_, (field.mask for field in placed))
        if unknown & ~known:
            self.unknown_bits[key] = known | unknown
            _LOGGER.warning("Bits that nobody has described are set in %s: 0x%04X", key, unknown)

    # What was read

    def available(self, needs: Iterable[str]) -> bool:
        """Whether every one of these blocks was read the last time it was asked for."""
        return all(self.blocks[name].available for name in needs)

    def value(self, entry: ChannelEntry) -> Any:
        """Return a channel's value in its unit, `None` if it is unknown."""
        if entry.block is not None:
            if entry.key in self.plausibility.overrides:
                return self.plausibility.overrides[entry.key]
            return getattr(self.blocks[entry.block].component, entry.key)
        if entry.key in DERIVED:
            return DERIVED[entry.key].compute(self)
        return self.site.effective_charge_soc if entry.key == "charge_soc" else getattr(self.site, entry.key)

    def words(self, entry: ChannelEntry) -> list[int]:
        """Return the raw words of a channel's last good reading, empty if there are none."""
        if entry.block is None or entry.field is None:
            return []
        words = self.blocks[entry.block].words
        addresses = range(entry.field.address, entry.field.address + entry.field.count)
        return [words[address] for address in addresses if address in words]

    def bit(self, entry: BitEntry) -> bool | None:
        """Return whether a bit is set, `None` if its word was never read or its place is disproved (`layout.py`)."""
        if entry.bit.depends_on_layout and self.suggested_layout is not None:
            return None
        return cast("bool | None", getattr(self.blocks[entry.block].component, entry.key))

    def condition(self, key: str) -> bool | None:
        """Return a computed condition, `None` if it is unknown."""
        return CONDITIONS[key].compute(self)

    @property
    def work_state(self) -> WorkState | None:
        """The work state that the device was told, `None` if it cannot be read."""
        return self.commands.set_work_state if self.blocks["commands"].available else None

    @property
    def operation_mode(self) -> OperationMode | None:
        """The operation mode that the device was told, `None` if it cannot be read."""
        return self.commands.set_operation_mode if self.blocks["commands"].available else None

    # What computations ask (`derived.Source`)

    def number(self, key: str) -> float | None:
        """Return a numeric channel of the input blocks, `None` if it is unknown or its block failed."""
        for name in INPUT_BLOCKS:
            block = self.blocks[name]
            if key in block.component.declared_fields:
                if not block.available:
                    return None
                overrides = self.plausibility.overrides
                return cast("float | None", overrides[key] if key in overrides else getattr(block.component, key))
        raise KeyError(key)

    @property
    def active_alarms(self) -> tuple[BitEntry, ...]:
        """The active alarms, the most severe first.

        Battery groups that are not installed have none.
        """
        return tuple(
            entry
            for entry in ALARMS
            if self.blocks[entry.block].available
            and is_active(entry, value=self.bit(entry))
            and (entry.bit.group or 0) <= self.site.battery_groups
        )

    def alarms(self, *, category: Category | None = None, severity: Severity | None = None) -> tuple[str, ...]:
        """Return the keys of the active alarms, the most severe first."""
        return tuple(
            entry.key
            for entry in self.active_alarms
            if category in (None, entry.bit.category) and severity in (None, counts_as(entry))
        )

    @property
    def alarms_complete(self) -> bool:
        """Whether every word with alarms was read."""
        return self.available(INPUT_BLOCKS)

    @property
    def suggested_layout(self) -> InverterStatusLayout | None:
        """The layout of InverterStatus that the readings speak for against the chosen one, if they do."""
        return self.layout.suggested
