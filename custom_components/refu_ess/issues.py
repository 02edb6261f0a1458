"""Repair issues: what a user should decide or fix, and when it is resolved."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .commander import Commander
from .const import DOMAIN
from .ess import Event, EventKind, InverterStatusLayout, Power

ISSUE_LAYOUT = "inverter_status_layout"
ISSUE_HOLDS_POWER = "holds_power"
ISSUE_OTHER_SETPOINTS = "other_setpoints"
ISSUE_ZERO_OWED = "zero_owed"
ISSUE_FOREIGN_WRITER = EventKind.FOREIGN_WRITER.value
ISSUE_WRITE_FAILED = EventKind.WRITE_FAILED.value
ISSUE_GUARD_MISSING = EventKind.GUARD_MISSING.value
EVERY_ISSUE = (
    ISSUE_LAYOUT,
    ISSUE_HOLDS_POWER,
    ISSUE_OTHER_SETPOINTS,
    ISSUE_ZERO_OWED,
    ISSUE_FOREIGN_WRITER,
    ISSUE_WRITE_FAILED,
    ISSUE_GUARD_MISSING,
)
OF_EVENTS = (ISSUE_FOREIGN_WRITER, ISSUE_WRITE_FAILED, ISSUE_GUARD_MISSING)
"""Issues that an event raises; the next successful command resolves them."""
FIXABLE = (ISSUE_LAYOUT, ISSUE_HOLDS_POWER)
ZERO_OWED_AFTER_SECONDS = 5.0
"""A single lost request does not justify an issue."""


def issue_id(kind: str, entry: ConfigEntry) -> str:
    """Return the id of an issue of one ESS."""
    return f"{kind}_{entry.entry_id}"


class Issues:
    """Decides which issues one ESS has."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, commander: Commander) -> None:
        """Subscribe to the events of control."""
        self._hass = hass
        self._entry = entry
        self._controller = commander.controller
        self._held_at_start: Power | None = None
        self._owed_since: float | None = None
        self._given_up = False
        """The integration stopped before zero was written; what was shown for that stays."""
        self._shown: dict[str, dict[str, str] | None] = {}
        """The details of the issues shown last, by kind; `None` for a deleted issue."""
        self._seen: tuple[object, ...] = ()
        """The inputs of the last check. The same inputs change nothing, unless time counts or an event came between."""
        commander.async_listen(self._event)

    @callback
    def async_update(self) -> None:
        """Show unresolved issues, and delete resolved ones."""
        controller = self._controller
        owed, seen = controller.lease.debt is not None, (controller.device.picture.exposure, controller.lease)
        if seen == self._seen and not owed:
            return
        self._seen = seen
        suggested: InverterStatusLayout | None = controller.device.suggested_layout
        self._show(ISSUE_LAYOUT, None if suggested is None else {"layout": suggested.slug})
        held, other_setpoints_zero = controller.held, controller.other_setpoints_zero
        # A debt of an earlier run may be owed to the other set of setpoints, and is looked at first.
        if self._held_at_start is None and held is not None and controller.lease.phases == controller.phases:
            self._held_at_start = held
        if controller.read_only or self._given_up:
            return
        if other_setpoints_zero is not None:
            self._show(ISSUE_OTHER_SETPOINTS, None if other_setpoints_zero else {})
        self._show_zero_owed(owed=owed)
        if held is not None:
            nobodys = controller.lease.lease is None and not owed and held == self._held_at_start
            self._show_held_power(held if nobodys else None)

    def _show_zero_owed(self, *, owed: bool) -> None:
        now = self._hass.loop.time()
        if not owed:
            self._owed_since = None
        elif self._owed_since is None:
            self._owed_since = now
        late = self._owed_since is not None and now - self._owed_since >= ZERO_OWED_AFTER_SECONDS
        self._show(ISSUE_ZERO_OWED, {} if late else None)

    def _show_held_power(self, held: Power | None) -> None:
        details = None
        if held is not None and not held.is_zero:
            details = {"power": f"{held.total_active_w:.0f}", "reactive_power": f"{held.total_reactive_var:.0f}"}
        self._show(ISSUE_HOLDS_POWER, details)

    @callback
    def _event(self, event: Event) -> None:
        self._seen = ()
        if event.kind in OF_EVENTS:
            self._show(event.kind.value, {key: _text(value) for key, value in event.details.items()})
        elif event.kind is EventKind.ZERO_UNPAID and self._controller.closed:
            self._given_up = True
            self._show(ISSUE_ZERO_OWED, {})
        elif event.kind is EventKind.LEASE_TAKEN or (
            event.kind is EventKind.LEASE_ENDED and event.details["reason"] == "released"
        ):
            for kind in OF_EVENTS:
                if kind != ISSUE_GUARD_MISSING:
                    self._show(kind, None)

    def _show(self, kind: str, details: dict[str, str] | None) -> None:
        """Show an issue with these details, or delete it if there are none; only on a change."""
        if kind in self._shown and details == self._shown[kind]:
            return
        self._shown[kind] = details
        if details is None:
            ir.async_delete_issue(self._hass, DOMAIN, issue_id(kind, self._entry))
        else:
            self._create(kind, details)

    def _create(self, kind: str, details: dict[str, str]) -> None:
        is_owed = kind == ISSUE_ZERO_OWED
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id(kind, self._entry),
            data={"entry_id": self._entry.entry_id, **details} if kind in FIXABLE else None,
            is_fixable=kind in FIXABLE,
            is_persistent=is_owed,
            severity=ir.IssueSeverity.ERROR if is_owed else ir.IssueSeverity.WARNING,
            translation_key=f"{kind}_{details['layout']}" if kind == ISSUE_LAYOUT else kind,
            translation_placeholders={"name": self._entry.title, **details},
        )

    @callback
    def async_rename(self) -> None:
        """Show the issues under the present title of the entry."""
        for kind, details in self._shown.items():
            if details is not None:
                self._create(kind, details)


def _text(value: object) -> str:
    if value is None:
        return "?"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


@callback
def async_delete_issues(hass: HomeAssistant, entry: ConfigEntry, *, zero_owed: bool) -> None:
    """Delete the issues of an ESS that is removed, but not that of a `zero_owed`: the device may still hold power."""
    for kind in EVERY_ISSUE:
        if kind != ISSUE_ZERO_OWED or not zero_owed:
            ir.async_delete_issue(hass, DOMAIN, issue_id(kind, entry))
