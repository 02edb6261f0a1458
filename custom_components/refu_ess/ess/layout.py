"""Where the upper bits of InverterStatus lie, judged by what is read while the system runs.

In system state Start with clear power flow "Mains OK" must be 1. The channel table has it at bit 14; software from
2018 on reads the same texts one place lower, so "Mains OK" at bit 13, and gives bit 14 no meaning.
"""

from collections.abc import Mapping
from typing import Any

from .enums import InverterStatusLayout, SystemState

CLEAR_POWER_W = 1000
OBSERVATIONS = 3
"""So many polls in a row must say the same."""

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
        """The layout to choose instead, `None` if there is no reason to."""
        return self._seen if self._times >= OBSERVATIONS and self._seen is not self.chosen else None

    @property
    def confirmed(self) -> bool:
        """Whether the readings speak for the chosen layout."""
        return self._times >= OBSERVATIONS and self._seen is self.chosen

    def observe(self, readings: Mapping[str, Any]) -> None:
        """Take in fresh readings of the status block, by key."""
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
