"""The REFU battery inverter ESS over Modbus, independent of Home Assistant.

The register facts come from the project's channel table and register map; facts without a source are marked as
unverified.
"""

from .alarm_log import CHANGES_KEPT, ActiveAlarm, AlarmChange, AlarmLog, Look, look
from .alarms import ALARMS, effective_severity, is_active
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
from .control import Controller
from .derived import CHANNELS, CONDITIONS, DERIVED, NO_ALARM, Condition
from .device import RefuEss
from .enums import Code, InverterStatusLayout, OperationMode, SystemState, WorkState
from .error_reset import Outcome as ResetOutcome
from .events import Event, EventKind
from .facts import Bit, Category, Channel, Part, Role, Severity
from .guard import GuardReport, delete_report, read_report
from .guardian import Guardian, GuardLink
from .guarding import Guard, NoGuard
from .lease import REFUSES, End, Lease
from .limit import Limit
from .limits import CONTROL as CONTROL_RANGES, POWER as POWER_RANGE, SITE as SITE_RANGES, Range
from .link import OWN_REQUEST, LinkStatistics
from .moment import Moment
from .picture import COMPUTED, Exposure, Picture, develop
from .power import Decision, Settings as ControlSettings
from .probe import Doubt, ProbeResult, async_probe
from .record import Record
from .refusal import Failure, OutOfRangeError, Refusal, RefusedError, WriteFailedError
from .setpoint import STEP, Power
from .site import MAXIMUM_BATTERY_GROUPS, Site
from .soc_protection import SocSettings

__all__ = [
    "ALARMS",
    "BITS",
    "BITS_BY_WORD",
    "BLOCKS",
    "CHANGES_KEPT",
    "CHANNELS",
    "COMPUTED",
    "CONDITIONS",
    "CONTROL_RANGES",
    "DERIVED",
    "INPUT_BLOCKS",
    "MAXIMUM_BATTERY_GROUPS",
    "NO_ALARM",
    "OWN_REQUEST",
    "POWER_RANGE",
    "REFUSES",
    "REGISTER_CHANNELS",
    "SETTING_BLOCKS",
    "SITE_RANGES",
    "STEP",
    "ActiveAlarm",
    "AlarmChange",
    "AlarmLog",
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
    "EventKind",
    "Exposure",
    "Failure",
    "Guard",
    "GuardLink",
    "GuardReport",
    "Guardian",
    "InverterStatusLayout",
    "Lease",
    "Limit",
    "LinkStatistics",
    "Look",
    "Moment",
    "NoGuard",
    "OperationMode",
    "OutOfRangeError",
    "Part",
    "Picture",
    "Piece",
    "Power",
    "ProbeResult",
    "Range",
    "Record",
    "RefuEss",
    "Refusal",
    "RefusedError",
    "ResetOutcome",
    "Role",
    "Severity",
    "Site",
    "SocSettings",
    "SystemState",
    "WorkState",
    "WriteFailedError",
    "async_probe",
    "delete_report",
    "develop",
    "effective_severity",
    "is_active",
    "look",
    "read_report",
]
