"""The physics of the simulated ESS: what its states, power and battery do as time goes by.

Deterministic and without a clock: `step` takes the time that passed. Powers in W, charge negative and discharge
positive, energies in kWh. Where the real device is unknown, a choice is made and said.
"""

from dataclasses import dataclass, field
from enum import IntEnum

EFFICIENCY = 0.95
"""Of charging and of discharging alike."""
RATED_W = 100_000.0
SLOPE_W_PER_S = 20_000.0
TAPER_PERCENT = 5.0
"""Below this state of charge discharging tapers to 0, above 100 minus this charging does."""
DEAD_BAND_W = 5_000.0
INIT_S = 2.0
PRE_OPERATION_S = 3.0
STARTING_S = 5.0
SETTLING_S = 2.0
"""Power that is commanded within this time after START was written, or before state 4, is an error."""
NOMINAL_V = 768.0
PERCENT_TO_V = 0.8
INNER_RESISTANCE_OHM = 0.05
CELLS = 232
START_ERROR = 0x0451
"""A code of our own: none is documented."""


class State(IntEnum):
    """SystemState."""

    STOP = 0
    INIT = 1
    PRE_OPERATION = 2
    STANDBY = 3
    START = 4
    FAULT = 5


class Battery(IntEnum):
    """BatteryState."""

    INITIAL = 0
    STOP = 1
    STARTING = 2
    START = 3
    STOPPING = 4
    FAULT = 5


