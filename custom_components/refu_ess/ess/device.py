"""One ESS: its blocks, when they are read, and the picture that each poll leaves."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from modbus_connection import ModbusConnectionError, ModbusError, ModbusExceptionError, ModbusUnit

from .block import Block, Piece
from .catalogue import BITS, BLOCKS, INPUT_BLOCKS, SETTING_BLOCKS, BitEntry
from .enums import InverterStatusLayout, OperationMode, WorkState
from .link import GuardedUnit
from .picture import Exposure, Picture, develop
from .plausibility import Plausibility
from .settings import Commands, PhaseSetpoints, Setpoints, TotalSetpoints
from .site import SITE_CHANNELS, Site
from .status import STATUS
from .status_layout import LayoutEvidence

_LOGGER = logging.getLogger(__name__)

SETTINGS_INTERVAL_SECONDS = 60.0
"""Seconds between two readings of the holding registers."""
SILENT_POLLS_BEFORE_RECYCLING_SHARED_LINK = 3
"""Other clients may be using the link successfully."""
_IN_DOUBT = dict.fromkeys(entry.key for entry in BITS if entry.bit.depends_on_layout)
"""The bits whose place is in doubt, unknown while the chosen layout is disproved."""


class Readings:
    """The last good readings of an input block by attribute, also while it fails. `None` is unknown or implausible."""

    def __init__(self, block: Block, overrides: Mapping[str, Any]) -> None:
        """Store the replacements for implausible readings."""
        (self._piece,), self._overrides = block.pieces, overrides

    def __getattr__(self, key: str) -> Any:
        """The value of a channel or bit."""
        return self._overrides[key] if key in self._overrides else self._piece.readings.get(key)


class RefuEss:
    """A REFU battery inverter ESS behind a Modbus unit. It writes only on command."""

    def __init__(
        self,
        unit: ModbusUnit,
        site: Site | None = None,
        *,
        shared_link: bool = False,
        numbered: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Use this unit; `shared_link` says whether other clients use the link. Nothing is sent yet.

        Answers are `numbered` over Modbus TCP; on a serial line they name no request.
        """
        self._site = site or Site()
        self._clock = clock or time.monotonic
        self.unit = GuardedUnit(unit, self._clock, numbered=numbered)
        modbus_unit = cast("ModbusUnit", self.unit)  # it implements the methods that a component uses
        self.commands = Commands(modbus_unit)
        self.setpoints: Mapping[int, Setpoints] = {1: TotalSetpoints(modbus_unit), 3: PhaseSetpoints(modbus_unit)}
        """The sets of setpoints by their number of setpoints of each kind."""
        self.plausibility = Plausibility()
        self.layout = LayoutEvidence(self.site.inverter_status_layout)
        self.unknown_bits: dict[str, int] = {}
        """Undeclared bits seen so far, as a mask by the word's key."""
        self.on_picture: Callable[[Picture], None] = lambda _: None
        """Called with each new picture."""
        self.settings_asked_at = 0.0
        """When any of the settings was last asked for, in seconds of the clock."""
        self._shared_link = shared_link
        self._silent_polls = 0
        components = {**BLOCKS, "status": STATUS[self.site.inverter_status_layout]}
        self.blocks = {name: Block(component) for name, component in components.items()}
        self._pieces = [piece for block in self.blocks.values() for piece in block.pieces]
        self.status = Readings(self.blocks["status"], self.plausibility.overrides)
        self.battery = Readings(self.blocks["battery"], self.plausibility.overrides)
        self._exposed: tuple[object, ...] = ()
        self.picture = develop(None, self._expose())
        """The present picture. It is replaced as a whole at the end of a poll, and never changes."""

    @property
    def site(self) -> Site:
        """The settings of the site."""
        return self._site

    @site.setter
    def site(self, site: Site) -> None:
        self._site = site
        self._develop(())

    # Reading

    async def async_poll(self, *, settings: bool = True, also: Mapping[str, float] = MappingProxyType({})) -> None:
        """Read the input blocks and, if `settings` are wanted and due, the holding registers.

        `also` names setting blocks that are due earlier, with the age in seconds from which they are.

        Settings that answered the last time are read first, so that the input blocks are the freshest; the others
        are read last, and one that is silent while the input blocks answer is left alone for longer each time.
        A block that fails alone is marked. Raises `ModbusError` if no input block could be read, or if the device
        fell silent in the middle: then everything is unavailable.
        """
        now = self._clock()
        due = [
            piece
            for name in SETTING_BLOCKS
            if settings
            for piece in self.blocks[name].pieces
            if piece.due(now, also.get(name, SETTINGS_INTERVAL_SECONDS))
        ]
        inputs = [name for name in INPUT_BLOCKS if self.blocks[name].pieces[0].due(now, 0)]
        try:
            left = await self._read_settings([piece for piece in due if piece.available], now, alone=False)
            for piece in (self.blocks[name].pieces[0] for name in inputs):
                await self._read(piece, now, again=piece.available)
            left += sorted((piece for piece in due if not piece.available), key=lambda piece: piece.retry_s or 0.0)
            await self._read_settings(left, now, alone=True)
        except ModbusError as err:
            for piece in self._pieces:
                piece.fail(err)
            self._develop(())
            await self._recycle_silent_link()
            raise
        self._silent_polls = 0
        self._develop(inputs)
        failures = [self.blocks[name].failure for name in INPUT_BLOCKS]
        if all(failures):
            for piece in self._pieces:  # a device that refuses everything does not lack registers: it is not up yet
                piece.hasten()
            raise next(failure for failure in failures if failure)

    async def async_read(self, names: Iterable[str]) -> None:
        """Read these blocks now, whether they are due or not; failures are recorded, not raised.

        Settings that were silent alone are left to the poll: what is decided next must not wait for them.
        """
        now, names = self._clock(), tuple(names)
        for piece in (piece for name in names for piece in self.blocks[name].pieces):
            if piece.silent and piece.retry_s:
                continue
            try:
                await self._read(piece, now, again=piece.available)
            except ModbusError as err:
                piece.fail(err, silent_alone=piece.holding)
        self._develop(names)

    async def async_read_older(self, ages: Mapping[str, float]) -> None:
        """Read the blocks whose readings are older than their age in seconds."""
        now = self._clock()
        old = {name for name, age in ages.items() if (at := self.blocks[name].read_at) is None or now - at > age}
        await self.async_read(name for name in self.blocks if name in old)

    async def _read_settings(self, pieces: list[Piece], now: float, *, alone: bool) -> list[Piece]:
        """Read these until one is silent, and return that one and the rest.

        Only if `alone` it is known to be silent alone, because the input blocks have just answered.
        """
        for index, piece in enumerate(pieces):
            try:
                await self._read(piece, now, again=False)
            except ModbusError as err:
                if alone:
                    piece.fail(err, silent_alone=True)
                return pieces[index:]
        return []

    async def _read(self, piece: Piece, now: float, *, again: bool) -> None:
        """Read the registers of one request and, if nothing answers and `again`, once more over a fresh link.

        An answer to another request is none. An exception of the device marks the piece; any other error is raised.
        """
        piece.asked_at = now
        if piece.holding:
            self.settings_asked_at = now
        request = self.unit.read_holding_registers if piece.holding else self.unit.read_input_registers
        try:
            try:
                words = await request(piece.address, piece.count)
            except ModbusExceptionError:
                raise
            except ModbusError:
                if not again:
                    raise
                if not self._shared_link:
                    await self.async_renew_link()
                words = await request(piece.address, piece.count)
        except ModbusExceptionError as err:
            piece.fail(err)
            return
        if piece.take(words, self._clock()):
            self._note_unknown_bits(piece)

    # Keeping the link alive

    async def _recycle_silent_link(self) -> None:
        """Drop a silent link: it may be half-open, which only a new connection reveals."""
        self._silent_polls += 1
        if not self._shared_link or self._silent_polls % SILENT_POLLS_BEFORE_RECYCLING_SHARED_LINK == 0:
            await self.async_renew_link()

    async def async_renew_link(self) -> None:
        """Drop the link, so that the next request opens a new one."""
        try:
            await self.unit.disconnect()
        except ModbusConnectionError as err:
            _LOGGER.debug("The old link could not be closed properly: %s", err)

    # The picture

    def _develop(self, fresh: Iterable[str]) -> None:
        """Judge the blocks that were just read, and replace the picture."""
        self._judge({name for name in fresh if self.blocks[name].available})
        self.picture = develop(self.picture, self._expose())
        self.on_picture(self.picture)

    def _judge(self, fresh: set[str]) -> None:
        """Check the readings for plausibility."""
        (status,), (battery,) = self.blocks["status"].pieces, self.blocks["battery"].pieces
        if "battery" in fresh:
            self.plausibility.judge_battery(battery.readings, self._clock(), self.site.max_nominal_power)
        if "status" in fresh:
            self.layout.observe(status.readings)
        if fresh.intersection(INPUT_BLOCKS) and status.available and battery.available:
            self.plausibility.judge_voltages(status.readings, battery.readings)

    def _note_unknown_bits(self, piece: Piece) -> None:
        for key, bits in piece.unlabelled_bits().items():
            known = self.unknown_bits.get(key, 0)
            if bits & ~known:
                self.unknown_bits[key] = known | bits
                _LOGGER.warning("Undeclared bits are set in %s: 0x%04X", key, bits)

    def _expose(self) -> Exposure:
        """Gather the values, or return the previous ones if nothing is different."""
        exposed = (
            *((piece.words, piece.available) for piece in self._pieces),
            dict(self.plausibility.overrides),
            self.layout.suggested,
            self.site,
        )
        if exposed == self._exposed:
            return self.picture.exposure
        self._exposed = exposed
        values = self._configured()
        for piece in self._pieces:
            values.update(piece.readings if piece.available else piece.unknown)
        battery = self.blocks["battery"]
        if battery.available:
            values.update(self.plausibility.overrides)
        if self.layout.suggested is not None:
            values.update(_IN_DOUBT)
        return Exposure(
            values=MappingProxyType(values),
            unavailable=frozenset(key for piece in self._pieces if not piece.available for key in piece.keys),
            codes=MappingProxyType({key: code for piece in self._pieces for key, code in piece.codes.items()}),
            words=MappingProxyType({name: block.words for name, block in self.blocks.items()}),
            suggested_layout=self.layout.suggested,
        )

    def _configured(self) -> dict[str, Any]:
        """The values of channels without a register."""
        values: dict[str, Any] = {key: getattr(self.site, key) for key in SITE_CHANNELS}
        return values | {"charge_soc": self.site.effective_charge_soc, "battery_groups": self.site.battery_groups}

    # What control asks

    def available(self, names: Iterable[str]) -> bool:
        """Return whether every one of these blocks was read the last time it was asked for."""
        return all(self.blocks[name].available for name in names)

    @property
    def active_alarms(self) -> tuple[BitEntry, ...]:
        """The active alarms, the most severe first."""
        return self.picture.alarms

    @property
    def work_state(self) -> WorkState | None:
        """The commanded work state, `None` if it cannot be read."""
        return cast("WorkState | None", self.picture.values["set_work_state"])

    @property
    def operation_mode(self) -> OperationMode | None:
        """The commanded operation mode, `None` if it cannot be read."""
        return cast("OperationMode | None", self.picture.values["set_operation_mode"])

    @property
    def suggested_layout(self) -> InverterStatusLayout | None:
        """The InverterStatus layout that the readings suggest, if it differs from the chosen one."""
        return self.layout.suggested
