"""Translates errors of the device and its link to errors of Home Assistant; no other module does."""

from collections.abc import Iterator
from contextlib import contextmanager

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.update_coordinator import UpdateFailed
from modbus_connection import (
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusError,
    ModbusExceptionError,
    ModbusTimeoutError,
)

from .const import DOMAIN
from .ess import OutOfRangeError, RefusedError, WriteFailedError


def translation_key(err: ModbusError) -> str:
    """Return the key that names an error in `config.error` and `exceptions`."""
    match err:
        case ModbusTimeoutError():
            return "no_answer"
        case ModbusConnectionError():
            return "no_connection"
        case IllegalDataAddressError() | IllegalFunctionError():
            return "illegal_address"
        case ModbusExceptionError():
            return "device_error"
        case _:
            return "bad_answer"


def error_code(err: ModbusError) -> str:
    """Return the Modbus exception code of an error, `-` if it has none."""
    return str(int(err.exception_code)) if isinstance(err, ModbusExceptionError) and err.exception_code else "-"


@contextmanager
def translated() -> Iterator[None]:
    """Translate the errors that a command raises."""
    try:
        yield
    except RefusedError as err:
        raise ServiceValidationError(translation_domain=DOMAIN, translation_key=f"refused_{err.reason.value}") from err
    except WriteFailedError as err:
        raise HomeAssistantError(translation_domain=DOMAIN, translation_key=err.reason.value) from err
    except OutOfRangeError as err:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key=f"out_of_range_{err.field}",
            translation_placeholders={"minimum": f"{err.minimum:.15g}", "maximum": f"{err.maximum:.15g}"},
        ) from err


def update_failed(err: ModbusError) -> UpdateFailed:
    """Return what a failed poll raises."""
    return UpdateFailed(
        translation_domain=DOMAIN,
        translation_key=translation_key(err),
        translation_placeholders={"code": error_code(err)},
    )
