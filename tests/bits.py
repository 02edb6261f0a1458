"""Bits that tests switch on, each by the address of its word and its number."""

from .registers import BATTERY_ALARM_1, BATTERY_FAULT_2, BATTERY_FAULT_10, INVERTER_STATUS

SMOKE = (BATTERY_FAULT_10, 7)
LEAKAGE = (BATTERY_FAULT_10, 11)
INVERTER_FAULT = (INVERTER_STATUS, 3)
GROUP_3_SILENT = (BATTERY_FAULT_2, 2)
HOT = (BATTERY_ALARM_1, 6)
