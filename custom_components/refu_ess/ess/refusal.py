"""Why something that was asked for is not done."""


class RefusedError(Exception):
    """What was asked for would be unsafe or impossible; nothing was written for it."""

    def __init__(self, reason: str) -> None:
        """Name the reason by its slug."""
        super().__init__(reason)
        self.reason = reason


class WriteFailedError(Exception):
    """A write was sent and failed, was refused by the device, or did not read back."""

    def __init__(self, reason: str = "write_failed") -> None:
        """Name the reason by its slug."""
        super().__init__(reason)
        self.reason = reason
