"""The registers of the simulated ESS: the model's values as words, laid out by the declared channels."""

from typing import Any

from ._ess import ess
from .model import State

ADDRESSES = {
    entry.key: range(entry.field.address, entry.field.address + entry.field.count)
    for entry in ess.REGISTER_CHANNELS
    if entry.field is not None
}
FIELDS = {entry.key: entry.field for entry in ess.REGISTER_CHANNELS}
BITS = {entry.key: entry for entry in ess.BITS}
READY = [entry.key for entry in ess.BITS if entry.bit.severity is ess.Severity.READY]
NORMAL = ["inverter_ready_to_power_on", "inverter_ready_for_operating", "mains_ok", "dcdc_ready_to_power_on"]
RUNNING = [
    "inverter_enabled",
    "inverter_power_mode",
    "ac_relays_closed",
    "dc_relay_1_closed",
    "dc_relay_2_closed",
    "dcdc_enabled",
    "dcdc_ready_for_operating",
    "dcdc_power_mode",
]


class Registers:
    """The words of one model, with overrides from scenarios."""

    def __init__(self, model: Any, replayed: dict[int, int] | None = None) -> None:
        """Take the model that the values come from, or the words that are served in its place."""
        self.model = model
        self.replayed = replayed
        self.alarms: dict[str, bool] = {}
        """Bits that a scenario holds set or clear, by key."""
        self.masks: dict[str, int] = {}
        """Further bits that are set, by the key of their word: including undeclared ones."""
        self.overrides: dict[str, float] = {}
        """Values that a scenario holds, by key, in the channel's unit."""
        self.raw: dict[int, int] = {}
        """Words that a scenario holds, by address."""

    def words(self) -> dict[int, int]:
        """Return every word that can be read, by address."""
        found = self._modelled() if self.replayed is None else dict(self.replayed)
        for key, value in self.overrides.items():
            found |= _encoded(key, value)
        for key, on in (dict.fromkeys(self._lit(), True) | self.alarms).items():
            entry = BITS[key]
            moved = self.model.shifted and entry.bit.depends_on_layout
            mask = entry.field.mask >> 1 if moved else entry.field.mask
            word = found.get(entry.field.address, 0)
            found[entry.field.address] = word | mask if on else word & ~mask
        for key, mask in self.masks.items():
            found[ADDRESSES[key][0]] |= mask
        return found | self.raw

    def _modelled(self) -> dict[int, int]:
        found: dict[int, int] = {0x134: 0}  # in the battery's block, without a meaning
        for key, value in self._values().items():
            found |= _encoded(key, value)
        return found

    def _lit(self) -> set[str]:
        """Return the bits that the model sets."""
        if self.replayed is not None:
            return set()
        model = self.model
        lit = {*READY, *NORMAL, *(f"group_{group}_operating" for group in range(1, model.groups + 1))}
        if model.state is State.START:
            lit |= set(RUNNING)
        else:
            lit -= {f"group_{group}_operating" for group in range(1, model.groups + 1)}
        if model.state is State.FAULT:
            lit.add("inverter_fault")
        if model.start_error:
            lit.add("connect_error")
        return lit

    def _values(self) -> dict[str, float]:
        model = self.model
        power, reactive = round(model.power_w / 100) * 100, round(model.reactive_var / 100) * 100
        phases = _thirds(power, model.phases_w if any(model.phases_w) else None)
        phases_var = _thirds(reactive, model.phases_var if any(model.phases_var) else None)
        ampere = [abs(value) / 230 for value in phases]
        values: dict[str, float] = dict.fromkeys(FIELDS, 0)
        values |= {
            "system_state": model.state,
            "error_code": model.error_code,
            "battery_current_pcs": model.current,
            "battery_voltage_pcs": model.voltage * 0.998,
            "current": sum(ampere),
            "active_power": power,
            "reactive_power": reactive,
            "battery_state": model.battery,
            "battery_voltage": model.voltage,
            "battery_current": model.current,
            "battery_power": power,
            "soc": round(model.soc),
            "allowed_charge_current": -model.allowed_charge_w / model.voltage,
            "allowed_discharge_current": model.allowed_discharge_w / model.voltage,
            "allowed_charge": -model.allowed_charge_w,
            "allowed_discharge": model.allowed_discharge_w,
            "battery_charge_energy": int(model.charged_kwh),
            "battery_discharge_energy": int(model.discharged_kwh),
            "battery_highest_voltage": round(model.cell_mv) + 8,
            "battery_lowest_voltage": round(model.cell_mv) - 9,
            "battery_highest_temperature": round(model.temperature) + 1,
            "battery_lowest_temperature": round(model.temperature) - 1,
            "pcs_allowed_charge": 100_000 if model.state is State.START else 0,
            "pcs_allowed_discharge": 100_000 if model.state is State.START else 0,
            "set_work_state": model.work_state,
            "set_system_error_reset": model.reset,
            "set_operation_mode": model.mode,
            "set_active_power": model.total_w,
            "set_reactive_power": model.total_var,
        }
        for index, code in enumerate(model.error_log, 1):
            values[f"error_log_{index}"] = code
        for index, phase in enumerate(("l1", "l2", "l3")):
            values[f"current_{phase}"] = ampere[index]
            values[f"active_power_{phase}"] = phases[index]
            values[f"reactive_power_{phase}"] = phases_var[index]
            values[f"set_active_power_{phase}"] = model.phases_w[index]
            values[f"set_reactive_power_{phase}"] = model.phases_var[index]
        return values


def _encoded(key: str, value: float) -> dict[int, int]:
    """Return the words of a value by their addresses."""
    field = FIELDS[key]
    assert field is not None
    return {address: word & 0xFFFF for address, word in zip(ADDRESSES[key], field.encode(value), strict=True)}


def _thirds(total: float, wanted: list[float] | None) -> list[float]:
    """Split a power over the phases in steps of 100, as wanted or evenly, so that they sum to it."""
    shares = [total / 3] * 3 if wanted is None or not sum(wanted) else [total * one / sum(wanted) for one in wanted]
    first, second = (round(share / 100) * 100 for share in shares[:2])
    return [first, second, total - first - second]
