"""The lease on power and the zero that it leaves as a debt: a pure state machine.

Every function takes a state and what happened and returns the next state, some with the actions to carry out. No
clock, no wire. Times are seconds of the monotonic clock unless they are a `Moment`.

- A setpoint on the device is ours until proven otherwise: every value attempted in the last seconds, and everything
  between it and zero, may be ours.
- However a lease ends, zero is owed. The debt is paid when zero was acknowledged and, where the registers can be read,
  read back.
- A foreign writer is a value outside that range which is seen over at least `FOREIGN_AFTER_S`. Only then is the lease
  released.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from .events import EventKind
from .limit import Limit
from .moment import Moment
from .power import Decision
from .reading import Reading
from .setpoint import STEP, Envelope, Power

ATTEMPT_MEMORY_S = 10.0
"""A device may show a write this long after it was sent."""
FOREIGN_AFTER_S = 5.0
FOREIGN_SIGHTINGS = 3
"""Readings with a foreign value that are needed at least; single ones may be torn or late."""
SIGHTINGS_APART_S = 10.0
"""A foreign value that is not seen again for this long starts a new count."""
SETTLED_AFTER_S = 4.0
"""Seconds after which a device that follows its setpoint registers has shown a write."""
INTERRUPTED_AFTER_S = 10.0
"""Without a cycle for this long a lease has lost its control: the process hung or the computer slept."""
NOT_DELIVERED_AFTER_S = 15.0
NOT_DELIVERED_TOLERANCE_W = 2000.0
NOT_DELIVERED_SHARE = 0.1


class End(StrEnum):
    """Reasons for the end of a lease."""

    RELEASED = "released"
    EXPIRED = "expired"
    FAULT = "fault"
    STALE_DATA = "stale_data"
    SYSTEM_STATE = "system_state"
    OTHER_SETPOINTS = "other_setpoints"
    FOREIGN_WRITER = "foreign_writer"
    WRITE_FAILED = "write_failed"
    STOPPED = "stopped"
    OPERATION_MODE = "operation_mode"
    INTERRUPTED = "interrupted"
    GUARD_ACTED = "guard_acted"
    SHUT_DOWN = "shut_down"


ENDS: Mapping[Limit, End] = {
    Limit.STALE_DATA: End.STALE_DATA,
    Limit.FAULT: End.FAULT,
    Limit.SYSTEM_STATE: End.SYSTEM_STATE,
    Limit.OTHER_SETPOINTS: End.OTHER_SETPOINTS,
}
"""Limits that end a lease: power must not come back without a command when they are over."""
REFUSES = frozenset(ENDS) | {
    Limit.BATTERY_STATE,
    Limit.BATTERY_MODE,
    Limit.OPERATION_MODE,
    Limit.STOP_REQUEST,
    Limit.NOT_READY,
    Limit.MAINS,
}
"""Limits that refuse a new lease: nothing at all could be delivered."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A request for power with an owner and an end."""

    asked: Power
    owner: str
    ends: Moment


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A setpoint that was sent once or several times in a row, whether or not answers came."""

    power: Power
    first: float
    last: float
    acknowledged_at: float | None = None
    """When it was acknowledged since it was sent last, `None` if it has not been yet."""


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """Readings with a foreign setpoint."""

    first: float
    last: float
    count: int = 1

    @property
    def proven(self) -> bool:
        """Return whether another system is writing, beyond doubt."""
        return self.count >= FOREIGN_SIGHTINGS and self.last - self.first >= FOREIGN_AFTER_S


@dataclass(frozen=True, kw_only=True)
class Debt:
    """A zero that is owed, and the setpoints on the device that it is owed for."""

    ours: Envelope
    restored: bool = False
    """It is owed by an earlier run."""
    known: bool = True
    """The range of `ours` is known; a record that could not be read leaves it open."""
    zero_since: float | None = None
    """When a restored debt was first found to be zero already; the last write of the earlier run may yet show."""
    let_go: bool = False
    """Another system is writing some of the setpoints; zero is owed for the others only."""


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of the machine."""

    phases: int
    lease: Lease | None = None
    debt: Debt | None = None
    attempts: tuple[Attempt, ...] = ()
    """The latest, and those before it that the device may still show."""
    sightings: Sightings | None = None
    seen_at: float = 0.0
    """When the newest reading of the setpoints that was judged was asked for."""
    ticked_at: Moment | None = None
    """The last cycle of the lease in force."""
    deviating_since: float | None = None
    decision: Decision
    last_end: End | None = None
    reported: Limit | None = None
    """The failure to deliver that was reported for this lease."""
    repaid: bool = False
    """Zero was written once more after the debt was paid, since a late value had appeared."""

    @property
    def settled(self) -> bool:
        """Return whether nothing is held or owed, and no late effect of a write is to be expected."""
        return self.lease is None and self.debt is None and not self.attempts

    @property
    def sent(self) -> Power | None:
        """The setpoint that was attempted last, `None` if that is long ago."""
        return self.attempts[-1].power if self.attempts else None

    @property
    def zero_acknowledged(self) -> bool:
        """Return whether the last attempt was zero, and the device acknowledged it."""
        return bool(self.attempts) and self.attempts[-1].power.is_zero and self.attempts[-1].acknowledged_at is not None

    @property
    def let_go(self) -> bool:
        """Return whether zero is owed only for what another system does not write."""
        return self.debt is not None and self.debt.let_go

    @property
    def may_show_power(self) -> bool:
        """Return whether the device may yet show power that was attempted."""
        return any(not one.power.is_zero for one in self.attempts)

    def ours(self) -> Envelope:
        """The setpoints that may be ours."""
        found = Envelope.zero(self.phases) if self.debt is None else self.debt.ours
        for attempt in self.attempts:
            found = found.widened(attempt.power)
        return found


