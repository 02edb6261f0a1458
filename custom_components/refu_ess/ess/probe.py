"""Checks whether a device looks like a REFU ESS: without a serial number, only its readings can show that."""

from dataclasses import dataclass
from enum import StrEnum

from modbus_connection import ModbusUnit

from .catalogue import BITS_BY_WORD, INPUT_BLOCKS
from .device import RefuEss
from .enums import SystemState

PHASE_TOLERANCE_W = 1000
"""Tolerance between the total and the sum of the phases, which are rounded to 100 W and sampled separately."""
MAXIMUM_VOLTAGE_V = 1500
"""Upper limit of low-voltage DC equipment."""


class Doubt(StrEnum):
    """Reasons to doubt that a device is a REFU ESS."""

    ALL_ZERO = "all_zero"
    SYSTEM_STATE = "system_state"
    BATTERY_STATE = "battery_state"
    SOC = "soc"
    VOLTAGE = "voltage"
    PHASES = "phases"
    UNKNOWN_BITS = "unknown_bits"


@dataclass(frozen=True)
class ProbeResult:
    """The readings of a probe, and the doubts that they raise."""

    system_state: SystemState | None
    soc: int | None
    battery_voltage: float | None
    doubts: tuple[Doubt, ...]


async def async_probe(unit: ModbusUnit) -> ProbeResult:
    """Read both input blocks once and judge them. Writes nothing.

    Raises `ModbusError` if either block cannot be read.
    """
    device = RefuEss(unit)
    await device.async_poll(settings=False)
    for name in INPUT_BLOCKS:
        if failure := device.blocks[name].failure:
            raise failure
    status, battery = device.blocks["status"].readings, device.blocks["battery"].readings
    words = [word for name in INPUT_BLOCKS for word in device.blocks[name].words.values()]
    phases = sum(status[f"active_power_{phase}"] for phase in ("l1", "l2", "l3"))
    doubts = {
        "all_zero": not any(words),
        "system_state": status["system_state"] is None,
        "battery_state": battery["battery_state"] is None,
        "soc": device.picture.values["soc"] is None,
        "voltage": not 0 <= battery["battery_voltage"] <= MAXIMUM_VOLTAGE_V,
        "phases": abs(status["active_power"] - phases) > PHASE_TOLERANCE_W,
        "unknown_bits": len(device.unknown_bits) > len(BITS_BY_WORD) // 2,
    }
    return ProbeResult(
        system_state=status["system_state"],
        soc=battery["soc"],
        battery_voltage=battery["battery_voltage"],
        doubts=tuple(Doubt(slug) for slug, doubtful in doubts.items() if doubtful),
    )
