"""The blueprints against the integration: an ESS in memory gets their commands and raises its alarms."""

import pytest
from modbus_connection import ModbusTimeoutError
from modbus_connection.mock import MockModbusUnit

from tests.bits import GROUP_3_SILENT, INVERTER_FAULT, SMOKE
from tests.helpers import switch
from tests.registers import ACTIVE_POWER, ACTIVE_SETPOINT

from .house import House

OWN_ALARMS = {"alarms": "event.refu_ess_alarms", "active_alarms": "sensor.refu_ess_active_alarms"}


@pytest.fixture
def house(house_without_ess: House) -> House:
    """A house whose ESS is the integration's."""
    return house_without_ess


@pytest.mark.parametrize(
    ("name", "grid", "watts"), [("surplus", -30, -30_000), ("peak_guard", 100, 20_000), ("charge_window", 0, -20_000)]
)
@pytest.mark.usefixtures("ready")
async def test_the_battery_rests_when_the_automation_is_stuck(
    house: House, unit: MockModbusUnit, name: str, grid: float, watts: int
) -> None:
    """The device gets the command; once nothing renews it, it gets zero within the duration."""
    unit.input[ACTIVE_POWER] = 0
    await house.wait(11)
    house.readings(grid, quarter_kwh=None)
    own = {"ess_power": "sensor.refu_ess_active_power", "soc": "sensor.refu_ess_battery_state_of_charge_soc"}
    await house.run(name, **own)
    await house.wait(31)
    assert unit.holding[ACTIVE_SETPOINT] == watts // 100 % 0x10000
    await house.turn_off()
    await house.wait(95)
    assert unit.holding[ACTIVE_SETPOINT] == 0


async def set_bits(house: House, unit: MockModbusUnit, *bits: tuple[int, int], on: bool = True) -> None:
    """Let the device set or clear these bits of its words, and be read."""
    switch(unit, *bits, on=on)
    await house.wait(12)
    await house.settle(10)


SMOKE_TEXT, FAULT_TEXT, SILENT_TEXT = "Fog (smoke) alarm", "Inverter fault", "CAN lost, group 3"


@pytest.mark.usefixtures("loaded")
async def test_alarms_of_the_device(house: House, unit: MockModbusUnit) -> None:
    """Its bits become messages with the alarms' names, and a reminder, until they are cleared."""
    await house.run("alarm_notification", **OWN_ALARMS, tell_cleared=True)
    await set_bits(house, unit, SMOKE, GROUP_3_SILENT, INVERTER_FAULT)
    assert house.messages() == [
        ("send", "REFU ESS: fault", f"{SMOKE_TEXT} (fault, temperature)"),
        ("send", "REFU ESS: fault", f"{FAULT_TEXT} (fault, inverter)"),
        ("send", "REFU ESS: fault", f"{SILENT_TEXT} (fault, communication)"),
    ]
    await house.wait(600, step=10)
    everything = f"Active: {SMOKE_TEXT}, {FAULT_TEXT}, {SILENT_TEXT}"
    assert house.messages() == [("send", "REFU ESS: reminder 1, not acknowledged", everything)]
    await set_bits(house, unit, SMOKE, INVERTER_FAULT, on=False)
    assert house.messages() == [
        ("send", "REFU ESS: alarm cleared", f"{SMOKE_TEXT} (fault, temperature)"),
        ("send", "REFU ESS: alarm cleared", f"{FAULT_TEXT} (fault, inverter)"),
    ]
    await set_bits(house, unit, GROUP_3_SILENT, on=False)
    assert house.messages() == [("send", "REFU ESS: alarm cleared", f"{SILENT_TEXT} (fault, communication)")]
    await house.wait(1200, step=10)
    assert house.messages() == []


@pytest.mark.usefixtures("loaded")
async def test_a_lost_link_neither_raises_nor_clears_an_alarm(house: House, unit: MockModbusUnit) -> None:
    await house.run("alarm_notification", **OWN_ALARMS, tell_cleared=True)
    await set_bits(house, unit, SMOKE, GROUP_3_SILENT, INVERTER_FAULT)
    await house.wait(600, step=10)
    assert len(house.messages()) == 4
    unit.fail_requests(ModbusTimeoutError("late"))
    await house.wait(60, step=10)
    assert house.state("event.refu_ess_alarms") == "unavailable"
    unit.fail_requests(None)
    await house.wait(60, step=10)
    assert house.state("sensor.refu_ess_active_alarms") == "3"
    assert house.messages() == []
    await set_bits(house, unit, SMOKE, INVERTER_FAULT, on=False)
    assert house.texts() == [f"{SMOKE_TEXT} (fault, temperature)", f"{FAULT_TEXT} (fault, inverter)"]
