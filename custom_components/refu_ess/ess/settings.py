"""The settings of the device: holding registers 0x200 to 0x20A, with the only methods that write them.

Every write is one request of function 16 over adjacent registers, the variant that the device accepted for longest.
Whether 0x203 to 0x20A can be read at all is unverified.
"""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from modbus_connection.model import Component, RegisterField, enum, gauge

from .enums import ErrorReset, OperationMode, WorkState
from .facts import Role, channel
from .setpoint import Power

DETAIL, EXPERT = Role.DETAIL, Role.EXPERT


class Commands(Component):
    """Work state, error reset and operation mode."""

    register_space = "holding"
    register_ranges = ((0x200, 0x202),)

    # fmt: off
    set_work_state = channel("SetWorkState", enum(0x200, WorkState), "Start/stop (readback)", DETAIL)
    set_system_error_reset = channel("SetSystemErrorReset", enum(0x201, ErrorReset), "Error reset (readback)", EXPERT)
    set_operation_mode = channel("SetOperationMode", enum(0x202, OperationMode), "Operation mode (readback)", DETAIL)
    # fmt: on

    async def async_set_work_state(self, state: WorkState) -> None:
        """Write START or STOP. Raises `ModbusError`."""
        await _async_write(self, ("set_work_state",), (state,))

    async def async_set_error_reset(self, value: ErrorReset) -> None:
        """Write the error reset. Raises `ModbusError`."""
        await _async_write(self, ("set_system_error_reset",), (value,))

    async def async_set_operation_mode(self, mode: OperationMode) -> None:
        """Write the operation mode. Raises `ModbusError`."""
        await _async_write(self, ("set_operation_mode",), (mode,))


class Setpoints(Component):
    """One set of setpoint registers. Charge is negative, discharge positive."""

    register_space = "holding"
    active: ClassVar[tuple[str, ...]]
    """The attributes of the active power setpoints, by address."""
    reactive: ClassVar[tuple[str, ...]]

    @classmethod
    def power(cls, value: Callable[[str], Any]) -> Power:
        """The setpoints as a `Power`, from the value of each attribute."""
        return Power(tuple(map(value, cls.active)), tuple(map(value, cls.reactive)))

    async def async_write(self, power: Power, *, reactive: bool = True) -> None:
        """Write the active power setpoints and, if `reactive`, the reactive ones. Raises `ModbusError`.

        Values are whole steps of 100 W and 100 var, one per setpoint of this set.
        """
        await _async_write(self, self.active, power.active_w)
        if reactive:
            await _async_write(self, self.reactive, power.reactive_var)


async def _async_write(component: Component, names: tuple[str, ...], values: tuple[float, ...]) -> None:
    """Write adjacent registers in one request."""
    fields = [cast("RegisterField[Any]", component.declared_fields[name]) for name in names]
    words = [word for field, value in zip(fields, values, strict=True) for word in field.encode(value)]
    await component.modbus_unit.write_registers(fields[0].address, words)


class TotalSetpoints(Setpoints):
    """The total setpoints."""

    register_ranges = ((0x203, 0x203), (0x207, 0x207))
    active = ("set_active_power",)
    reactive = ("set_reactive_power",)

    # fmt: off
    set_active_power = channel("SetActivePower", gauge(0x203, 100, unit="W"), "Power setpoint (readback)", DETAIL)
    set_reactive_power = channel("SetReactivePower", gauge(0x207, 100, unit="var"), "Reactive setpoint (readback)", DETAIL)
    # fmt: on


class PhaseSetpoints(Setpoints):
    """The setpoints of each phase. How the device combines total and phases is unverified."""

    register_ranges = ((0x204, 0x206), (0x208, 0x20A))
    active = ("set_active_power_l1", "set_active_power_l2", "set_active_power_l3")
    reactive = ("set_reactive_power_l1", "set_reactive_power_l2", "set_reactive_power_l3")

    # fmt: off
    set_active_power_l1 = channel("SetActivePowerL1", gauge(0x204, 100, unit="W"), "Power setpoint L1 (readback)", EXPERT)
    set_active_power_l2 = channel("SetActivePowerL2", gauge(0x205, 100, unit="W"), "Power setpoint L2 (readback)", EXPERT)
    set_active_power_l3 = channel("SetActivePowerL3", gauge(0x206, 100, unit="W"), "Power setpoint L3 (readback)", EXPERT)
    set_reactive_power_l1 = channel("SetReactivePowerL1", gauge(0x208, 100, unit="var"), "Reactive setpoint L1 (readback)", EXPERT)
    set_reactive_power_l2 = channel("SetReactivePowerL2", gauge(0x209, 100, unit="var"), "Reactive setpoint L2 (readback)", EXPERT)
    set_reactive_power_l3 = channel("SetReactivePowerL3", gauge(0x20A, 100, unit="var"), "Reactive setpoint L3 (readback)", EXPERT)
    # fmt: on