@dataclass(frozen=True)
class Send:
    """Write this setpoint."""

    power: Power


@dataclass(frozen=True)
class Report:
    """Inform users."""

    kind: EventKind
    details: Mapping[str, Any] = field(default_factory=dict)


type Action = Send | Report


def idle(phases: int) -> State:
    """The state in which nothing is held or owed."""
    return State(phases=phases, decision=nothing(phases))


def nothing(phases: int) -> Decision:
    """The decision while nothing is requested."""
    return Decision(Power.zero(phases), Limit.NOTHING_ASKED)


# Commands


def take(state: State, lease: Lease, decision: Decision, now: Moment) -> State:
    """Acquire the lease or replace the one in force. The foreign-writer watch goes on, and debts become part of it."""
    attempts = state.attempts
    if state.debt is not None:  # whatever of ours may still be on the device stays ours
        attempts = (*_corners(state.debt.ours, now.monotonic), *attempts)
    return replace(
        state,
        lease=lease,
        debt=None,
        attempts=attempts,
        decision=decision,
        ticked_at=now,
        deviating_since=None,
        reported=None,
    )


def _corners(envelope: Envelope, at: float) -> tuple[Attempt, ...]:
    half = len(envelope.lower) // 2
    return tuple(
        Attempt(power=Power(edge[:half], edge[half:]), first=at, last=at) for edge in (envelope.lower, envelope.upper)
    )


def end(state: State, reason: End, held: Power | None = None) -> tuple[State, tuple[Action, ...]]:
    """End the lease if there is one. Zero is owed for whatever may be ours, and sent.

    `held` is a setpoint on the device that a user wants to be zero too, whoever wrote it.
    """
    ours = state.ours() if held is None else state.ours().widened(held)
    ended = replace(state, debt=Debt(ours=ours), decision=nothing(state.phases), sightings=None, repaid=False)
    reports: tuple[Action, ...] = ()
    if state.lease is not None:
        reports = (Report(EventKind.LEASE_ENDED, {"reason": reason.value, "owner": state.lease.owner}),)
        ended = replace(ended, lease=None, last_end=reason)
    return ended, (Send(Power.zero(state.phases)), *reports)


def restore(state: State, ours: Envelope | None) -> State:
    """Begin with the debt of an earlier run; `None` is one of unknown size."""
    return replace(state, debt=Debt(ours=ours or Envelope.zero(state.phases), restored=True, known=ours is not None))


# What happened to a write


def attempted(state: State, power: Power, now: float) -> State:
    """Note a setpoint before it is sent: from here on the device may hold it."""
    acknowledged = [index for index, one in enumerate(state.attempts) if one.acknowledged_at is not None]
    # Earlier ones than the last that was acknowledged are over once they are old.
    latest = acknowledged[-1] if acknowledged else 0
    kept = [one for index, one in enumerate(state.attempts) if index >= latest or now - one.last < ATTEMPT_MEMORY_S]
    if kept and kept[-1].power == power:
        return replace(state, attempts=(*kept[:-1], replace(kept[-1], last=now, acknowledged_at=None)))
    return replace(state, attempts=(*kept, Attempt(power=power, first=now, last=now)))


