"""The device's own codes: each member has the code on the wire, its label and, where that is unclear, a name."""

from enum import IntEnum
from typing import Self


class Code(IntEnum):
    """A code with a label."""

    label: str
    """Its text in the channel table, letter for letter."""
    english: str
    """Its English name, readable without the manual."""

    def __new__(cls, code: int, label: str, english: str | None = None) -> Self:
        """Use only the code as the value, so that `SystemState(4)` works."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.label = label
        member.english = english or label
        return member

    @property
    def slug(self) -> str:
        """The name that states and translations use."""
        return self.name.lower()


class SystemState(Code):
    """SystemState, 0x100."""

    STOP = 0, "Stop", "Stopped"
    INIT = 1, "Init", "Initializing"
    PRE_OPERATION = 2, "Pre-operation"
    STANDBY = 3, "Standby"
    START = 4, "Start", "Running"
    FAULT = 5, "Fault"


class BatteryState(Code):
    """BatteryState, 0x11C."""

    INITIAL = 0, "Initial", "Initial state"
    STOP = 1, "Stop", "Stopped"
    STARTING = 2, "Starting"
    START = 3, "Start", "Running"
    STOPPING = 4, "Stopping"
    FAULT = 5, "Fault"


class BatteryMode(Code):
    """BatteryMode, 0x11D; only one value is documented."""

    NORMAL_MODE = 0, "Normal Mode", "Normal"


class WorkState(Code):
    """SetWorkState, 0x200."""

    STOP = 0, "Stop"
    START = 1, "Start"


class ErrorReset(Code):
    """SetSystemErrorReset, 0x201."""

    OFF = 0, "Off"
    ON = 1, "On"


class OperationMode(Code):
    """SetOperationMode, 0x202. No setpoint registers are known for the second mode."""

    PQ_SET_POINT = 0, "P/Q Set point", "P/Q setpoint"
    IAC_COS_PHI_SET_POINT = 1, "IAC / cosphi set point", "IAC / cos φ setpoint"


class GridMode(Code):
    """GridMode, a constant of the channel table, not a measurement."""

    ON_GRID = 1, "On-Grid", "On-grid"


class InverterStatusLayout(Code):
    """The number of positions by which the upper bits of InverterStatus are lower than in the channel table."""

    DOCUMENTED = 0, "Documented (bits 8 to 14)"
    SHIFTED = 1, "Shifted (bits 7 to 13)"
