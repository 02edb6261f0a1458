"""The guard process as control uses it, and a stand-in for none."""

from typing import Protocol


class Guard(Protocol):
    """The process that writes zero if this one dies or hangs while power is commanded."""

    @property
    def acted(self) -> object | None:
        """The report of a guard that has acted, `None` if none has."""

    async def async_start(self) -> bool:
        """Start it unless it runs; returns whether it does."""

    def beat(self) -> None:
        """Show that this process is alive."""

    async def async_paid(self) -> None:
        """End it: zero was delivered."""

    def abandon(self) -> None:
        """Leave the zero to it."""


class NoGuard:
    """Stands for a guard that is switched off."""

    acted = None

    async def async_start(self) -> bool:
        """Nothing is missing."""
        return True

    def beat(self) -> None:
        """Do nothing."""

    async def async_paid(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""