def acknowledged(state: State, power: Power, now: float) -> State:
    """Note that the device acknowledged a setpoint; one that is no longer the latest attempt proves nothing."""
    if state.sent != power:
        return state
    *before, latest = state.attempts
    return replace(state, attempts=(*before, replace(latest, acknowledged_at=now)))


# The cycle


def tick(
    state: State, reading: Reading, decision: Decision | None, now: Moment, *, guard_acted: bool = False
) -> tuple[State, tuple[Action, ...]]:
    """Judge a reading and return what to do. `decision` is the one for the lease in force, `None` without one."""
    state, reports = _judge(state, reading)
    if state.lease is not None and decision is not None:
        state, actions = _run_lease(state, state.lease, reading, decision, now, guard_acted=guard_acted)
    elif state.debt is not None:
        state, actions = _pay(state, state.debt, reading)
    else:
        state, actions = _rest(state, reading, now.monotonic)
    return state, (*reports, *actions)


def _judge(state: State, reading: Reading) -> tuple[State, tuple[Action, ...]]:
    """Look for another writer in a new reading of the setpoints."""
    if reading.held is None or reading.held_asked_at <= state.seen_at:
        return state, ()
    state = replace(state, seen_at=reading.held_asked_at)
    if state.lease is None and state.debt is None:
        return replace(state, sightings=None), ()
    if state.let_go or (state.debt is not None and not state.debt.known):
        return state, ()
    if state.ours().covers(reading.held):
        return state, ()
    sightings = state.sightings
    if sightings is None or reading.held_asked_at - sightings.last > SIGHTINGS_APART_S:
        sightings = Sightings(first=reading.held_asked_at, last=reading.held_asked_at)
    else:
        sightings = replace(sightings, last=reading.held_asked_at, count=sightings.count + 1)
    state = replace(state, sightings=sightings)
    if not sightings.proven:
        return state, ()
    return _let_go(state, reading.held)


def _let_go(state: State, held: Power) -> tuple[State, tuple[Action, ...]]:
    """Another system is writing: nothing is held or owed any longer, and nothing is written.

    The attempts stay for a while, since a late one of ours may yet take the place of the other system's setpoint. If
    it writes only some of the setpoints, one more zero is owed for the others: no other system would reset them.
    """
    reports: tuple[Action, ...] = (
        Report(
            EventKind.FOREIGN_WRITER,
            {"held": held.total_active_w, "sent": _total(state.sent)},
        ),
    )
    if state.lease is not None:
        details = {"reason": End.FOREIGN_WRITER.value, "owner": state.lease.owner}
        reports = (Report(EventKind.LEASE_ENDED, details), *reports)
        state = replace(state, last_end=End.FOREIGN_WRITER)
    ours = state.ours()
    debt = Debt(ours=ours, let_go=True) if ours.lingers(held) else None
    free = replace(idle(state.phases), debt=debt, attempts=state.attempts, seen_at=state.seen_at)
    return replace(free, last_end=state.last_end), reports


def _run_lease(
    state: State, lease: Lease, reading: Reading, decision: Decision, now: Moment, *, guard_acted: bool
) -> tuple[State, tuple[Action, ...]]:
    """Continue the lease, or end it."""
    gap = state.ticked_at is not None and now.since(state.ticked_at) >= INTERRUPTED_AFTER_S
    reasons = (
        (End.GUARD_ACTED, guard_acted),
        (End.EXPIRED, now.reached(lease.ends)),
        (End.INTERRUPTED, gap),
        (ENDS.get(decision.limit), decision.limit in ENDS),
    )
    reason = next((reason for reason, applies in reasons if applies), None)
    if reason is not None:
        return end(state, reason)
    state = replace(state, ticked_at=now)
    if not reading.reachable:
        return state, ()  # lost only recently: nothing decided on stale data is sent
    state = replace(_note_delivery(state, reading, now.monotonic), decision=decision)
    limit = limit_of(state, reading, now.monotonic)
    reports: tuple[Action, ...] = ()
    if limit in {Limit.NOT_DELIVERED, Limit.REDUCED_BY_DEVICE} and state.reported is not limit:
        state = replace(state, reported=limit)
        details = {"reason": limit.value, "sent": decision.power.total_active_w, "measured": reading.active_power_w}
        reports = (Report(EventKind.NOT_DELIVERED, details),)
    return state, (Send(decision.power), *reports)


