"""Whether what answers looks like a REFU ESS. It has no serial number, so only its readings can tell."""

from dataclasses import dataclass

from modbus_connection import ModbusUnit

from .catalogue import BITS_BY_WORD, INPUT_BLOCKS
from .device import RefuEss

PHASE_TOLERANCE_W = 1000
"""How far the sum of the phases may lie from the total: each value is rounded to 100 W and taken at its own moment."""
MAXIMUM_VOLTAGE_V = 1500
"""The limit of low-voltage direct current equipment."""


@dataclass(frozen=True)
class Finding:
    """What was read, and what speaks against a REFU ESS."""

    system_state: str | None
    soc: int | None
    battery_voltage: float | None
    doubts: tuple[str, ...]
    """Slugs: `system_state`, `battery_state`, `soc`, `voltage`, `phases`, `unknown_bits`, `all_zero`."""


async def async_probe(unit: ModbusUnit) -> Finding:
    """Read both input blocks once and judge them. Writes nothing.

    Raises `ModbusError` if either block cannot be read.
    """
    device = RefuEss(unit, shared_link=True)  # as far as is known here
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
    return Finding(
        system_state=None if status["system_state"] is None else status["system_state"].label,
        soc=battery["soc"],
        battery_voltage=battery["battery_voltage"],
        doubts=tuple(slug for slug, doubtful in doubts.items() if doubtful),
    )
