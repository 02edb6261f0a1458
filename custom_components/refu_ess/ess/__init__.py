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
from .derived import CONDITIONS, DERIVED, Condition
from .device import Block, RefuEss
from .enums import Code, InverterStatusLayout, SystemState
from .facts import Bit, Category, Channel, Part, Role, Severity
from .probe import Finding, async_probe
from .site import MAXIMUM_BATTERY_GROUPS, Site

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
    "Finding",
    "InverterStatusLayout",
    "Part",
    "RefuEss",
    "Role",
    "Severity",
    "Site",
    "SystemState",
    "async_probe",
    "counts_as",
    "is_active",
]