def _note_delivery(state: State, reading: Reading, now: float) -> State:
    sent = state.decision.power.total_active_w
    allowance = max(NOT_DELIVERED_TOLERANCE_W, NOT_DELIVERED_SHARE * abs(sent))
    if reading.active_power_w is None or abs(reading.active_power_w - sent) <= allowance:
        return replace(state, deviating_since=None)
    return state if state.deviating_since is not None else replace(state, deviating_since=now)


def limit_of(state: State, reading: Reading, now: float) -> Limit:
    """The limit in force, with what the device itself takes away from a setpoint."""
    if (limit := sure_limit(state)) is not None:
        return limit
    latest = state.attempts[-1]
    if (
        reading.held is not None
        and reading.held_asked_at - latest.first > SETTLED_AFTER_S
        and not _follows(reading.held, latest.power)
        and Envelope.zero(state.phases).widened(latest.power).covers(reading.held)
    ):
        return Limit.REDUCED_BY_DEVICE
    if state.deviating_since is not None and now - state.deviating_since > NOT_DELIVERED_AFTER_S:
        return Limit.NOT_DELIVERED
    return Limit.NONE


def sure_limit(state: State) -> Limit | None:
    """The limit in force where no reading can add one, else `None`."""
    if state.debt is not None and not state.zero_acknowledged:
        return Limit.ZERO_OWED
    limit = state.decision.limit
    return limit if state.lease is None or limit is not Limit.NONE or not state.attempts else None


def _follows(held: Power, sent: Power) -> bool:
    """Return whether a readback is what was sent, but for one step of rounding."""
    return all(abs(one - other) <= STEP for one, other in zip(held.values, sent.values, strict=True))


def _pay(state: State, debt: Debt, reading: Reading) -> tuple[State, tuple[Action, ...]]:
    """Pay the owed zero, or find that it is delivered."""
    zero = Power.zero(state.phases)
    latest = state.attempts[-1] if state.attempts else None
    if latest is None and debt.restored:
        return _pay_restored(state, debt, reading)
    if latest is None or latest.power != zero or latest.acknowledged_at is None:
        return state, (Send(zero),)
    if reading.held is None:
        delivered = reading.held_unreadable and reading.reachable
    elif reading.held_asked_at < latest.acknowledged_at:
        delivered = False
    elif reading.held != zero and not debt.let_go and not debt.ours.lingers(reading.held):
        return state, ()  # one zero is not a fight: a value that is not ours is watched until it is proven foreign
    else:
        delivered = not debt.ours.lingers(reading.held)
    if not delivered:
        return state, (Send(zero),)
    return replace(state, debt=None), (Report(EventKind.ZERO_PAID, {"found": "ours"}),) if debt.restored else ()


def _pay_restored(state: State, debt: Debt, reading: Reading) -> tuple[State, tuple[Action, ...]]:
    """Compare the debt of an earlier run with the device before anything is written."""
    zero = Power.zero(state.phases)
    if reading.held is None and not (reading.held_unreadable and reading.reachable):
        return state, ()
    if reading.held == zero:
        since = reading.held_asked_at if debt.zero_since is None else debt.zero_since
        if reading.held_asked_at - since < SETTLED_AFTER_S:
            return replace(state, debt=replace(debt, zero_since=since)), ()
        return replace(state, debt=None), (Report(EventKind.ZERO_PAID, {"found": "zero"}),)
    if not debt.known:
        return replace(state, debt=None), (Report(EventKind.ZERO_UNPAID, {"held": _total(reading.held)}),)
    if reading.held is None or debt.ours.covers(reading.held):
        return state, (Send(zero),)  # in doubt, zero is written
    return state, ()  # not ours by the first look; a few more prove it, and meanwhile nothing is written


def _total(power: Power | None) -> float | None:
    return None if power is None else power.total_active_w


def _rest(state: State, reading: Reading, now: float) -> tuple[State, tuple[Action, ...]]:
    """Watch for a late effect of the last writes, for as long as one is to be expected."""
    if not state.attempts:
        return state, ()
    if state.repaid or reading.held is None or not state.ours().lingers(reading.held):
        recent = tuple(one for one in state.attempts if now - one.last < ATTEMPT_MEMORY_S)
        return replace(state, attempts=recent), ()
    return replace(state, debt=Debt(ours=state.ours()), repaid=True), (Send(Power.zero(state.phases)),)
