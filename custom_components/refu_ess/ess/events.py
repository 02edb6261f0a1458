"""Events of control: the kinds of things that users and automations are informed about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """The kind of an event; the event entity's types, texts and triggers are built from these."""

    LEASE_TAKEN = "lease_taken"
    LEASE_ENDED = "lease_ended"
    LEASE_INTERRUPTED = "lease_interrupted"
    """An earlier run ended without delivering zero; what was found at the start is in the details."""
    REFUSED = "refused"
    NOT_DELIVERED = "not_delivered"
    FOREIGN_WRITER = "foreign_writer"
    WRITE_FAILED = "write_failed"
    ZERO_UNPAID = "zero_unpaid"
    """The integration stopped before zero could be written."""
    ZERO_PAID = "zero_paid"
    """A zero that was owed by an earlier run has been delivered."""
    GUARD_ACTED = "guard_acted"
    GUARD_MISSING = "guard_missing"
    ERROR_RESET = "error_reset"
    RECOVERY = "recovery"


@dataclass(frozen=True)
class Event:
    """Something that users should know."""

    kind: EventKind
    details: Mapping[str, Any] = field(default_factory=dict)
