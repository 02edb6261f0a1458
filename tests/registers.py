"""The addresses of the registers that tests type words into, and words of a system at work."""

import json
from collections.abc import Mapping
from pathlib import Path

SYSTEM_STATE = 0x100
SYSTEM_ERROR_1 = 0x101
COMMUNICATION = 0x102
INVERTER_STATUS = 0x103
ERROR_CODE = 0x104
DCDC_STATUS = 0x105
BATTERY_CURRENT_PCS = 0x107
BATTERY_VOLTAGE_PCS = 0x108
CURRENT = 0x109
CURRENT_L1 = 0x10A
CURRENT_L2 = 0x10B
CURRENT_L3 = 0x10C
ACTIVE_POWER = 0x10D
ACTIVE_POWER_L1 = 0x10E
ACTIVE_POWER_L2 = 0x10F
ACTIVE_POWER_L3 = 0x110
PCS_ALLOWED_CHARGE = 0x11A
PCS_ALLOWED_DISCHARGE = 0x11B
BATTERY_STATE = 0x11C
BATTERY_MODE = 0x11D
BATTERY_VOLTAGE = 0x11E
BATTERY_CURRENT = 0x11F
BATTERY_POWER = 0x120
SOC = 0x121
ALLOWED_CHARGE_CURRENT = 0x122
ALLOWED_DISCHARGE_CURRENT = 0x123
ALLOWED_CHARGE = 0x124
ALLOWED_DISCHARGE = 0x125
CHARGE_ENERGY = 0x126
DISCHARGE_ENERGY = 0x128
DISCHARGE_ENERGY_HIGH = 0x129
BATTERY_OPERATION = 0x12A
HIGHEST_VOLTAGE = 0x12B
LOWEST_VOLTAGE = 0x12C
HIGHEST_TEMPERATURE = 0x12D
LOWEST_TEMPERATURE = 0x12E
STOP_REQUEST = 0x12F
BATTERY_ALARM_1 = 0x130
BATTERY_ALARM_2 = 0x131
BATTERY_ALARM_3 = 0x132
BATTERY_ALARM_4 = 0x133
BATTERY_FAULT_2 = 0x138
BATTERY_FAULT_7 = 0x13D
BATTERY_FAULT_9 = 0x13F
BATTERY_FAULT_10 = 0x140
GROUP_CONTROL = 0x145
ERROR_LOG_1 = 0x146
WORK_STATE = 0x200
ERROR_RESET = 0x201
OPERATION_MODE = 0x202
ACTIVE_SETPOINT = 0x203
ACTIVE_SETPOINT_L1 = 0x204
ACTIVE_SETPOINT_L2 = 0x205
REACTIVE_SETPOINT = 0x207
REACTIVE_SETPOINT_L1 = 0x208

STATUS_BLOCK, BATTERY_BLOCK = SYSTEM_STATE, PCS_ALLOWED_CHARGE
"""First addresses of the two blocks of input registers."""
SETTING_BLOCKS = [WORK_STATE, ACTIVE_SETPOINT, REACTIVE_SETPOINT, ACTIVE_SETPOINT_L1, REACTIVE_SETPOINT_L1]
"""First addresses of the requests for holding registers, in their order."""
REGISTER_MAP = json.loads((Path(__file__).parent / "fixtures" / "register_map.json").read_text())
STATUS_ADDRESSES, BATTERY_ADDRESSES = (
    range(block["start"], block["start"] + block["count"])
    for block in REGISTER_MAP["read_blocks"]
    if block["function"] == 4
)
"""The two requests for input registers, as the register map has them."""
WHOLE_BATTERY = {"from": BATTERY_ADDRESSES.start, "to": BATTERY_ADDRESSES.stop - 1}
"""For the simulator's command to refuse a block."""
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


def held(registers: Mapping[int, object], address: int) -> int:
    """The word that a device in memory has there, 0 where none was typed in."""
    found = registers.get(address, 0)
    assert isinstance(found, int)
    return found


def word(power: float) -> int:
    """The word of a setpoint in W or var."""
    return int(power / 100) & 0xFFFF


def power_of(raw: int) -> float:
    """The setpoint of a word, in W or var."""
    return ((raw ^ 0x8000) - 0x8000) * 100.0
