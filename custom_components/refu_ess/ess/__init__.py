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
from .limits import CONTROL as CONTROL_RANGES, POWER as POWER_RANGE, SITE as SITE_RANGES, Range
from .link import OWN_REQUEST
from .power import Decision, Limit, Power, Settings as ControlSettings
from .probe import Doubt, Finding, async_probe
from .recovery import Recovery
from .refusal import OutOfRangeError, RefusedError, WriteFailedError
from .site import MAXIMUM_BATTERY_GROUPS, Site
from .soc_protection import SocSettings

__all__ = [
    "ALARMS",
    "BITS",
    "BITS_BY_WORD",
    "BLOCKS",
    "CHANNELS",
    "CONDITIONS",
    "CONTROL_RANGES",
    "DERIVED",
    "INPUT_BLOCKS",
    "MAXIMUM_BATTERY_GROUPS",
    "OWN_REQUEST",
    "POWER_RANGE",
    "REGISTER_CHANNELS",
    "SETTING_BLOCKS",
    "SITE_RANGES",
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
    "Doubt",
    "End",
    "Event",
    "Finding",
    "InverterStatusLayout",
    "Lease",
    "Limit",
    "OperationMode",
    "OutOfRangeError",
    "Part",
    "Power",
    "Range",
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
