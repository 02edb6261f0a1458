"""The addresses of the registers that tests type words into, and words of a system at work."""

SYSTEM_STATE = 0x100
SYSTEM_ERROR_1 = 0x101
COMMUNICATION = 0x102
INVERTER_STATUS = 0x103
ERROR_CODE = 0x104
ACTIVE_POWER = 0x10D
PCS_ALLOWED_CHARGE = 0x11A
PCS_ALLOWED_DISCHARGE = 0x11B
BATTERY_STATE = 0x11C
BATTERY_MODE = 0x11D
BATTERY_VOLTAGE = 0x11E
SOC = 0x121
ALLOWED_CHARGE = 0x124
ALLOWED_DISCHARGE = 0x125
STOP_REQUEST = 0x12F
BATTERY_FAULT_9 = 0x13F
BATTERY_FAULT_10 = 0x140
WORK_STATE = 0x200
ERROR_RESET = 0x201
OPERATION_MODE = 0x202
ACTIVE_SETPOINT = 0x203
ACTIVE_SETPOINT_L1 = 0x204
ACTIVE_SETPOINT_L2 = 0x205
REACTIVE_SETPOINT = 0x207
REACTIVE_SETPOINT_L1 = 0x208

FIRST_SETTING = WORK_STATE
INIT, STANDBY, RUNNING, FAULT = 1, 3, 4, 5
"""SystemState."""
BATTERY_STOPPED, BATTERY_RUNNING, BATTERY_FAULT = 1, 3, 5
"""BatteryState."""
ALL_READY = 0x600
"""SystemError1: BMS and TREX are ready, nothing is wrong."""
SMOKE = 1 << 7
"""The fog (smoke) alarm in BatteryFault10."""
SEVERE_FAULT = 1 << 8
"""A labelled fault in BatteryFault10."""

HEALTHY = {
    SYSTEM_STATE: RUNNING,
    SYSTEM_ERROR_1: ALL_READY,
    COMMUNICATION: 0x17,
    INVERTER_STATUS: 0x7C07,
    BATTERY_STATE: BATTERY_RUNNING,
    SOC: 50,
}
"""A running system that permits no power."""
PERMITTING = {
    PCS_ALLOWED_CHARGE: 1000,
    PCS_ALLOWED_DISCHARGE: 1000,
    BATTERY_VOLTAGE: 7680,
    ALLOWED_CHARGE: 900,
    ALLOWED_DISCHARGE: 800,
}
"""It may charge 90 kW and discharge 80 kW."""


def word(power: float) -> int:
    """The word of a setpoint in W or var."""
    return int(power / 100) & 0xFFFF


def power_of(raw: int) -> float:
    """The setpoint of a word, in W or var."""
    return ((raw ^ 0x8000) - 0x8000) * 100.0
