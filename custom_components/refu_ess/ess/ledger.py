"""Keeps the record on disk in step with what is owed. Power is covered by the record before it is sent."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from . import lease
from .record import OwedZero, Record
from .refusal import Failure, WriteFailedError
from .setpoint import Envelope, Power

_LOGGER = logging.getLogger(__name__)


async def keep_nothing(_: Record) -> None:
    """Keep no record; for a device without a disk."""


class Ledger:
    """The record as it is on disk, and as it should be."""

    def __init__(self, record: Record, keep: Callable[[Record], Awaitable[None]]) -> None:
        """Store the record of the last run and the function that saves the next."""
        self.record = record
        """As it is on disk."""
        self._keep = keep
        self.unsure = False
        """The record on disk may differ from `record`: writing it failed or was interrupted."""

    def current(self, wanted: Record) -> bool:
        """Return whether the record on disk is known to be `wanted`."""
        return not self.unsure and wanted == self.record

    async def async_cover(self, power: Power, state: lease.State, wanted: Record, *, owner: str, now_s: float) -> None:
        """Make sure that the record on disk covers `power`, before it is sent.

        Raises `WriteFailedError` if it cannot be kept; then no power may be sent.
        """
        kept = self._kept(state.phases)
        if kept is not None and kept.ours.contains(power) and not self.unsure:
            return
        ours = self._with_kept(state.ours().widened(power))
        taken_at = now_s if kept is None else kept.taken_at
        await self.async_save(replace(wanted, zero=OwedZero(ours=ours, owner=owner, taken_at=taken_at)))

    def owed_zero(self, state: lease.State, *, owner: str, now_s: float) -> OwedZero | None:
        """The debt to record for a state. A lease that goes on or is renewed costs no write of the file."""
        if state.lease is None and state.debt is None:
            return None
        if state.debt is not None and state.debt.restored:
            return self.record.zero
        kept, ours = self._kept(state.phases), self._with_kept(state.ours())
        if kept is not None and kept.ours == ours:
            return kept
        return OwedZero(ours=ours, owner=owner, taken_at=now_s if kept is None else kept.taken_at)

    def _kept(self, phases: int) -> OwedZero | None:
        zero = self.record.zero
        return zero if zero is not None and zero.phases == phases else None

    def _with_kept(self, ours: Envelope) -> Envelope:
        kept = self._kept(len(ours.lower) // 2)
        return ours if kept is None else ours.union(kept.ours)

    async def async_save(self, record: Record) -> None:
        """Write the record to disk. Raises `WriteFailedError`."""
        failed_before, self.unsure = self.unsure, True
        try:
            await self._keep(record)
        except Exception as err:
            if not failed_before:
                _LOGGER.exception("The record of what is owed could not be written")
            raise WriteFailedError(Failure.NOT_RECORDED) from err
        self.record, self.unsure = record, False
