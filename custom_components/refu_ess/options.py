"""The options of a config entry, each declared once: the form, `Site`, `ControlSettings` and the documentation follow.

What an option means in the engine's terms (the field, its default and its range) is taken from the engine.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, override

import voluptuous as vol
from homeassistant.config_entries import ConfigEntry
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    Selector,
    SelectSelector,
    SelectSelectorConfig,
)

from .const import CONF_CHARGE_SOC, CONF_INVERTER_STATUS_LAYOUT, CONF_MAX_SOC, CONF_MIN_SOC, log_name
from .ess import (
    CONTROL_RANGES,
    SITE_RANGES,
    ControlSettings,
    InverterStatusLayout,
    OutOfRangeError,
    Range,
    Site,
    SocSettings,
)

_LOGGER = logging.getLogger(__name__)

SECTION_CONTROL: Final = "control"
SETPOINTS_TOTAL: Final = "total"
SETPOINTS_PER_PHASE: Final = "per_phase"


class _Accepting:
    """A form's field that accepts everything: Home Assistant's own refusal of a value is in English only."""

    def __call__(self, data: Any) -> Any:
        return data


class _NumberField(_Accepting, NumberSelector):
    """A number; `Option.checked` judges it."""


class _ChoiceField(_Accepting, SelectSelector):
    """A choice; `Option.checked` judges it."""


class _FlagField(_Accepting, BooleanSelector):
    """A check box; `Option.checked` judges it."""


@dataclass(frozen=True, kw_only=True)
class Option(ABC):
    """One option of the config entry."""

    key: str
    default: Any
    field: str | None = None
    """The attribute of `Site` or `ControlSettings` that it sets, if it sets one."""
    section: str | None = None
    in_form: bool = True

    @abstractmethod
    def checked(self, value: object) -> Any:
        """Return the value as it is stored. Raises `ValueError` saying what is permitted."""

    @abstractmethod
    def selector(self) -> Selector[Any]:
        """Return the form's field."""

    def for_engine(self, value: Any) -> Any:
        """Return a stored value in the engine's terms."""
        return value

    @property
    def placeholders(self) -> dict[str, str]:
        """The placeholders of the text about a refused value."""
        return {}

    @property
    def error(self) -> str:
        """The key of that text in `options.error`."""
        return f"out_of_range_{self.key}"


@dataclass(frozen=True, kw_only=True)
class NumberOption(Option):
    """A number, whole where its range is."""

    range: Range
    """In the engine's unit."""
    factor: int = 1
    """Number of the engine's units in one `unit`."""
    unit: str | None = None

    @property
    def minimum(self) -> float:
        """The smallest permitted value in `unit`."""
        return self.range.minimum / self.factor

    @property
    def maximum(self) -> float:
        """The largest permitted value in `unit`."""
        return self.range.maximum / self.factor

    @property
    @override
    def placeholders(self) -> dict[str, str]:
        return {"minimum": f"{self.minimum:.15g}", "maximum": f"{self.maximum:.15g}"}

    @override
    def checked(self, value: object) -> float:
        # Compared before it is converted: an integer may be too large for a float.
        permitted = Range(self.minimum, self.maximum, whole=self.range.whole)
        if not isinstance(value, int | float) or isinstance(value, bool) or not permitted.holds(value):
            number = "whole number" if permitted.whole else "number"
            ends = f"{self.minimum:.15g} to {self.maximum:.15g} {self.unit or ''}".rstrip()
            raise ValueError(f"it must be a {number} from {ends}")
        return int(value) if permitted.whole else float(value)

    @override
    def for_engine(self, value: float | None) -> Any:
        return None if value is None else round(value * self.factor)

    @override
    def selector(self) -> NumberSelector:
        step = 1 if self.range.whole else 0.1
        config = NumberSelectorConfig(min=self.minimum, max=self.maximum, step=step, mode=NumberSelectorMode.BOX)
        if self.unit is not None:
            config["unit_of_measurement"] = self.unit
        return _NumberField(config)


