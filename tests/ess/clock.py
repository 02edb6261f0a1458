"""Time for tests of the device package."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from custom_components.refu_ess.ess import Moment


class Clock:
    """A manually advanced clock: both clocks advance unless one is stopped."""

    def __init__(self) -> None:
        """Start at an arbitrary time."""
        self.now = 1000.0
        self.ahead = 1_800_000_000.0
        """Seconds that the clock on the wall is ahead."""

    def __call__(self) -> float:
        """The monotonic time in seconds."""
        return self.now

    def moment(self) -> Moment:
        """The time on both clocks."""
        return Moment(self.now, self.now + self.ahead)

    @contextmanager
    def pauses(self) -> Iterator[None]:
        """Let this clock go by instead of sleeping."""

        async def sleep(seconds: float) -> None:
            self.now += seconds

        with patch.object(asyncio, "sleep", sleep):
            yield
