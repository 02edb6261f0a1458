"""Detects the position of the upper bits of InverterStatus from the readings of a running system.

In system state Start with significant power flow, "Mains OK" must be 1. The channel table (OpenEMS 2017) puts it at
bit 14; OpenEMS 2021 reads the same labels one bit lower, "Mains OK" at bit 13, and does not use bit 14.
"""

from collections.abc import Mapping
from typing import Any

from .enums import InverterStatusLayout, SystemState

CLEAR_POWER_W = 1000
OBSERVATIONS = 3
"""Consecutive polls that must agree."""

_BIT_13, _BIT_14 = 1 << 13, 1 << 14


class LayoutEvidence:
    """Gathers evidence for one layout or the other."""

    def __init__(self, chosen: InverterStatusLayout) -> None:
        """Start without evidence."""
        self.chosen = chosen
        self._seen: InverterStatusLayout | None = None
        self._times = 0

    @property
    def suggested(self) -> InverterStatusLayout | None:
        """The layout to switch to, `None` if the chosen one is not contradicted."""
        return self._seen if self._times >= OBSERVATIONS and self._seen is not self.chosen else None

    @property
    def confirmed(self) -> bool:
        """True if the readings support the chosen layout."""
        return self._times >= OBSERVATIONS and self._seen is self.chosen

    def observe(self, readings: Mapping[str, Any]) -> None:
        """Process fresh readings of the status block, by key."""
        word = readings["inverter_status"]
        running = readings["system_state"] is SystemState.START and abs(readings["active_power"]) >= CLEAR_POWER_W
        if word & _BIT_14:
            speaks_for = InverterStatusLayout.DOCUMENTED
        elif running and word & _BIT_13:
            speaks_for = InverterStatusLayout.SHIFTED
        else:
            return
        self._times = self._times + 1 if speaks_for is self._seen else 1
        self._seen = speaks_for
