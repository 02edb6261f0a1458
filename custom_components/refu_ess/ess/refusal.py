"""Why a command is not carried out."""

from enum import StrEnum


class Refusal(StrEnum):
    """Reasons to refuse a command; a refused power command may also name the `Limit` that forbids it."""

    READ_ONLY = "read_only"
    SHUTTING_DOWN = "shutting_down"
    STALE_DATA = "stale_data"
    FAULT = "fault"
    NOT_READY = "not_ready"
    NOT_STANDBY = "not_standby"
    LEFTOVER_SETPOINT = "leftover_setpoint"
    ZERO_OWED = "zero_owed"
    FOREIGN_SETPOINT = "foreign_setpoint"
    NO_ERROR = "no_error"
    RESET_TOO_SOON = "reset_too_soon"
    RESET_UNDER_WAY = "reset_under_way"
    TOTAL_AND_PHASES = "total_and_phases"
    NO_POWER_GIVEN = "no_power_given"
    PHASES_NOT_IN_USE = "phases_not_in_use"


class Failure(StrEnum):
    """The reason why a command that was sent failed."""

    WRITE_FAILED = "write_failed"
    """The device rejected the write."""
    NO_CONNECTION = "unreachable"
    NOT_RECORDED = "not_recorded"
    """The record on disk could not be written, so no power was sent."""
    RESET_NOT_TAKEN = "reset_not_taken"


class RefusedError(Exception):
    """A command that would be unsafe or impossible; nothing was written for it."""

    def __init__(self, reason: StrEnum) -> None:
        """Name the reason, a `Refusal` or a `Limit`."""
        super().__init__(reason)
        self.reason = reason


class OutOfRangeError(ValueError):
    """A value that is not a finite number within its permitted range; nothing was changed."""

    def __init__(self, field: str, minimum: float, maximum: float, unit: str = "") -> None:
        """Name the field and its range, both ends included, in `unit`."""
        super().__init__(f"{field} must be a finite number from {minimum:.15g} to {maximum:.15g} {unit}".rstrip())
        self.field = field
        self.minimum = minimum
        self.maximum = maximum
        self.unit = unit


class WriteFailedError(Exception):
    """A write that failed, was rejected by the device, or did not read back."""

    def __init__(self, reason: Failure = Failure.WRITE_FAILED) -> None:
        """Name the reason."""
        super().__init__(reason)
        self.reason = reason
