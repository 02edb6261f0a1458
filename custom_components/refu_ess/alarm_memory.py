"""Keeps the memory of alarms on disk, and passes each change to the event entity once automations can react to it."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.start import async_at_started
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .alarm_texts import alarm_facts, async_load_texts
from .const import DOMAIN
from .describe import ALARM_CLEARED, ALARM_RAISED
from .ess import ALARMS, CHANGES_KEPT, ActiveAlarm, AlarmChange, AlarmLog, Picture, look
from .memory import async_load_stored
from .updates import PictureCoordinator

STORAGE_VERSION = 1
SAVE_DELAY_SECONDS = 10.0
"""Changes lost in a crash are detected again at the next start."""

type ChangeListener = Callable[[AlarmChange], None]


def event_type(change: AlarmChange) -> str:
    """Return the type of the event that reports a change."""
    return ALARM_RAISED if change.raised else ALARM_CLEARED


class AlarmMemory:
    """The memory of the alarms of one ESS, its file, and its listener."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Store the config entry that it belongs to."""
        self._hass = hass
        self._store = Store[dict[str, Any]](hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}.alarms")
        self._log = AlarmLog()
        self._saved: tuple[ActiveAlarm, ...] | None = None
        """The active alarms that are on disk, or soon will be; `None` if this run has written nothing yet."""
        self._saving = False
        self._coordinator: PictureCoordinator
        self._waiting: deque[AlarmChange] = deque(maxlen=CHANGES_KEPT)
        """Changes that the listener has not been called with yet."""
        self._listener: ChangeListener | None = None
        self._cancel_follow: CALLBACK_TYPE | None = None
        self._started = False

    async def async_load(self) -> None:
        """Read what was remembered, and the names of the alarms.

        Raises `ConfigEntryError` for a file of a newer release, `ConfigEntryNotReady` while it cannot be read.
        """
        await async_load_texts(self._hass)
        self._log = AlarmLog.from_dict(await async_load_stored(self._store))

    @callback
    def async_follow(self, coordinator: PictureCoordinator) -> None:
        """Compare the readings with the memory, now and with each picture."""
        self._coordinator = coordinator
        self._observe()
        self._cancel_follow = coordinator.async_add_listener(self._observe, [entry.key for entry in ALARMS])

    @callback
    def async_unfollow(self) -> None:
        """Stop comparing."""
        if self._cancel_follow is not None:
            self._cancel_follow()
            self._cancel_follow = None

    async def async_close(self) -> None:
        """Stop comparing and write the file, which the next run reads at once."""
        self.async_unfollow()
        await self._store.async_save(self._to_save())

    @property
    def _picture(self) -> Picture:
        return self._coordinator.data

    @callback
    def _observe(self) -> None:
        changes = self._log.observe(look(self._picture), dt_util.utcnow().timestamp())
        if changes or self._saved != self._log.active:
            self._saved = self._log.active
            if not self._saving:  # a store puts off its write with each new call, and an alarm may flap for hours
                self._saving = True
                self._store.async_delay_save(self._to_save, SAVE_DELAY_SECONDS)
        self._waiting.extend(changes)
        self._schedule_delivery()

    @callback
    def _to_save(self) -> dict[str, Any]:
        self._saving = False
        return self._log.as_dict()

    async def async_remove(self) -> None:
        """Delete everything stored."""
        await self._store.async_remove()

    # The listener

    @callback
    def async_listen(self, listener: ChangeListener) -> CALLBACK_TYPE:
        """Call `listener` with each change, beginning with those that are still waiting.

        Returns a function to unsubscribe. It is called after the entities have shown the picture that the change was
        seen in, and not before automations listen.
        """
        self._listener = listener

        @callback
        def started(_: HomeAssistant) -> None:
            self._started = True
            self._schedule_delivery()

        cancel_start = async_at_started(self._hass, started)

        @callback
        def stop() -> None:
            cancel_start()
            self._listener = None

        return stop

    @callback
    def _schedule_delivery(self) -> None:
        if self._waiting and self._listener is not None and self._started:
            self._hass.loop.call_soon(self._deliver)

    @callback
    def _deliver(self) -> None:
        while self._waiting and self._listener is not None:
            self._listener(self._waiting.popleft())

    # The memory as data

    def change_as_data(self, change: AlarmChange) -> dict[str, Any]:
        """Return a change with the facts of its alarm, times in ISO 8601 and durations in seconds."""
        return {
            **self._facts(change.key),
            "since": _iso(change.since),
            "duration": change.duration_s,
            "found_at_start": change.found_at_start,
            "snapshot": dict(change.snapshot),
        }

    def since(self, keys: Iterable[str]) -> list[str | None]:
        """Return since when these alarms are active, in ISO 8601; `None` for what is not remembered as active."""
        remembered = {alarm.key: _iso(alarm.since) for alarm in self._log.active}
        return [remembered.get(key) for key in keys]

    def as_data(self) -> dict[str, Any]:
        """Return the active alarms, the most severe first, and the history, the newest first.

        `complete` is false while some alarms cannot be read.
        """
        seen = look(self._picture)
        return {
            "complete": seen.unknown.isdisjoint(seen.possible),
            "active": [
                {
                    **self._facts(alarm.key),
                    "since": _iso(alarm.since),
                    "found_at_start": alarm.found_at_start,
                    "readable": alarm.key not in seen.unknown,
                }
                for alarm in self._log.active
            ],
            "history": [
                {
                    "event": event_type(change),
                    "at": _iso(change.at),
                    **self.change_as_data(change),
                }
                for change in reversed(self._log.history)
            ],
        }

    def _facts(self, key: str) -> dict[str, Any]:
        return alarm_facts(self._hass, key, self._coordinator.device.site.inverter_status_layout)


def _iso(timestamp: float) -> str:
    return dt_util.utc_from_timestamp(timestamp).isoformat(timespec="seconds")