@dataclass
class Model:
    """One ESS. Setpoints are kept indefinitely: no watchdog of the device is known."""

    soc: float = 62.0
    capacity_kwh: float = 130.0
    groups: int = 4
    shifted: bool = False
    """The upper bits of InverterStatus lie one place lower than documented."""
    state: State = State.START
    total_w: float = 0.0
    total_var: float = 0.0
    phases_w: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    phases_var: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    work_state: int = 1
    reset: int = 0
    mode: int = 0
    profile_w: float | None = None
    """Power that the device moves on its own while no setpoint is written; for demonstration only."""
    power_w: float = 0.0
    reactive_var: float = 0.0
    charged_kwh: float = 112_345.0  # both over two words
    discharged_kwh: float = 100_000.0
    temperature: float = 22.0
    seconds: float = 0.0
    error_code: int = 0
    error_log: list[int] = field(default_factory=list)
    start_error: bool = False
    _in_state: float = 1_000.0
    _starting: bool = False

    def step(self, seconds: float) -> None:
        """Advance by `seconds`, in steps small enough for the ramps."""
        while seconds > 0:
            piece = min(seconds, 1.0)
            seconds -= piece
            self._step(piece)

    # What is written

    def write_work_state(self, value: int) -> None:
        """START works in Standby alone; STOP leads back there."""
        self.work_state = value
        if value == 1 and self.state is State.STANDBY and not self._starting:
            self._starting, self._in_state = True, 0.0
        elif value == 0 and (self.state is State.START or self._starting):
            self._enter(State.STANDBY)

    def write_reset(self, value: int) -> None:
        """A rising edge clears an error whose cause is gone; the device keeps what was written."""
        if value == 1 and self.reset == 0 and self.state is State.FAULT and not self.commanded:
            self.clear_error()
        self.reset = value

    def reboot(self, *, keeps: bool) -> None:
        """Come up in the first state; the setpoints are lost unless it `keeps` them."""
        self.work_state = self.reset = 0
        self.error_code, self.start_error = 0, False
        if not keeps:
            self.total_w = self.total_var = 0.0
            self.phases_w, self.phases_var = [0.0] * 3, [0.0] * 3
        self._enter(State.STOP)

    def fail(self, code: int) -> None:
        """Raise an error of this code."""
        self.error_code = code
        self.error_log.insert(0, code)
        del self.error_log[16:]
        self._enter(State.FAULT)

    def clear_error(self) -> None:
        """Leave the error; the device comes up again."""
        self.error_code, self.start_error = 0, False
        if self.state is State.FAULT:
            self._enter(State.INIT)

    # What is read

    @property
    def setpoint_w(self) -> float:
        """Total and phases are added. What the real device does with both is unverified."""
        return self.total_w + sum(self.phases_w)

    @property
    def setpoint_var(self) -> float:
        """As `setpoint_w`."""
        return self.total_var + sum(self.phases_var)

    @property
    def commanded(self) -> bool:
        """Return whether any setpoint is not zero."""
        return any((self.total_w, self.total_var, *self.phases_w, *self.phases_var))

    @property
    def battery(self) -> Battery:
        """BatteryState follows the system's."""
        if self.state is State.FAULT:
            return Battery.FAULT
        if self._starting:
            return Battery.STARTING
        return {State.START: Battery.START, State.STANDBY: Battery.STOP}.get(self.state, Battery.INITIAL)

    @property
    def allowed_charge_w(self) -> float:
        """Magnitude, tapering near full, in steps of 100 W like on the wire."""
        return self._allowed((100.0 - self.soc) / TAPER_PERCENT)

    @property
    def allowed_discharge_w(self) -> float:
        """Magnitude, tapering near empty."""
        return self._allowed(self.soc / TAPER_PERCENT)

    @staticmethod
    def _allowed(share: float) -> float:
        return RATED_W * min(max(share, 0.0), 1.0) // 100 * 100

    @property
    def voltage(self) -> float:
        """Battery voltage in V: rises with the state of charge, sags under load."""
        return NOMINAL_V + (self.soc - 50) * PERCENT_TO_V - self.current * INNER_RESISTANCE_OHM

    @property
    def current(self) -> float:
        """Battery current in A, with the sign of the power."""
        return self.power_w / NOMINAL_V

    @property
    def cell_mv(self) -> float:
        """Mean cell voltage in mV."""
        return self.voltage * 1000 / CELLS

    # Without a request

    def _enter(self, state: State) -> None:
        self.state, self._in_state, self._starting = state, 0.0, False

    def _step(self, seconds: float) -> None:
        self.seconds += seconds
        self._in_state += seconds
        self._move_states()
        self._move_power(seconds)
        self._move_energy(seconds)

    def _move_states(self) -> None:
        dwell = {State.STOP: INIT_S, State.INIT: INIT_S, State.PRE_OPERATION: PRE_OPERATION_S}
        if self._starting:
            if self.commanded:
                self.start_error = True
                self.fail(START_ERROR)
            elif self._in_state >= STARTING_S:
                self._enter(State.START)
        elif self.state is State.START and self._in_state < SETTLING_S and self.commanded:
            self.start_error = True
            self.fail(START_ERROR)
        elif self.state in dwell and self._in_state >= dwell[self.state]:
            self._enter(State(self.state + 1))

    def _target_w(self) -> float:
        if self.state is not State.START or self.mode != 0:
            return 0.0
        target = self.setpoint_w if self.commanded or self.profile_w is None else self.profile_w
        target = min(max(target, -self.allowed_charge_w), self.allowed_discharge_w)
        full, empty = self.allowed_charge_w < 100, self.allowed_discharge_w < 100
        if (full and 0 < target < DEAD_BAND_W) or (empty and -DEAD_BAND_W < target < 0):
            return 0.0  # it cannot hold a small power then
        return target

    def _move_power(self, seconds: float) -> None:
        target = self._target_w()
        slope = SLOPE_W_PER_S * seconds
        self.power_w += min(max(target - self.power_w, -slope), slope)
        self.reactive_var = self.setpoint_var if self.state is State.START and self.mode == 0 else 0.0
        if self.state is not State.START:
            self.power_w = 0.0

    def _move_energy(self, seconds: float) -> None:
        kwh = self.power_w * seconds / 3_600_000
        if kwh > 0:
            self.discharged_kwh += kwh
            self.soc -= kwh / EFFICIENCY / self.capacity_kwh * 100
        else:
            self.charged_kwh -= kwh
            self.soc -= kwh * EFFICIENCY / self.capacity_kwh * 100
        self.soc = min(max(self.soc, 0.0), 100.0)
        heat = 22.0 + abs(self.power_w) / RATED_W * 12
        self.temperature += (heat - self.temperature) * min(seconds / 1800, 1.0)
