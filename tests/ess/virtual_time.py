"""An event loop whose time goes by only while it has nothing else to do."""

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeping takes no time of the machine's, and deadlines come when everything before them is done."""

    _now = 1000.0

    def time(self) -> float:
        """The time in seconds."""
        return self._now

    def _run_once(self) -> None:
        """Go on to the next timer if nothing else is to be done."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        if scheduled and not self._ready:  # type: ignore[attr-defined]
            self._now = max(self._now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.run_until_complete(coroutine)
