"""Calls listeners by what changed: an entity is called only if a key that it shows is in the picture's changes."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import NamedTuple, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator

from .const import log_name
from .ess import CONDITIONS, Picture, RefuEss

ANYTHING = ""
"""The key of listeners that name none."""


class Watcher(NamedTuple):
    """A listener and its place in the order of calls."""

    rank: int
    number: int
    call: CALLBACK_TYPE


class PictureCoordinator(DataUpdateCoordinator[Picture]):
    """Passes each picture of a device to its listeners; details before summaries (`Condition.rank`)."""

    def __init__(
        self, hass: HomeAssistant, logger: logging.Logger, entry: ConfigEntry, device: RefuEss, interval: timedelta
    ) -> None:
        """Store the device; nothing has been read yet."""
        super().__init__(hass, logger, config_entry=entry, name=log_name(entry.entry_id), update_interval=interval)
        self.device = device
        self.data = device.picture
        device.on_picture = self._take
        self._watchers: defaultdict[str, tuple[Watcher, ...]] = defaultdict(tuple)
        self._watchers_added = 0
        self._changed: set[str] = set()
        """The keys that changed since the listeners were last called."""
        self._polling = False

    @callback
    @override
    def async_add_listener(self, update_callback: CALLBACK_TYPE, context: Iterable[str] | None = None) -> CALLBACK_TYPE:
        """Call the listener when one of the keys in `context` changed, or when anything did if there is none."""
        keys = frozenset(context or (ANYTHING,))
        rank = max((CONDITIONS[key].rank for key in keys if key in CONDITIONS), default=0)
        self._watchers_added += 1
        watcher = Watcher(rank, self._watchers_added, update_callback)
        for key in keys:
            self._watchers[key] += (watcher,)
        # A partial takes less memory than a closure, and there are many listeners.
        return partial(self._stop, watcher, keys, super().async_add_listener(update_callback, context))

    @callback
    def _stop(self, watcher: Watcher, keys: Iterable[str], remove: CALLBACK_TYPE) -> None:
        for key in keys:
            self._watchers[key] = tuple(other for other in self._watchers[key] if other is not watcher)
        remove()

    @callback
    @override
    def async_update_listeners(self) -> None:
        """Call the listeners of changed keys; one that fails does not stop the others."""
        changed, self._changed = self._changed, set()
        if not changed:
            return
        changed.add(ANYTHING)
        watchers = {watcher for key in changed & self._watchers.keys() for watcher in self._watchers[key]}
        for watcher in sorted(watchers):
            try:
                watcher.call()
            except Exception:
                self.logger.exception("Unexpected error updating a listener of %s", self.name)

    @callback
    def async_changed(self, keys: Iterable[str]) -> None:
        """Call the listeners of these keys immediately; they are control states, which are not in the picture."""
        self._changed.update(keys)
        self.async_update_listeners()

    @callback
    def _take(self, picture: Picture) -> None:
        """Use a new picture; during a poll, the listeners are called when it is over."""
        self.data = picture
        self._changed |= picture.changed
        if not self._polling:
            self.async_update_listeners()

    @override
    async def _async_update_data(self) -> Picture:
        self._polling = True
        try:
            await self._async_poll()
        finally:
            self._polling = False
        return self.data

    async def _async_poll(self) -> None:
        """Poll the device. Raises `UpdateFailed`."""
        raise NotImplementedError

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        # The base class calls no listener when a poll fails as the one before did.
        self.async_update_listeners()
