"""Facts about channels and bits other than their address.

Each channel and each labelled bit is declared on one line of `status.py`, `battery.py`, `settings.py`,
`site.py` or `derived.py`. Everything that lists channels or bits reads those lines through `catalogue.py`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from modbus_connection.model import PackedBitField, RegisterField, bit


class Role(Enum):
    """The importance of a channel to an owner."""

    MAIN = "main"
    """Of everyday interest."""
    EXTRA = "extra"
    """A measurement that few owners need."""
    DETAIL = "detail"
    """Health or state of the system."""
    EXPERT = "expert"
    """Of use only to readers who know the device's internals."""
    TOTAL = "total"
    """An energy counter."""


class Part(Enum):
    """The part of the system that a channel or bit belongs to."""

    ESS = "ess"
    BATTERY = "battery"
    DCDC = "dcdc"


class Severity(Enum):
    """The meaning of a set bit, worst first."""

    FAULT = "fault"
    WARNING = "warning"
    READY = "ready"
    """1 is normal; 0 is the condition to report."""
    INFO = "info"


class Category(Enum):
    """The subject of an alarm."""

    BATTERY = "battery"
    TEMPERATURE = "temperature"
    INSULATION = "insulation"
    CONTACTORS = "contactors"
    COMMUNICATION = "communication"
    INVERTER = "inverter"
    DCDC = "dcdc"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A named value of the channel table, or a value derived from several."""

    table_name: str | None
    """Its name in the channel table; `None` if it is derived."""
    name: str
    """Its English name within its part."""
    role: Role
    part: Part
    nominal: Any = 0
    """Its value in a healthy, idle system."""
    unit: str | None = None
    """Only for channels without a register; a register field has its own."""


@dataclass(frozen=True, kw_only=True)
class Bit:
    """A labelled bit of a word."""

    label: str
    """Its text in the channel table, letter for letter."""
    severity: Severity
    category: Category
    part: Part
    group: int | None = None
    """The battery group it belongs to, counted from 1."""
    name: str
    """Its English name within its part, readable without the manual; for a readiness bit, the problem when it is 0."""
    depends_on_layout: bool = False
    """Its position is uncertain (InverterStatus, upper half)."""

    @property
    def full_name(self) -> str:
        """Its English name where the part it belongs to is not shown beside it."""
        if self.group is not None:
            return f"{self.name}, group {self.group}"
        return f"DC/DC {self.name[0].lower()}{self.name[1:]}" if self.part is Part.DCDC else self.name


FACTS: dict[RegisterField[Any], Channel | Bit] = {}


def channel[F: RegisterField[Any]](
    name_in_table: str,
    field: F,
    name: str,
    role: Role,
    part: Part = Part.ESS,
    *,
    nominal: Any = 0,
) -> F:
    """Declare the channel that a register field carries."""
    FACTS[field] = Channel(table_name=name_in_table, name=name, role=role, part=part, nominal=nominal)
    return field


def flag(  # noqa: PLR0917 - a table reads best by position
    address: int,
    index: int,
    label: str,
    severity: Severity,
    category: Category,
    part: Part = Part.ESS,
    *,
    group: int | None = None,
    name: str | None = None,
    depends_on_layout: bool = False,
) -> PackedBitField:
    """Declare the labelled bit `index`, 0 the lowest, of the word at `address`; `name` where the label is unclear."""
    field = bit(address, index)
    FACTS[field] = Bit(
        label=label,
        severity=severity,
        category=category,
        part=part,
        group=group,
        name=name or label,
        depends_on_layout=depends_on_layout,
    )
    return field
