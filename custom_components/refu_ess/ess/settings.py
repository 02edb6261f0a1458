"""What is asked of the device: holding registers 0x200 to 0x20A.

They are read in the five pieces that the reference reads, so that a device which refuses one still answers the
others. That 0x203 to 0x20A can be read at all is unproven.
"""

from modbus_connection.model import Component, enum, gauge

from .enums import ErrorReset, OperationMode, WorkState
from .facts import Role, channel

DETAIL, EXPERT = Role.DETAIL, Role.EXPERT


class Commands(Component):
    """Work state, error reset and operation mode."""

    register_space = "holding"
    register_ranges = ((0x200, 0x202),)

    # fmt: off
    set_work_state = channel("SetWorkState", enum(0x200, WorkState), "Work state read back", DETAIL)
    set_system_error_reset = channel("SetSystemErrorReset", enum(0x201, ErrorReset), "Error reset read back", EXPERT)
    set_operation_mode = channel("SetOperationMode", enum(0x202, OperationMode), "Operation mode read back", DETAIL)
    # fmt: on


class TotalSetpoints(Component):
    """The setpoints of all three phases together. Charge is negative, discharge positive."""

    register_space = "holding"
    register_ranges = ((0x203, 0x203), (0x207, 0x207))

    # fmt: off
    set_active_power = channel("SetActivePower", gauge(0x203, 100, unit="W"), "Active power setpoint read back", DETAIL)
    set_reactive_power = channel("SetReactivePower", gauge(0x207, 100, unit="var"), "Reactive power setpoint read back", DETAIL)
    # fmt: on


class PhaseSetpoints(Component):
    """The setpoints of each phase. What the device does when total and phases are both set is unproven."""

    register_space = "holding"
    register_ranges = ((0x204, 0x206), (0x208, 0x20A))

    # fmt: off
    set_active_power_l1 = channel("SetActivePowerL1", gauge(0x204, 100, unit="W"), "Active power setpoint L1 read back", EXPERT)
    set_active_power_l2 = channel("SetActivePowerL2", gauge(0x205, 100, unit="W"), "Active power setpoint L2 read back", EXPERT)
    set_active_power_l3 = channel("SetActivePowerL3", gauge(0x206, 100, unit="W"), "Active power setpoint L3 read back", EXPERT)
    set_reactive_power_l1 = channel("SetReactivePowerL1", gauge(0x208, 100, unit="var"), "Reactive power setpoint L1 read back", EXPERT)
    set_reactive_power_l2 = channel("SetReactivePowerL2", gauge(0x209, 100, unit="var"), "Reactive power setpoint L2 read back", EXPERT)
    set_reactive_power_l3 = channel("SetReactivePowerL3", gauge(0x20A, 100, unit="var"), "Reactive power setpoint L3 read back", EXPERT)
    # fmt: on
