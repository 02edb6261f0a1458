"""The battery's states, measurements, limits, alarms and faults: input registers 0x11A to 0x155, read in one request."""

from modbus_connection.model import Component, enum, gauge, int32, integer, raw_register

from .enums import BatteryMode, BatteryState
from .facts import Category, Part, Role, Severity, channel, flag

FAULT, WARNING, INFO = Severity.FAULT, Severity.WARNING, Severity.INFO
CELLS, TEMPERATURE, INSULATION = Category.BATTERY, Category.TEMPERATURE, Category.INSULATION
CONTACTORS, COMMUNICATION = Category.CONTACTORS, Category.COMMUNICATION
MAIN, EXTRA, DETAIL, EXPERT, TOTAL = Role.MAIN, Role.EXTRA, Role.DETAIL, Role.EXPERT, Role.TOTAL
BATTERY = Part.BATTERY


class Battery(Component):
    """0x119, before this block, is never read; 0x134, inside it, is undocumented."""

    register_space = "input"
    register_ranges = ((0x11A, 0x155),)

    # fmt: off
    # One raw unit is 100 W, whatever the channel table's label says. The sign of the charge limit is unverified.
    pcs_allowed_charge = channel("PcsAllowedCharge", gauge(0x11A, 100, unit="W"), "Inverter charge limit", EXTRA, nominal=100_000)
    pcs_allowed_discharge = channel("PcsAllowedDischarge", gauge(0x11B, 100, unit="W"), "Inverter discharge limit", EXTRA, nominal=100_000)
    battery_state = channel("BatteryState", enum(0x11C, BatteryState), "State", MAIN, BATTERY, nominal=3)
    battery_mode = channel("BatteryMode", enum(0x11D, BatteryMode), "Mode", DETAIL, BATTERY)
    battery_voltage = channel("BatteryVoltage", gauge(0x11E, 0.1, unit="V"), "Voltage", MAIN, BATTERY, nominal=768.0)
    # The signs of battery current and power are unverified: published as read, not used in any calculation.
    battery_current = channel("BatteryCurrent", gauge(0x11F, 0.1, unit="A"), "Current", MAIN, BATTERY)
    battery_power = channel("BatteryPower", gauge(0x120, 100, unit="W"), "Power (sign unverified)", EXTRA, BATTERY)
    soc = channel("Soc", integer(0x121, signed=False, unit="%"), "State of charge (SoC)", MAIN, BATTERY, nominal=50)
    # Magnitudes on the wire; charge is published as a negative value.
    allowed_charge_current = channel("AllowedChargeCurrent", gauge(0x122, -0.1, signed=False, unit="A"), "Allowed charge current", EXTRA, BATTERY, nominal=-130.0)
    allowed_discharge_current = channel("AllowedDischargeCurrent", gauge(0x123, 0.1, signed=False, unit="A"), "Allowed discharge current", EXTRA, BATTERY, nominal=130.0)
    allowed_charge = channel("AllowedCharge", gauge(0x124, -100, signed=False, unit="W"), "Allowed charge power", MAIN, BATTERY, nominal=-100_000)
    allowed_discharge = channel("AllowedDischarge", gauge(0x125, 100, signed=False, unit="W"), "Allowed discharge power", MAIN, BATTERY, nominal=100_000)
    # Low word first. The unit kWh is taken from the channel table; unverified.
    battery_charge_energy = channel("BatteryChargeEnergy", int32(0x126, word_order="little", unit="kWh"), "Charge energy", TOTAL, BATTERY, nominal=12_000)
    battery_discharge_energy = channel("BatteryDischargeEnergy", int32(0x128, word_order="little", unit="kWh"), "Discharge energy", TOTAL, BATTERY, nominal=11_000)
    battery_operation_status = channel("BatteryOperationStatus", raw_register(0x12A), "Operation word", EXPERT, BATTERY)
    battery_highest_voltage = channel("BatteryHighestVoltage", integer(0x12B, signed=False, unit="mV"), "Highest cell voltage", DETAIL, BATTERY, nominal=3300)
    battery_lowest_voltage = channel("BatteryLowestVoltage", integer(0x12C, signed=False, unit="mV"), "Lowest cell voltage", DETAIL, BATTERY, nominal=3280)
    battery_highest_temperature = channel("BatteryHighestTemperature", integer(0x12D, unit="°C"), "Highest temperature", MAIN, BATTERY, nominal=24)
    battery_lowest_temperature = channel("BatteryLowestTemperature", integer(0x12E, unit="°C"), "Lowest temperature", MAIN, BATTERY, nominal=21)
    # Its values are undocumented; 0 presumably means "no request".
    battery_stop_request = channel("BatteryStopRequest", raw_register(0x12F), "Stop request", DETAIL, BATTERY)
    battery_alarm_1 = channel("BatteryAlarm1", raw_register(0x130), "Alarm word 1", EXPERT, BATTERY)
    battery_alarm_2 = channel("BatteryAlarm2", raw_register(0x131), "Alarm word 2", EXPERT, BATTERY)
    battery_alarm_3 = channel("BatteryAlarm3", raw_register(0x132), "Alarm word 3", EXPERT, BATTERY)
    battery_alarm_4 = channel("BatteryAlarm4", raw_register(0x133), "Alarm word 4", EXPERT, BATTERY)
    battery_alarm_6 = channel("BatteryAlarm6", raw_register(0x135), "Alarm word 6", EXPERT, BATTERY)
    battery_alarm_7 = channel("BatteryAlarm7", raw_register(0x136), "Alarm word 7", EXPERT, BATTERY)
    battery_fault_1 = channel("BatteryFault1", raw_register(0x137), "Fault word 1", EXPERT, BATTERY)
    battery_fault_2 = channel("BatteryFault2", raw_register(0x138), "Fault word 2", EXPERT, BATTERY)
    battery_fault_3 = channel("BatteryFault3", raw_register(0x139), "Fault word 3", EXPERT, BATTERY)
    battery_fault_4 = channel("BatteryFault4", raw_register(0x13A), "Fault word 4", EXPERT, BATTERY)
    battery_fault_5 = channel("BatteryFault5", raw_register(0x13B), "Fault word 5", EXPERT, BATTERY)
    battery_fault_6 = channel("BatteryFault6", raw_register(0x13C), "Fault word 6", EXPERT, BATTERY)
    # No source labels the bits of BatteryFault7, 8 and 11 to 14: published raw.
    battery_fault_7 = channel("BatteryFault7", raw_register(0x13D), "Fault word 7", EXPERT, BATTERY)
    battery_fault_8 = channel("BatteryFault8", raw_register(0x13E), "Fault word 8", EXPERT, BATTERY)
    battery_fault_9 = channel("BatteryFault9", raw_register(0x13F), "Fault word 9", EXPERT, BATTERY)
    battery_fault_10 = channel("BatteryFault10", raw_register(0x140), "Fault word 10", EXPERT, BATTERY)
    battery_fault_11 = channel("BatteryFault11", raw_register(0x141), "Fault word 11", EXPERT, BATTERY)
    battery_fault_12 = channel("BatteryFault12", raw_register(0x142), "Fault word 12", EXPERT, BATTERY)
    battery_fault_13 = channel("BatteryFault13", raw_register(0x143), "Fault word 13", EXPERT, BATTERY)
    battery_fault_14 = channel("BatteryFault14", raw_register(0x144), "Fault word 14", EXPERT, BATTERY)
    battery_group_control_status = channel("BatteryGroupControlStatus", raw_register(0x145), "Group control word", EXPERT, BATTERY)
    # Past errors, so never an alarm. The codes are undocumented.
    error_log_1 = channel("ErrorLog1", raw_register(0x146), "Error log 1", EXPERT)
    error_log_2 = channel("ErrorLog2", raw_register(0x147), "Error log 2", EXPERT)
    error_log_3 = channel("ErrorLog3", raw_register(0x148), "Error log 3", EXPERT)
    error_log_4 = channel("ErrorLog4", raw_register(0x149), "Error log 4", EXPERT)
    error_log_5 = channel("ErrorLog5", raw_register(0x14A), "Error log 5", EXPERT)
    error_log_6 = channel("ErrorLog6", raw_register(0x14B), "Error log 6", EXPERT)
    error_log_7 = channel("ErrorLog7", raw_register(0x14C), "Error log 7", EXPERT)
    error_log_8 = channel("ErrorLog8", raw_register(0x14D), "Error log 8", EXPERT)
    error_log_9 = channel("ErrorLog9", raw_register(0x14E), "Error log 9", EXPERT)
    error_log_10 = channel("ErrorLog10", raw_register(0x14F), "Error log 10", EXPERT)
    error_log_11 = channel("ErrorLog11", raw_register(0x150), "Error log 11", EXPERT)
    error_log_12 = channel("ErrorLog12", raw_register(0x151), "Error log 12", EXPERT)
    error_log_13 = channel("ErrorLog13", raw_register(0x152), "Error log 13", EXPERT)
    error_log_14 = channel("ErrorLog14", raw_register(0x153), "Error log 14", EXPERT)
    error_log_15 = channel("ErrorLog15", raw_register(0x154), "Error log 15", EXPERT)
    error_log_16 = channel("ErrorLog16", raw_register(0x155), "Error log 16", EXPERT)

    group_1_operating = flag(0x12A, 0, "Battery group 1 operating", INFO, CELLS, BATTERY, group=1, name="Operating")
    group_2_operating = flag(0x12A, 1, "Battery group 2 operating", INFO, CELLS, BATTERY, group=2, name="Operating")
    group_3_operating = flag(0x12A, 2, "Battery group 3 operating", INFO, CELLS, BATTERY, group=3, name="Operating")
    group_4_operating = flag(0x12A, 3, "Battery group 4 operating", INFO, CELLS, BATTERY, group=4, name="Operating")

    charging_over_current = flag(0x130, 0, "Normal charging over-current", WARNING, CELLS, BATTERY, name="Charge overcurrent, level 1")
    charging_current_over_limit = flag(0x130, 1, "Charginig current over limit", WARNING, CELLS, BATTERY, name="Charge current above limit")
    discharging_current_over_limit = flag(0x130, 2, "Discharging current over limit", WARNING, CELLS, BATTERY, name="Discharge current above limit")
    normal_high_voltage = flag(0x130, 3, "Normal high voltage", WARNING, CELLS, BATTERY, name="High voltage, level 1")
    normal_low_voltage = flag(0x130, 4, "Normal low voltage", WARNING, CELLS, BATTERY, name="Low voltage, level 1")
    abnormal_voltage_variation = flag(0x130, 5, "Abnormal voltage variation", WARNING, CELLS, BATTERY)
    normal_high_temperature = flag(0x130, 6, "Normal high temperature", WARNING, TEMPERATURE, BATTERY, name="High temperature, level 1")
    normal_low_temperature = flag(0x130, 7, "Normal low temperature", WARNING, TEMPERATURE, BATTERY, name="Low temperature, level 1")
    abnormal_temperature_variation = flag(0x130, 8, "Abnormal temperature variation", WARNING, TEMPERATURE, BATTERY)
    serious_high_voltage = flag(0x130, 9, "Serious high voltage", WARNING, CELLS, BATTERY, name="High voltage, level 2")
    serious_low_voltage = flag(0x130, 10, "Serious low voltage", WARNING, CELLS, BATTERY, name="Low voltage, level 2")
    serious_low_temperature = flag(0x130, 11, "Serious low temperature", WARNING, TEMPERATURE, BATTERY, name="Low temperature, level 2")
    serious_charging_over_current = flag(0x130, 12, "Charging serious over current", WARNING, CELLS, BATTERY, name="Charge overcurrent, level 2")
    serious_discharging_over_current = flag(0x130, 13, "Discharging serious over current", WARNING, CELLS, BATTERY, name="Discharge overcurrent, level 2")
    abnormal_capacity_alarm = flag(0x130, 14, "Abnormal capacity alarm", WARNING, CELLS, BATTERY, name="Abnormal capacity")

    eeprom_parameter_failure = flag(0x131, 0, "EEPROM parameter failure", WARNING, CELLS, BATTERY)
    switch_off_inside_combined_cabinet = flag(0x131, 1, "Switch off inside combined cabinet", WARNING, CELLS, BATTERY, name="Switch in cabinet is off")
    should_not_be_connected_to_grid = flag(0x131, 5, "Should not be connected to grid due to the DC side condition", WARNING, CELLS, BATTERY, name="Keep off grid (DC side)")
    emergency_stop_required = flag(0x131, 7, "Emergency stop require from system controller", WARNING, CELLS, BATTERY, name="Emergency stop requested")

    group_1_not_connected = flag(0x132, 0, "Battery group 1 enable and not connected to grid", WARNING, CELLS, BATTERY, group=1, name="Enabled but not on the grid")
    group_2_not_connected = flag(0x132, 1, "Battery group 2 enable and not connected to grid", WARNING, CELLS, BATTERY, group=2, name="Enabled but not on the grid")
    group_3_not_connected = flag(0x132, 2, "Battery group 3 enable and not connected to grid", WARNING, CELLS, BATTERY, group=3, name="Enabled but not on the grid")
    group_4_not_connected = flag(0x132, 3, "Battery group 4 enable and not connected to grid", WARNING, CELLS, BATTERY, group=4, name="Enabled but not on the grid")

    group_1_isolation_switch_open = flag(0x133, 0, "The isolation switch of battery group 1 open", WARNING, CONTACTORS, BATTERY, group=1, name="Disconnector open")
    group_2_isolation_switch_open = flag(0x133, 1, "The isolation switch of battery group 2 open", WARNING, CONTACTORS, BATTERY, group=2, name="Disconnector open")
    group_3_isolation_switch_open = flag(0x133, 2, "The isolation switch of battery group 3 open", WARNING, CONTACTORS, BATTERY, group=3, name="Disconnector open")
    group_4_isolation_switch_open = flag(0x133, 3, "The isolation switch of battery group 4 open", WARNING, CONTACTORS, BATTERY, group=4, name="Disconnector open")

    group_1_balancing_sampling_failure = flag(0x135, 0, "Balancing sampling failure of battery group 1", WARNING, CELLS, BATTERY, group=1, name="Balancing sampling failure")
    group_2_balancing_sampling_failure = flag(0x135, 1, "Balancing sampling failure of battery group 2", WARNING, CELLS, BATTERY, group=2, name="Balancing sampling failure")
    group_3_balancing_sampling_failure = flag(0x135, 2, "Balancing sampling failure of battery group 3", WARNING, CELLS, BATTERY, group=3, name="Balancing sampling failure")
    group_4_balancing_sampling_failure = flag(0x135, 3, "Balancing sampling failure of battery group 4", WARNING, CELLS, BATTERY, group=4, name="Balancing sampling failure")

    group_1_balancing_control_failure = flag(0x136, 0, "Balancing control failure of battery group 1", WARNING, CELLS, BATTERY, group=1, name="Balancing control failure")
    group_2_balancing_control_failure = flag(0x136, 1, "Balancing control failure of battery group 2", WARNING, CELLS, BATTERY, group=2, name="Balancing control failure")
    group_3_balancing_control_failure = flag(0x136, 2, "Balancing control failure of battery group 3", WARNING, CELLS, BATTERY, group=3, name="Balancing control failure")
    group_4_balancing_control_failure = flag(0x136, 3, "Balancing control failure of battery group 4", WARNING, CELLS, BATTERY, group=4, name="Balancing control failure")

    no_usable_battery_group = flag(0x137, 0, "No enable batery group or usable battery group", FAULT, CELLS, BATTERY, name="No usable battery group")
    normal_leakage_of_battery_group = flag(0x137, 1, "Normal leakage of battery group", FAULT, INSULATION, BATTERY, name="Group insulation fault, level 1")
    serious_leakage_of_battery_group = flag(0x137, 2, "Serious leakage of battery group", FAULT, INSULATION, BATTERY, name="Group insulation fault, level 2")
    battery_start_failure = flag(0x137, 3, "Battery start failure", FAULT, CELLS, BATTERY, name="Battery start failed")
    battery_stop_failure = flag(0x137, 4, "Battery stop failure", FAULT, CELLS, BATTERY, name="Battery stop failed")
    can_interrupted = flag(0x137, 5, "Interruption of CAN Communication between battery group and controller", FAULT, COMMUNICATION, BATTERY, name="CAN lost (group to controller)")
    auxiliary_collector_emergency_stop = flag(0x137, 10, "Emergency stop abnormal of auxiliary collector", FAULT, CELLS, BATTERY, name="Auxiliary emergency stop")
    leakage_on_negative = flag(0x137, 11, "Leakage self detection on negative", FAULT, INSULATION, BATTERY, name="Insulation fault, negative pole")
    leakage_on_positive = flag(0x137, 12, "Leakage self detection on positive", FAULT, INSULATION, BATTERY, name="Insulation fault, positive pole")
    self_detection_failure = flag(0x137, 13, "Self detection failure on battery", FAULT, CELLS, BATTERY, name="Self-test failed")

    group_1_can_interrupted = flag(0x138, 0, "CAN Communication interruption between battery group and group 1", FAULT, COMMUNICATION, BATTERY, group=1, name="CAN lost")
    group_2_can_interrupted = flag(0x138, 1, "CAN Communication interruption between battery group and group 2", FAULT, COMMUNICATION, BATTERY, group=2, name="CAN lost")
    group_3_can_interrupted = flag(0x138, 2, "CAN Communication interruption between battery group and group 3", FAULT, COMMUNICATION, BATTERY, group=3, name="CAN lost")
    group_4_can_interrupted = flag(0x138, 3, "CAN Communication interruption between battery group and group 4", FAULT, COMMUNICATION, BATTERY, group=4, name="CAN lost")

    group_1_main_contactor_abnormal = flag(0x139, 0, "Main contractor abnormal in battery self detect group 1", FAULT, CONTACTORS, BATTERY, group=1, name="Main contactor self-test fault")
    group_2_main_contactor_abnormal = flag(0x139, 1, "Main contractor abnormal in battery self detect group 2", FAULT, CONTACTORS, BATTERY, group=2, name="Main contactor self-test fault")
    group_3_main_contactor_abnormal = flag(0x139, 2, "Main contractor abnormal in battery self detect group 3", FAULT, CONTACTORS, BATTERY, group=3, name="Main contactor self-test fault")
    group_4_main_contactor_abnormal = flag(0x139, 3, "Main contractor abnormal in battery self detect group 4", FAULT, CONTACTORS, BATTERY, group=4, name="Main contactor self-test fault")

    group_1_pre_charge_contactor_abnormal = flag(0x13A, 0, "Pre-charge contractor abnormal on battery self detect group 1", FAULT, CONTACTORS, BATTERY, group=1, name="Pre-charge self-test fault")
    group_2_pre_charge_contactor_abnormal = flag(0x13A, 1, "Pre-charge contractor abnormal on battery self detect group 2", FAULT, CONTACTORS, BATTERY, group=2, name="Pre-charge self-test fault")
    group_3_pre_charge_contactor_abnormal = flag(0x13A, 2, "Pre-charge contractor abnormal on battery self detect group 3", FAULT, CONTACTORS, BATTERY, group=3, name="Pre-charge self-test fault")
    group_4_pre_charge_contactor_abnormal = flag(0x13A, 3, "Pre-charge contractor abnormal on battery self detect group 4", FAULT, CONTACTORS, BATTERY, group=4, name="Pre-charge self-test fault")

    group_1_main_contactor_failure = flag(0x13B, 0, "Main contact failure on battery control group 1", FAULT, CONTACTORS, BATTERY, group=1, name="Main contactor failure")
    group_2_main_contactor_failure = flag(0x13B, 1, "Main contact failure on battery control group 2", FAULT, CONTACTORS, BATTERY, group=2, name="Main contactor failure")
    group_3_main_contactor_failure = flag(0x13B, 2, "Main contact failure on battery control group 3", FAULT, CONTACTORS, BATTERY, group=3, name="Main contactor failure")
    group_4_main_contactor_failure = flag(0x13B, 3, "Main contact failure on battery control group 4", FAULT, CONTACTORS, BATTERY, group=4, name="Main contactor failure")

    group_1_pre_charge_failure = flag(0x13C, 0, "Pre-charge failure on battery control group 1", FAULT, CONTACTORS, BATTERY, group=1, name="Pre-charge failure")
    group_2_pre_charge_failure = flag(0x13C, 1, "Pre-charge failure on battery control group 2", FAULT, CONTACTORS, BATTERY, group=2, name="Pre-charge failure")
    group_3_pre_charge_failure = flag(0x13C, 2, "Pre-charge failure on battery control group 3", FAULT, CONTACTORS, BATTERY, group=3, name="Pre-charge failure")
    group_4_pre_charge_failure = flag(0x13C, 3, "Pre-charge failure on battery control group 4", FAULT, CONTACTORS, BATTERY, group=4, name="Pre-charge failure")

    bmu_sampling_circuit_abnormal = flag(0x13F, 2, "Sampling circuit abnormal for BMU", FAULT, CELLS, BATTERY, name="BMU sampling circuit fault")
    power_cable_disconnect_failure = flag(0x13F, 3, "Power cable disconnect failure", FAULT, CELLS, BATTERY, name="Power cable disconnection")
    sampling_circuit_disconnect_failure = flag(0x13F, 4, "Sampling circuit disconnect failure", FAULT, CELLS, BATTERY, name="Sampling circuit disconnection")
    can_disconnect_master_slave = flag(0x13F, 6, "CAN disconnect for master and slave", FAULT, COMMUNICATION, BATTERY, name="CAN lost (master to slave)")
    sampling_circuit_failure = flag(0x13F, 9, "Sammpling circuit failure", FAULT, CELLS, BATTERY, name="Sampling circuit failure")
    single_battery_failure = flag(0x13F, 10, "Single battery failure", FAULT, CELLS, BATTERY)
    main_contactor_circuit_abnormal = flag(0x13F, 11, "Circuit detection abnormal for main contactor", FAULT, CONTACTORS, BATTERY, name="Main contactor circuit fault")
    main_contactor_circuit_abnormal_2 = flag(0x13F, 12, "Circuit detection abnormal for main contactor", FAULT, CONTACTORS, BATTERY, name="Main contactor circuit fault 2")
    fan_contactor_circuit_abnormal = flag(0x13F, 13, "Circuit detection abnormal for Fancontactor", FAULT, CONTACTORS, BATTERY, name="Fan contactor circuit fault")
    bmu_power_contactor_circuit_abnormal = flag(0x13F, 14, "BMUPower contactor circuit detection abnormal", FAULT, CONTACTORS, BATTERY, name="BMU power contactor circuit fault")
    central_contactor_circuit_abnormal = flag(0x13F, 15, "Central contactor circuit detection abnormal", FAULT, CONTACTORS, BATTERY, name="Central contactor circuit fault")

    serious_temperature_fault = flag(0x140, 2, "Serious temperature fault", FAULT, TEMPERATURE, BATTERY, name="Temperature fault, level 2")
    system_controller_communication_fault = flag(0x140, 3, "Communication fault for system controller", FAULT, COMMUNICATION, BATTERY, name="System controller link fault")
    fog_alarm = flag(0x140, 7, "Frog alarm", FAULT, TEMPERATURE, BATTERY, name="Fog (smoke) alarm")
    fuse_fault = flag(0x140, 8, "Fuse fault", FAULT, CONTACTORS, BATTERY)
    stack_normal_leakage = flag(0x140, 10, "Normal leakage", FAULT, INSULATION, BATTERY, name="Insulation fault, level 1")
    stack_serious_leakage = flag(0x140, 11, "Serious leakage", FAULT, INSULATION, BATTERY, name="Insulation fault, level 2")
    can_disconnect_group_stack = flag(0x140, 12, "CAN disconnection between battery group and battery stack", FAULT, COMMUNICATION, BATTERY, name="CAN lost (group to stack)")
    central_contactor_circuit_open = flag(0x140, 13, "Central contactor circuit open", FAULT, CONTACTORS, BATTERY)
    bmu_power_contactor_open = flag(0x140, 14, "BMU power contactor open", FAULT, CONTACTORS, BATTERY)
    # fmt: on
