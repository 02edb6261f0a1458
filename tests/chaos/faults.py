"""Every fault, one line each: what the simulator is told, on which transports, and for how long."""

from dataclasses import dataclass
from typing import Any

from tests.registers import (
    ACTIVE_SETPOINT,
    BATTERY_ADDRESSES,
    DISCHARGE_ENERGY,
    OPERATION_MODE,
    REACTIVE_SETPOINT_L1,
    STATUS_ADDRESSES,
    WORK_STATE,
)

FOLDER_VARIABLE = "REFU_ESS_FAULTS"
"""The environment variable that names the folder for the results; with it, every case is run."""

COMMAND_ADDRESSES = range(WORK_STATE, OPERATION_MODE + 1)
SETPOINT_ADDRESSES = range(ACTIVE_SETPOINT, REACTIVE_SETPOINT_L1 + 3)
TCP, RTU_OVER_TCP, SERIAL = "tcp", "rtu_over_tcp", "serial"
TRANSPORTS = (TCP, RTU_OVER_TCP, SERIAL)
NETWORK, RTU = (TCP, RTU_OVER_TCP), (RTU_OVER_TCP, SERIAL)
LINKS = ("private", "shared")
LOADS = ("idle", "held")

LASTS_S = 12.0
"""Longer than a reading may be old, and than a request that is repeated may take."""
MINUTE_S = 60.0
REBOOT_S = 4.0

type Command = dict[str, Any]


@dataclass(frozen=True)
class OfTimeout:
    """A time in units of the timeout of a request."""

    factor: float


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Commands to the simulator."""

    key: str
    title: str
    do: tuple[Command, ...]
    on: tuple[str, ...] = TRANSPORTS
    loads: tuple[str, ...] = LOADS
    lasts_s: float = LASTS_S
    """0 for what happens in a moment and needs no remedy; recovery then counts from there."""
    from_start: bool = False
    """It is there before the integration is set up."""


def fault(key: str, title: str, *do: Command, **more: Any) -> Fault:
    """Declare a fault."""
    return Fault(key=key, title=title, do=do, **more)


def to(name: str, **arguments: Any) -> Command:
    """Return a command of the simulator."""
    return {"do": name, **arguments}


def _on(name: str, addresses: range) -> Command:
    """Return a command of the simulator about these addresses."""
    return to(name, **{"from": addresses.start, "to": addresses.stop - 1})


def _disturbed(how: str, title: str, **more: Any) -> Fault:
    return fault(how, title, to("disturb", how=how), **more)


EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target failed to respond",
}
LONG = {5, 6}
"""Exceptions that ask for patience, and so are given a minute of it."""

FAULTS = (
    # Connections
    fault("refused", "Connections are refused", to("unplug"), on=NETWORK),
    fault("adapter", "The serial adapter is pulled", to("unplug"), on=(SERIAL,)),
    fault("closed", "Connections are closed as soon as they are made", to("drop"), to("refuse"), on=NETWORK),
    fault("reset", "Each request is met by a reset", to("reset"), on=NETWORK),
    fault("drop", "The connection is closed between two polls", to("drop"), on=NETWORK, lasts_s=0),
    fault("silence_accept", "Silence after a connection is accepted", to("drop"), to("silence"), on=NETWORK),
    fault("silence", "Silence after a request", to("silence")),
    fault("half_open", "Half-open: the connection is dead, a new one works", to("half_open"), on=NETWORK, lasts_s=0),
    fault("vanish", "The peer vanishes without FIN", to("vanish"), on=NETWORK),
    fault(
        "one_client",
        "A gateway for one client counts our dead connection",
        to("clients", most=1),
        to("half_open"),
        on=NETWORK,
        lasts_s=0,
    ),
    fault("taken", "A gateway for one client serves another one", to("clients", most=0), to("drop"), on=NETWORK),
    # Time
    fault("late", "Answers just within the timeout", to("delay", seconds=OfTimeout(0.9))),
    fault("too_late", "Answers just after the timeout", to("delay", seconds=OfTimeout(1.1))),
    fault("much_too_late", "Answers after two timeouts and a half", to("delay", seconds=OfTimeout(2.5))),
    # Frames
    _disturbed("garbage", "Garbage instead of an answer"),
    _disturbed("garbage_before", "Garbage before a good answer"),
    _disturbed("garbage_after", "Garbage after a good answer"),
    _disturbed("short_frame", "Half of an answer"),
    _disturbed("missing_bytes", "Two bytes of an answer are missing"),
    _disturbed("too_many_words", "More registers than were asked for"),
    _disturbed("twice", "The answer twice in one segment"),
    _disturbed("in_pieces", "The answer in five segments"),
    fault("lagging", "The answer to the request before", to("lagging")),
    _disturbed("wrong_transaction", "Wrong transaction ID", on=(TCP,)),
    _disturbed("wrong_unit", "Wrong unit ID"),
    _disturbed("wrong_function", "Wrong function code"),
    _disturbed("wrong_byte_count", "Wrong byte count"),
    _disturbed("wrong_checksum", "Wrong checksum", on=RTU),
    # Exceptions
    *(
        fault(
            f"exception_{code}",
            f"Exception {code}, {name}" + (", for a minute" if code in LONG else ""),
            to("exception", code=code),
            lasts_s=MINUTE_S if code in LONG else LASTS_S,
        )
        for code, name in EXCEPTIONS.items()
    ),
    # Blocks
    fault("no_status", "The status registers are refused", _on("refuse_block", STATUS_ADDRESSES)),
    fault("no_battery", "The battery registers are refused", _on("refuse_block", BATTERY_ADDRESSES)),
    fault(
        "no_setpoints",
        "The setpoint registers are refused, always",
        _on("refuse_block", SETPOINT_ADDRESSES),
        from_start=True,
    ),
    fault(
        "silent_setpoints",
        "The setpoint registers cannot be read: silence, always",
        _on("silent_block", SETPOINT_ADDRESSES),
        from_start=True,
    ),
    fault(
        "silent_commands",
        "Work state, reset and mode cannot be read: silence, always",
        _on("silent_block", COMMAND_ADDRESSES),
        from_start=True,
    ),
    # The device
    fault("reboot_read", "The device reboots during a read", to("reboot", during="read", seconds=REBOOT_S)),
    fault(
        "reboot_write",
        "The device reboots during a write",
        to("reboot", during="write", seconds=REBOOT_S),
        loads=("held",),
    ),
    fault(
        "reboot_keeps",
        "The same, and it keeps its setpoint",
        to("reboot", during="write", seconds=REBOOT_S, keeps=True),
        loads=("held",),
    ),
    fault("ffff", "65535 in every register", to("flood", word=0xFFFF)),
    fault("falls", "An energy counter falls to 5 kWh", to("value", key="battery_discharge_energy", value=5)),
    fault("wraps", "The low word of a counter wraps", to("raw", address=DISCHARGE_ENERGY, word=0)),
    fault("stale", "Answers hold the values of a minute ago", to("age", seconds=MINUTE_S), lasts_s=MINUTE_S),
)


@dataclass(frozen=True)
class Case:
    """A fault on one transport and link, with or without power held."""

    fault: Fault
    transport: str
    link: str
    load: str

    @property
    def key(self) -> str:
        """A name for files and test ids."""
        return f"{self.fault.key}-{self.transport}-{self.link}-{self.load}"


CASES = tuple(
    Case(one, transport, link, load) for one in FAULTS for transport in one.on for link in LINKS for load in one.loads
)
