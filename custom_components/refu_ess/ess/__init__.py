"""The REFU battery inverter ESS over Modbus, free of Home Assistant.

The register facts come from the project's channel table and register map; what no source proves is said beside it.
"""

from .alarms import ALARMS, counts_as, is_active
from .catalogue import (
    BITS,
    BITS_BY_WORD,
    BLOCKS,
    CHANNELS,
    INPUT_BLOCKS,
    REGISTER_CHANNELS,
    SETTING_BLOCKS,
    BitEntry,
    ChannelEntry,
)
from .control import Controller, End, Event, Lease, Resets
from .derived import CONDITIONS, DERIVED, Condition
from .device import Block, RefuEss
from .enums import Code, InverterStatusLayout, OperationMode, SystemState, WorkState
from .facts import Bit, Category, Channel, Part, Role, Severity
from .power import Decision, Limit, Power, Settings as ControlSettings
from .probe import Finding, async_probe
from .recovery import Recovery
from .refusal import RefusedError, WriteFailedError
from .site import MAXIMUM_BATTERY_GROUPS, Site
from .soc_protection import SocSettings

__all__ = [
    "ALARMS",
    "BITS",
    "BITS_BY_WORD",
    "BLOCKS",
    "CHANNELS",
    "CONDITIONS",
    "DERIVED",
    "INPUT_BLOCKS",
    "MAXIMUM_BATTERY_GROUPS",
    "REGISTER_CHANNELS",
    "SETTING_BLOCKS",
    "Bit",
    "BitEntry",
    "Block",
    "Category",
    "Channel",
    "ChannelEntry",
    "Code",
    "Condition",
    "ControlSettings",
    "Controller",
    "Decision",
    "End",
    "Event",
    "Finding",
    "InverterStatusLayout",
    "Lease",
    "Limit",
    "OperationMode",
    "Part",
    "Power",
    "Recovery",
    "RefuEss",
    "RefusedError",
    "Resets",
    "Role",
    "Severity",
    "Site",
    "SocSettings",
    "SystemState",
    "WorkState",
    "WriteFailedError",
    "async_probe",
    "counts_as",
    "is_active",
]
