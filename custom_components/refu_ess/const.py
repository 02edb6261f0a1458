"""Names and numbers of the Home Assistant side; each number with its reason."""

from collections.abc import Mapping
from typing import Final, Literal

DOMAIN: Final = "refu_ess"
DEFAULT_NAME: Final = "REFU ESS"
EVENT_LOGGED: Final = f"{DOMAIN}_logged"

# Entry data: how the device is reached.
CONF_TRANSPORT: Final = "transport"
CONF_UNIT_ID: Final = "unit_id"
CONF_SHARE_CONNECTION: Final = "share_connection"
CONF_BAUDRATE: Final = "baudrate"
CONF_BYTESIZE: Final = "bytesize"
CONF_PARITY: Final = "parity"
CONF_STOPBITS: Final = "stopbits"
SECTION_CONNECTION: Final = "connection"

TRANSPORT_TCP: Final = "tcp"
TRANSPORT_RTU_OVER_TCP: Final = "rtu_over_tcp"
TRANSPORT_SERIAL: Final = "serial"
TRANSPORTS: Final = [TRANSPORT_TCP, TRANSPORT_RTU_OVER_TCP, TRANSPORT_SERIAL]

# OpenEMS uses this port and unit; no source names serial settings.
DEFAULT_PORT: Final = 502
DEFAULT_UNIT_ID: Final = 1
DEFAULT_BAUDRATE: Final = 9600
PARITIES: Final[Mapping[str, Literal["N", "E", "O"]]] = {"none": "N", "even": "E", "odd": "O"}

# Entry options that more than `options.py` names.
CONF_INVERTER_STATUS_LAYOUT: Final = "inverter_status_layout"
CONF_MIN_SOC: Final = "min_soc"
CONF_CHARGE_SOC: Final = "charge_soc"
CONF_MAX_SOC: Final = "max_soc"

CONTROL_INTERVAL_SECONDS: Final = 1  # the cycle of OpenEMS; no watchdog of the device is known
LOG_NAME_LENGTH: Final = 6  # the ids of two entries differ at their ends
LINK_TIMEOUT_SECONDS: Final = 2.0  # twice the 1 s of OpenEMS, which a loaded gateway can miss


def log_name(entry_id: str) -> str:
    """Return how the log names an ESS: without its name, which may name a place or a person."""
    return f"{DOMAIN} {entry_id[-LOG_NAME_LENGTH:]}"
