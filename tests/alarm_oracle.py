"""Which alarms changed, by the register map alone: it knows nothing of the integration, only words that were served."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .registers import REGISTER_MAP as MAP


class Alarm(NamedTuple):
    """An alarm by its place in the channel table."""

    word: str
    bit: int


class Change(NamedTuple):
    """An alarm that came or went."""

    raised: bool
    alarm: Alarm


SEVERITIES: Mapping[Alarm, str] = {
    Alarm(channel["name"], label["bit"]): label["severity"]
    for channel in MAP["channels"]
    for label in channel.get("labels") or ()
    if label.get("severity") in {"fault", "warning", "ready"}
}
"""Every alarm with its severity; what is only information is none."""
ADDRESSES: Mapping[str, int] = {
    channel["name"]: channel["address"] for channel in MAP["channels"] if channel["table"] == "input"
}
LABELLED_BITS = sum("bit" in label for channel in MAP["channels"] for label in channel.get("labels") or ())
SMOKE = Alarm("BatteryFault10", 7)


def is_active(alarm: Alarm, words: Mapping[int, int]) -> bool:
    """Return whether these words raise an alarm: its bit is set or, for readiness, not set."""
    is_set = bool(words[ADDRESSES[alarm.word]] >> alarm.bit & 1)
    return is_set is not (SEVERITIES[alarm] == "ready")


def changes(before: Mapping[int, int], after: Mapping[int, int]) -> set[Change]:
    """Return what differs between two readings, as far as both have the words."""
    common = before.keys() & after.keys()
    found = set()
    for alarm in SEVERITIES:
        if ADDRESSES[alarm.word] in common and is_active(alarm, before) is not is_active(alarm, after):
            found.add(Change(is_active(alarm, after), alarm))
    return found


def of_each(served: Iterable[Mapping[int, int]]) -> list[set[Change]]:
    """Return the changes that each answer of a device brought, whichever registers it was about."""
    known: dict[int, int] = {}
    found = []
    for words in served:
        after = {**known, **words}
        found.append(changes(known, after))
        known = after
    return found


def rank(alarm: Alarm) -> tuple[bool, int]:
    """Return the place of an alarm in the order of severity: smoke, faults, warnings, what is not ready."""
    return alarm != SMOKE, ["fault", "warning", "ready"].index(SEVERITIES[alarm])
