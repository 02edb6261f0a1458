"""The inverter's states, errors and measurements: input registers 0x100 to 0x118, read in one request."""

from collections.abc import Mapping
from typing import cast

from modbus_connection.model import Component, PackedBitField, bit, enum, gauge, integer, raw_register

from .enums import InverterStatusLayout, SystemState
from .facts import FACTS, Bit, Category, Part, Role, Severity, channel, flag

FAULT, WARNING, READY, INFO = Severity.FAULT, Severity.WARNING, Severity.READY, Severity.INFO
BATTERY, COMMUNICATION, INVERTER = Category.BATTERY, Category.COMMUNICATION, Category.INVERTER
MAIN, EXTRA, DETAIL, EXPERT = Role.MAIN, Role.EXTRA, Role.DETAIL, Role.EXPERT
DCDC = Part.DCDC


class Status(Component):
    """Charging is negative, discharging positive, in every power that is not marked as unverified."""

    register_space = "input"
    register_ranges = ((0x100, 0x118),)

    # fmt: off
    system_state = channel("SystemState", enum(0x100, SystemState), "System state", MAIN, nominal=3)
    system_error_1 = channel("SystemError1", raw_register(0x101), "System error word", EXPERT)
    communication_informations = channel("CommunicationInformations", raw_register(0x102), "Communication word", EXPERT)
    inverter_status = channel("InverterStatus", raw_register(0x103), "Inverter status word", EXPERT)
    error_code = channel("ErrorCode", raw_register(0x104), "Error code", DETAIL)
    dcdc_status = channel("DCDCStatus", raw_register(0x105), "Status word", EXPERT, DCDC)
    dcdc_error = channel("DCDCError", raw_register(0x106), "Error code", DETAIL, DCDC)
    # The sign of BatteryCurrentPcs is unverified: published as read, not used in any calculation.
    battery_current_pcs = channel("BatteryCurrentPcs", gauge(0x107, 0.1, unit="A"), "Battery current at inverter", EXTRA)
    battery_voltage_pcs = channel("BatteryVoltagePcs", gauge(0x108, 0.1, unit="V"), "Battery voltage at inverter", EXTRA, nominal=768.0)
    current = channel("Current", gauge(0x109, 0.1, unit="A"), "Current", EXTRA)
    current_l1 = channel("CurrentL1", gauge(0x10A, 0.1, unit="A"), "Current L1", EXTRA)
    current_l2 = channel("CurrentL2", gauge(0x10B, 0.1, unit="A"), "Current L2", EXTRA)
    current_l3 = channel("CurrentL3", gauge(0x10C, 0.1, unit="A"), "Current L3", EXTRA)
    active_power = channel("ActivePower", gauge(0x10D, 100, unit="W"), "Active power", MAIN)
    active_power_l1 = channel("ActivePowerL1", gauge(0x10E, 100, unit="W"), "Active power L1", EXTRA)
    active_power_l2 = channel("ActivePowerL2", gauge(0x10F, 100, unit="W"), "Active power L2", EXTRA)
    active_power_l3 = channel("ActivePowerL3", gauge(0x110, 100, unit="W"), "Active power L3", EXTRA)
    # The sign of reactive power (inductive or capacitive) is unverified.
    reactive_power = channel("ReactivePower", gauge(0x111, 100, unit="var"), "Reactive power", MAIN)
    reactive_power_l1 = channel("ReactivePowerL1", gauge(0x112, 100, unit="var"), "Reactive power L1", EXTRA)
    reactive_power_l2 = channel("ReactivePowerL2", gauge(0x113, 100, unit="var"), "Reactive power L2", EXTRA)
    reactive_power_l3 = channel("ReactivePowerL3", gauge(0x114, 100, unit="var"), "Reactive power L3", EXTRA)
    # The scale factor of cos phi is unknown, so it is published raw.
    cos_phi_3p = channel("CosPhi3p", integer(0x115), "Cos phi (raw)", EXPERT)
    cos_phi_l1 = channel("CosPhiL1", integer(0x116), "Cos phi L1 (raw)", EXPERT)
    cos_phi_l2 = channel("CosPhiL2", integer(0x117), "Cos phi L2 (raw)", EXPERT)
    cos_phi_l3 = channel("CosPhiL3", integer(0x118), "Cos phi L3 (raw)", EXPERT)

    bms_in_error = flag(0x101, 0, "BMS In Error", FAULT, BATTERY, name="BMS error")
    bms_overvoltage = flag(0x101, 1, "BMS Overvoltage", FAULT, BATTERY, name="BMS overvoltage")
    bms_undervoltage = flag(0x101, 2, "BMS Undervoltage", FAULT, BATTERY, name="BMS undervoltage")
    bms_overcurrent = flag(0x101, 3, "BMS Overcurrent", FAULT, BATTERY, name="BMS overcurrent")
    bms_limits_not_initialized = flag(0x101, 4, "Error BMS Limits not initialized", FAULT, BATTERY, name="BMS limits not initialized")
    connect_error = flag(0x101, 5, "Connect Error", FAULT, COMMUNICATION, name="Connection error")
    overvoltage_warning = flag(0x101, 6, "Overvoltage warning", WARNING, BATTERY)
    undervoltage_warning = flag(0x101, 7, "Undervoltage warning", WARNING, BATTERY)
    overcurrent_warning = flag(0x101, 8, "Overcurrent warning", WARNING, BATTERY)
    bms_ready = flag(0x101, 9, "BMS Ready", READY, BATTERY, name="BMS not ready")
    trex_ready = flag(0x101, 10, "TREX Ready", READY, INVERTER, name="TREX not ready")

    gateway_initialized = flag(0x102, 0, "Gateway Initialized", READY, COMMUNICATION, name="Gateway not initialized")
    modbus_slave_status = flag(0x102, 1, "Modbus Slave Status", READY, COMMUNICATION, name="Modbus slave status not OK")
    modbus_master_status = flag(0x102, 2, "Modbus Master Status", READY, COMMUNICATION, name="Modbus master status not OK")
    can_timeout = flag(0x102, 3, "CAN Timeout", FAULT, COMMUNICATION, name="CAN timeout")
    first_communication_ok = flag(0x102, 4, "First Communication Ok", READY, COMMUNICATION, name="First communication not established")

    inverter_ready_to_power_on = flag(0x103, 0, "Ready to Power on", INFO, INVERTER, name="Inverter ready to power on")
    inverter_ready_for_operating = flag(0x103, 1, "Ready for Operating", INFO, INVERTER, name="Inverter ready for operation")
    inverter_enabled = flag(0x103, 2, "Enabled", INFO, INVERTER, name="Inverter enabled")
    inverter_fault = flag(0x103, 3, "Fault", FAULT, INVERTER, name="Inverter fault")
    inverter_warning = flag(0x103, 8, "Warning", WARNING, INVERTER, depends_on_layout=True, name="Inverter warning")
    inverter_voltage_current_mode = flag(0x103, 9, "Voltage/Current mode", INFO, INVERTER, depends_on_layout=True, name="Inverter voltage/current mode")
    inverter_power_mode = flag(0x103, 10, "Power mode", INFO, INVERTER, depends_on_layout=True, name="Inverter power mode")
    ac_relays_closed = flag(0x103, 11, "AC relays close", INFO, INVERTER, depends_on_layout=True, name="AC relays closed")
    dc_relay_1_closed = flag(0x103, 12, "DC relays 1 close", INFO, INVERTER, depends_on_layout=True, name="DC relay 1 closed")
    dc_relay_2_closed = flag(0x103, 13, "DC relays 2 close", INFO, INVERTER, depends_on_layout=True, name="DC relay 2 closed")
    mains_ok = flag(0x103, 14, "Mains OK", INFO, INVERTER, depends_on_layout=True)

    dcdc_ready_to_power_on = flag(0x105, 0, "Ready to Power on", INFO, Category.DCDC, DCDC, name="Ready to power on")
    dcdc_ready_for_operating = flag(0x105, 1, "Ready for Operating", INFO, Category.DCDC, DCDC, name="Ready for operation")
    dcdc_enabled = flag(0x105, 2, "Enabled", INFO, Category.DCDC, DCDC)
    dcdc_fault = flag(0x105, 3, "DCDC Fault", FAULT, Category.DCDC, DCDC, name="Fault")
    dcdc_warning = flag(0x105, 7, "DCDC Warning", WARNING, Category.DCDC, DCDC, name="Warning")
    dcdc_voltage_current_mode = flag(0x105, 8, "Voltage/Current mode", INFO, Category.DCDC, DCDC, name="Voltage/current mode")
    dcdc_power_mode = flag(0x105, 9, "Power mode", INFO, Category.DCDC, DCDC)
    # fmt: on


def _shifted_status() -> type[Status]:
    """Return the block with the uncertain bits one position lower, where OpenEMS 2021 reads them."""
    moved = {
        name: bit(field.address, field.start - InverterStatusLayout.SHIFTED)
        for name, field in Status.declared_fields.items()
        if isinstance(field, PackedBitField) and cast("Bit", FACTS[field]).depends_on_layout
    }
    return type("ShiftedStatus", (Status,), moved)


ShiftedStatus = _shifted_status()

STATUS: Mapping[InverterStatusLayout, type[Status]] = {
    InverterStatusLayout.DOCUMENTED: Status,
    InverterStatusLayout.SHIFTED: ShiftedStatus,
}
"""The block in each layout of the upper InverterStatus bits."""
