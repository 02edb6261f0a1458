"""A reading of a system at work."""

from custom_components.refu_ess.ess.enums import BatteryMode, BatteryState, OperationMode, SystemState
from custom_components.refu_ess.ess.reading import Reading

GOOD = Reading(
    age_s=0.5,
    system_state=SystemState.START,
    battery_state=BatteryState.START,
    battery_mode=BatteryMode.NORMAL_MODE,
    operation_mode=OperationMode.PQ_SET_POINT,
    stop_request=0,
    ready=True,
    fault=False,
    mains_ok=None,
    other_setpoints_zero=True,
    allowed_charge_w=90_000,
    allowed_discharge_w=80_000,
    inverter_charge_w=100_000,
    inverter_discharge_w=100_000,
    soc=50,
)
