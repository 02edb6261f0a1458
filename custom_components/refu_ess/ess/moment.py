"""The two clocks: one that never jumps but may stand still while the computer sleeps, and the one on the wall."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """A point in time on both clocks, in seconds."""

    monotonic: float
    wall: float
    """Seconds since 1970."""

    def after(self, seconds: float) -> Moment:
        """The moment `seconds` later."""
        return Moment(self.monotonic + seconds, self.wall + seconds)

    def reached(self, end: Moment) -> bool:
        """Return whether `end` has come on either clock, so that sleep or a wrong clock never lengthens a wait."""
        return self.monotonic >= end.monotonic or self.wall >= end.wall

    def since(self, start: Moment) -> float:
        """Seconds since `start`, on the clock that counted more."""
        return max(self.monotonic - start.monotonic, self.wall - start.wall)
