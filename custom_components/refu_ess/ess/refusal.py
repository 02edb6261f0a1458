"""Why something that was asked for is not done."""


class RefusedError(Exception):
    """What was asked for would be unsafe or impossible; nothing was written for it."""

    def __init__(self, reason: str) -> None:
        """Name the reason by its slug."""
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
    """A write was sent and failed, was refused by the device, or did not read back."""

    def __init__(self, reason: str = "write_failed") -> None:
        """Name the reason by its slug."""
        super().__init__(reason)
        self.reason = reason
