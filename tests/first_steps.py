"""The first step for each alarm, as far as the words of the alarm support one; for `docs/alarms.md`."""

from custom_components.refu_ess.ess import BitEntry, Category, Severity

SERVICE = "Note the other active alarms and the history, and ask the service company."
ELECTRICIAN = "Have a qualified electrician inspect it on site. The battery side stays live when contactors are open."
CABLES = "Check the communication cables and the supply of the parts that the text names."
VALUES = "Measured voltages or temperatures may be wrong: compare with the BMS. Ask the service company."
HIGH_VOLTAGE = "Stop charging. Compare *Highest cell voltage* and *Voltage* with the BMS."
LOW_VOLTAGE = "Stop discharging. Compare *Lowest cell voltage* and *Voltage* with the BMS."
CURRENT = (
    "Reduce the power, also that of other systems which command the ESS. Compare *Current* with *Allowed charge "
    "current* and *Allowed discharge current*."
)
HOT = "Reduce the power. Look at *Highest temperature*, and check the cooling of the battery."
COLD = "Reduce the power. Look at *Lowest temperature*, and check the heating of the battery."
EMERGENCY_STOP = "Find out on site what requested the emergency stop before anything is reset."
AT_REST = "Normal while the system rests or starts. If it stays in operation: "

BY_KEY = {
    "fog_alarm": (
        "Keep people away and follow the fire plan of the site. Reset and start only after someone has inspected it."
    ),
    "bms_in_error": "Read the BMS itself. Note the other active alarms.",
    "bms_overvoltage": HIGH_VOLTAGE,
    "bms_undervoltage": LOW_VOLTAGE,
    "bms_overcurrent": CURRENT,
    "bms_limits_not_initialized": "Wait until the BMS has started. If it stays, ask the service company.",
    "inverter_fault": "Note *Error code* and what the inverter's display shows.",
    "inverter_warning": "Note *Error code* and what the inverter's display shows.",
    "dcdc_fault": "Note *Error code* of the DC/DC converter and what the inverter's display shows.",
    "dcdc_warning": "Note *Error code* of the DC/DC converter and what the inverter's display shows.",
    "no_usable_battery_group": "Check which groups are in operation, and their disconnectors.",
    "auxiliary_collector_emergency_stop": EMERGENCY_STOP,
    "emergency_stop_required": EMERGENCY_STOP,
    "bmu_sampling_circuit_abnormal": VALUES,
    "sampling_circuit_disconnect_failure": VALUES,
    "sampling_circuit_failure": VALUES,
    "power_cable_disconnect_failure": ELECTRICIAN,
    "overvoltage_warning": HIGH_VOLTAGE,
    "undervoltage_warning": LOW_VOLTAGE,
    "overcurrent_warning": CURRENT,
    "charging_over_current": CURRENT,
    "charging_current_over_limit": CURRENT,
    "discharging_current_over_limit": CURRENT,
    "serious_charging_over_current": CURRENT,
    "serious_discharging_over_current": CURRENT,
    "normal_high_voltage": HIGH_VOLTAGE,
    "serious_high_voltage": HIGH_VOLTAGE,
    "normal_low_voltage": LOW_VOLTAGE,
    "serious_low_voltage": LOW_VOLTAGE,
    "abnormal_voltage_variation": "Look at *Cell voltage spread* over the last days.",
    "normal_high_temperature": HOT,
    "normal_low_temperature": COLD,
    "serious_low_temperature": COLD,
    "serious_temperature_fault": (
        "Stop the power. Look at *Highest temperature* and *Lowest temperature*; inspect on site before a reset."
    ),
    "abnormal_temperature_variation": "Look at *Temperature spread* over the last days.",
    "abnormal_capacity_alarm": "Compare *State of charge (SoC)* and *Stored energy* with the BMS.",
    "switch_off_inside_combined_cabinet": "Ask on site whether a switch in the cabinet is off on purpose.",
    "should_not_be_connected_to_grid": "Compare *Voltage* of the battery with *Battery voltage at inverter*.",
    "bms_ready": AT_REST + "read the BMS itself.",
    "trex_ready": AT_REST + "note *Error code* and what the inverter's display shows.",
    "gateway_initialized": AT_REST + "check the gateway and its supply.",
    "modbus_slave_status": AT_REST + "check the gateway and its Modbus clients.",
    "modbus_master_status": AT_REST + "check the gateway and the devices behind it.",
    "first_communication_ok": AT_REST + "check the cables between gateway, inverter and battery.",
}
BY_ENDING = {
    "_isolation_switch_open": "Ask on site whether it is open on purpose, for example for maintenance.",
    "_not_connected": "Look at the disconnector and the other alarms of this group.",
    "_balancing_sampling_failure": VALUES,
}
BY_CATEGORY = {
    Category.INSULATION: (
        "Keep away from the DC side. Have a qualified electrician measure the insulation before a reset."
    ),
    Category.CONTACTORS: ELECTRICIAN,
    Category.COMMUNICATION: CABLES,
    Category.BATTERY: SERVICE,
}


def first_step(alarm: BitEntry) -> str:
    """Return the first step for an alarm. Raises `KeyError` if none is written for it."""
    assert alarm.bit.severity is not Severity.INFO
    if alarm.key in BY_KEY:
        return BY_KEY[alarm.key]
    for ending, step in BY_ENDING.items():
        if alarm.key.endswith(ending):
            return step
    return BY_CATEGORY[alarm.bit.category]
