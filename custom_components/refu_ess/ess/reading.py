"""The readings that control depends on, taken from the device at one moment."""

from dataclasses import dataclass

from .alarms import effective_severity
from .catalogue import INPUT_BLOCKS
from .device import RefuEss
from .enums import BatteryMode, BatteryState, ErrorReset, OperationMode, SystemState, WorkState
from .facts import Severity
from .setpoint import PHASES, Power

READY_BITS = ("bms_ready", "trex_ready", "gateway_initialized", "first_communication_ok")
SETPOINT_BLOCKS = {1: "total_setpoints", 3: "phase_setpoints"}
"""The block of the setpoints by the number of setpoints of each kind."""


def unused_block(phases: int) -> str:
    """The block of the setpoints that are not in use."""
    return SETPOINT_BLOCKS[1 if phases == PHASES else PHASES]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Readings, as far as control depends on them. `None` is unknown."""

    age_s: float | None
    """Age of the older input block; `None` if one was never read."""
    reachable: bool = True
    """Both input blocks were read the last time they were asked for."""
    system_state: SystemState | None
    battery_state: BatteryState | None
    battery_mode: BatteryMode | None
    operation_mode: OperationMode | None
    work_state: WorkState | None = None
    error_reset: ErrorReset | None = None
    commands_asked_at: float = 0.0
    """When work state, error reset and operation mode were last asked for, on the monotonic clock."""
    stop_request: int | None
    ready: bool
    """BMS, TREX, gateway and first communication are all ready."""
    fault: bool
    """A fault state or an active fault alarm."""
    error_code: int | None = 0
    unlabelled_fault_bits: bool = False
    """A fault word has bits that the channel table does not name."""
    smoke: bool = False
    mains_ok: bool | None
    """`None` while the position of the bit is unverified."""
    commands_readable: bool = True
    """Work state, error reset and operation mode can be read."""
    other_setpoints_zero: bool | None
    """The setpoint registers not in use read back zero; `None` if they cannot be read."""
    held: Power | None = None
    """The setpoints in use as read back, `None` if they cannot be read."""
    held_unreadable: bool = False
    """The device did not answer or rejected the last attempt to read them."""
    held_asked_at: float = 0.0
    """When they were last asked for, on the monotonic clock."""
    active_power_w: float | None = None
    allowed_charge_w: float | None
    """Its sign does not count."""
    allowed_discharge_w: float | None
    inverter_charge_w: float | None
    """Its sign is unverified and does not count."""
    inverter_discharge_w: float | None
    soc: float | None
    """State of charge in %."""

    def is_fresh(self, stale_after_s: float) -> bool:
        """Return whether it is at most `stale_after_s` old."""
        return is_fresh(self.age_s, stale_after_s)


def age_of_inputs(device: RefuEss, now: float) -> float | None:
    """Return the age of the older input block at the monotonic time `now`, `None` if one was never read."""
    read_at = [device.blocks[name].read_at for name in INPUT_BLOCKS]
    known = [at for at in read_at if at is not None]
    return now - min(known) if len(known) == len(read_at) else None


def held_setpoints(device: RefuEss, phases: int) -> Power | None:
    """Return the setpoints in use as read back, `None` if they cannot be read."""
    in_use = device.blocks[SETPOINT_BLOCKS[phases]]
    return device.setpoints[phases].power(in_use.readings.__getitem__) if in_use.available else None


def unused_setpoints_zero(device: RefuEss, phases: int) -> bool | None:
    """Return whether the setpoints that are never written read back zero, `None` if they cannot be read."""
    unused = device.blocks[unused_block(phases)]
    return unused.is_zero if unused.available else None


def is_fresh(age_s: float | None, stale_after_s: float) -> bool:
    """Return whether readings are at most `stale_after_s` old; a negative age, after a jump of the clock, is not."""
    return age_s is not None and 0 <= age_s <= stale_after_s


def observe(device: RefuEss, phases: int, now: float) -> Reading:
    """Return the readings of the last polls at the monotonic time `now`."""
    status, battery = device.status, device.battery
    in_use, commands = device.blocks[SETPOINT_BLOCKS[phases]], device.blocks["commands"]
    told = commands.readings if commands.available else {}
    return Reading(
        age_s=age_of_inputs(device, now),
        reachable=device.available(INPUT_BLOCKS),
        system_state=status.system_state,
        battery_state=battery.battery_state,
        battery_mode=battery.battery_mode,
        operation_mode=told.get("set_operation_mode"),
        work_state=told.get("set_work_state"),
        error_reset=told.get("set_system_error_reset"),
        commands_readable=commands.available,
        commands_asked_at=commands.asked_at or 0.0,
        stop_request=battery.battery_stop_request,
        ready=all(getattr(status, key) for key in READY_BITS),
        fault=status.system_state is SystemState.FAULT
        or battery.battery_state is BatteryState.FAULT
        or any(effective_severity(entry) is Severity.FAULT for entry in device.active_alarms),
        error_code=status.error_code,
        unlabelled_fault_bits=any(key.startswith("battery_fault") for key in device.unknown_bits),
        smoke=bool(battery.fog_alarm),
        mains_ok=status.mains_ok if device.layout.confirmed else None,
        other_setpoints_zero=unused_setpoints_zero(device, phases),
        held=held_setpoints(device, phases),
        held_unreadable=in_use.failure is not None,
        held_asked_at=in_use.asked_at or 0.0,
        active_power_w=status.active_power,
        allowed_charge_w=battery.allowed_charge,
        allowed_discharge_w=battery.allowed_discharge,
        inverter_charge_w=battery.pcs_allowed_charge,
        inverter_discharge_w=battery.pcs_allowed_discharge,
        soc=battery.soc,
    )