@dataclass(frozen=True, kw_only=True)
class ChoiceOption(Option):
    """One of several words; the texts are in `selector` under the option's key."""

    choices: tuple[str, ...]

    @override
    def checked(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise ValueError(f"it must be one of {', '.join(self.choices)}")
        return value

    @override
    def selector(self) -> SelectSelector:
        return _ChoiceField(SelectSelectorConfig(options=list(self.choices), translation_key=self.key))


@dataclass(frozen=True, kw_only=True)
class LayoutOption(ChoiceOption):
    """The layout of the inverter status, by its slug."""

    @override
    def for_engine(self, value: str) -> InverterStatusLayout:
        return InverterStatusLayout[value.upper()]


@dataclass(frozen=True, kw_only=True)
class FlagOption(Option):
    """On or off."""

    @override
    def checked(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("it must be true or false")  # noqa: TRY004
        return value

    @override
    def selector(self) -> BooleanSelector:
        return _FlagField()


_SITE, _SETTINGS = Site(), ControlSettings()


def _number_of(
    target: Site | ControlSettings, ranges: Mapping[str, Range], key: str, field: str, **more: Any
) -> NumberOption:
    """Declare an option that sets `field` of `target`, whose default and range it has."""
    default, permitted = getattr(target, field), ranges[field]
    if default is not None:
        default = int(default) if permitted.whole else default / more["factor"]
    return NumberOption(key=key, field=field, default=default, range=permitted, **more)


def _of_site(key: str, field: str, **more: Any) -> NumberOption:
    return _number_of(_SITE, SITE_RANGES, key, field, **more)


def _of_control(key: str, field: str, **more: Any) -> NumberOption:
    return _number_of(_SETTINGS, CONTROL_RANGES, key, field, section=SECTION_CONTROL, **more)


POLL_INTERVAL = NumberOption(
    key="poll_interval",
    default=10,
    # From the cycle of OpenEMS to the longest time that an alarm should go unseen.
    range=Range(1, 60, "s", whole=True),
    unit="s",
)
BATTERY_GROUPS = _of_site("battery_groups", "battery_groups")
CAPACITY = _of_site("capacity", "capacity", factor=1000, unit="kWh")
APPARENT_POWER_LIMIT = _of_site("apparent_power_limit", "allowed_apparent", factor=1000, unit="kVA")
SITE_OPTIONS: tuple[Option, ...] = (
    BATTERY_GROUPS,
    CAPACITY,
    _of_site("nominal_power", "max_nominal_power", factor=1000, unit="kVA"),
    APPARENT_POWER_LIMIT,
    LayoutOption(
        key=CONF_INVERTER_STATUS_LAYOUT,
        field="inverter_status_layout",
        default=_SITE.inverter_status_layout.slug,
        choices=tuple(layout.slug for layout in InverterStatusLayout),
    ),
    # Number entities set these.
    *(_of_site(key, key, unit="%", in_form=False) for key in (CONF_MIN_SOC, CONF_CHARGE_SOC, CONF_MAX_SOC)),
)
READ_ONLY = FlagOption(key="read_only", default=False, section=SECTION_CONTROL)
SETPOINT_REGISTERS = ChoiceOption(
    key="setpoint_registers",
    default=SETPOINTS_TOTAL,
    choices=(SETPOINTS_TOTAL, SETPOINTS_PER_PHASE),
    section=SECTION_CONTROL,
)
SETTINGS_OPTIONS: tuple[Option, ...] = (
    _of_control("start_delay", "start_delay_s", unit="s"),
    _of_control("ramp_rate", "ramp_w_per_s", factor=1000, unit="kW/s"),
    _of_control("longest_hold", "longest_hold_s", factor=3600, unit="h"),
    FlagOption(
        key="ignore_stop_request",
        field="ignore_stop_request",
        default=_SETTINGS.ignore_stop_request,
        section=SECTION_CONTROL,
    ),
)
GUARD = FlagOption(key="guard", default=True, section=SECTION_CONTROL)

OPTIONS: tuple[Option, ...] = (
    POLL_INTERVAL,
    *SITE_OPTIONS,
    READ_ONLY,
    SETPOINT_REGISTERS,
    *SETTINGS_OPTIONS,
    GUARD,
)
"""Every option, in the order of the form."""
FORM: tuple[Option, ...] = tuple(option for option in OPTIONS if option.in_form)
SETUP: tuple[Option, ...] = (BATTERY_GROUPS, CAPACITY, READ_ONLY)
"""The options that are asked for when an ESS is set up: no default fits every site."""


# The form.


def form_schema() -> vol.Schema:
    """Return the form of all options. Its fields accept every value: `accepted` judges them."""

    def fields(of: str | None) -> dict[vol.Marker, Any]:
        return {
            vol.Required(option.key, default=option.default): option.selector()
            for option in FORM
            if option.section == of
        }

    control = section(vol.Schema(fields(SECTION_CONTROL)), {"collapsed": True})
    return vol.Schema({**fields(None), vol.Required(SECTION_CONTROL): control})


def setup_schema() -> vol.Schema:
    """Return the form of the options that are asked for at setup. It suggests read-only: control is a decision."""
    return vol.Schema(
        {
            vol.Required(option.key, default=True if option is READ_ONLY else option.default): option.selector()
            for option in SETUP
        }
    )


def sectioned(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored options as the form takes them; a value out of range is left out, so that the default shows."""
    valid = {option.key: options[option.key] for option in FORM if option.key in options and _valid(option, options)}
    control = {option.key: valid.pop(option.key) for option in FORM if option.section and option.key in valid}
    return {**valid, SECTION_CONTROL: control}


def flat(user_input: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form's answers without its sections."""
    control: Mapping[str, Any] = user_input[SECTION_CONTROL]
    return {**{key: value for key, value in user_input.items() if key != SECTION_CONTROL}, **control}


def refused(answers: Mapping[str, Any], form: tuple[Option, ...] = FORM) -> Iterator[Option]:
    """Yield the options of the form whose answer is not permitted."""
    return (option for option in form if not _valid(option, answers))


def accepted(answers: Mapping[str, Any], form: tuple[Option, ...] = FORM) -> dict[str, Any]:
    """Return the answers as they are stored; none of them may be refused."""
    return {option.key: option.checked(answers[option.key]) for option in form}


def _valid(option: Option, values: Mapping[str, Any]) -> bool:
    try:
        option.checked(values[option.key])
    except ValueError:
        return False
    return True


# What the stored options mean.


def value_of(entry: ConfigEntry[Any], option: Option, *, log: bool = True) -> Any:
    """Return the stored value of an option, its default if there is none.

    A value that an old release or an edit by hand left out of range is logged and counts as none.
    """
    if option.key not in entry.options:
        return option.default
    stored = entry.options[option.key]
    try:
        return option.checked(stored)
    except ValueError as err:
        if log:
            _log_default(entry, option.key, stored, str(err), option.default)
        return option.default


def site_of(entry: ConfigEntry[Any]) -> Site:
    """Return the site that the entry's options describe; the SoC limits of what is returned are in their order."""
    site = Site(alias=entry.title, **_fields(entry, SITE_OPTIONS))
    while (wrong := _out_of_order(site)) is not None:
        default = getattr(_SITE, wrong.field)
        # A limit that cannot be right although it has its default is wrong because of the minimum.
        field = wrong.field if getattr(site, wrong.field) != default else CONF_MIN_SOC
        _log_default(entry, field, getattr(site, field), str(wrong), getattr(_SITE, field))
        site = replace(site, **{field: getattr(_SITE, field)})
    return site


def control_settings_of(entry: ConfigEntry[Any]) -> ControlSettings:
    """Return the limits on commands that the entry's options describe."""
    apparent = APPARENT_POWER_LIMIT.for_engine(value_of(entry, APPARENT_POWER_LIMIT, log=False))  # `site_of` logs it
    return ControlSettings(apparent_limit_va=apparent, **_fields(entry, SETTINGS_OPTIONS))


def soc_settings_of(site: Site) -> SocSettings:
    """Return the SoC limits of the protection.

    Raises `OutOfRangeError` naming the one that is out of order.
    """
    return SocSettings(min_soc=site.min_soc, charge_soc=site.effective_charge_soc, max_soc=site.max_soc)


def poll_interval_of(entry: ConfigEntry[Any]) -> int:
    """Return the seconds between two polls."""
    seconds: int = value_of(entry, POLL_INTERVAL)
    return seconds


def is_per_phase(entry: ConfigEntry[Any]) -> bool:
    """Return whether the setpoints of each phase are used, not the totals."""
    return bool(value_of(entry, SETPOINT_REGISTERS) == SETPOINTS_PER_PHASE)


def is_read_only(entry: ConfigEntry[Any]) -> bool:
    """Return whether nothing may be written."""
    return bool(value_of(entry, READ_ONLY))


def guard_wanted(entry: ConfigEntry[Any]) -> bool:
    """Return whether a guard process should run while power is commanded."""
    return bool(value_of(entry, GUARD))


def _fields(entry: ConfigEntry[Any], options: tuple[Option, ...]) -> dict[str, Any]:
    return {option.field: option.for_engine(value_of(entry, option)) for option in options if option.field}


def _out_of_order(site: Site) -> OutOfRangeError | None:
    try:
        soc_settings_of(site)
    except OutOfRangeError as err:
        return err
    return None


def _log_default(entry: ConfigEntry[Any], key: str, stored: object, why: str, default: object) -> None:
    _LOGGER.warning(
        "%s: the option %s is %r; %s. Its default %s is used", log_name(entry.entry_id), key, stored, why, default
    )
