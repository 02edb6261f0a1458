"""The REFU battery inverter ESS over Modbus, free of Home Assistant.

The register facts come from the project's channel table and register map; what no source proves is said beside it.
"""

from .alarms import ALARMS, counts_as, is_active
from .block import Block, Piece
from .catalogue import (
    BITS,
    BITS_BY_WORD,
    BLOCKS,
    INPUT_BLOCKS,
    REGISTER_CHANNELS,
    SETTING_BLOCKS,
    BitEntry,
    ChannelEntry,
)
from .control import Controller, End, Event, Lease, Resets
from .derived import CHANNELS, CONDITIONS, DERIVED, NO_ALARM, Condition
from .device import RefuEss
from .enums import Code, InverterStatusLayout, OperationMode, SystemState, WorkState
from .facts import Bit, Category, Channel, Part, Role, Severity
from .link import LinkStatistics
from .picture import COMPUTED, Exposure, Picture, develop
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
    "COMPUTED",
    "CONDITIONS",
    "DERIVED",
    "INPUT_BLOCKS",
    "MAXIMUM_BATTERY_GROUPS",
    "NO_ALARM",
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
    "Exposure",
    "Finding",
    "InverterStatusLayout",
    "Lease",
    "Limit",
    "LinkStatistics",
    "OperationMode",
    "Part",
    "Picture",
    "Piece",
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
    "develop",
    "is_active",
]
