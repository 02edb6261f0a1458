"""The options: one declaration each, which form, engine, actions, texts and documentation follow."""

import json
import logging
import math
import re
from dataclasses import astuple
from typing import Any

import pytest
import yaml
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import ServiceValidationError
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.refu_ess import options
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.describe import NUMBERS
from custom_components.refu_ess.ess import CONTROL_RANGES, POWER_RANGE, SITE_RANGES, ControlSettings, Site
from custom_components.refu_ess.options import (
    FORM,
    OPTIONS,
    SECTION_CONTROL,
    ChoiceOption,
    FlagOption,
    NumberOption,
    Option,
    control_settings_of,
    guard_wanted,
    site_of,
    soc_settings_of,
)
from custom_components.refu_ess.services import power_of

from .conftest import TCP_DATA
from .generated import INTEGRATION, TRANSLATIONS
from .helpers import fields

WHOLE_NUMBER = {"de": "ganze Zahl", "en": "whole number"}
LANGUAGES = tuple(WHOLE_NUMBER)
NUMBER_OPTIONS = [option for option in OPTIONS if isinstance(option, NumberOption)]
NONSENSE: tuple[Any, ...] = (None, "", "much", [], {}, [1], {"a": 1}, math.nan, math.inf, -math.inf, -(10**9), 10**400)


def bad_values(option: Option) -> list[Any]:
    """Return values that an option must not take."""
    match option:
        case NumberOption():
            split = [option.minimum + 0.9] if option.range.whole else []
            return [*NONSENSE, "5", True, option.minimum - 0.1, option.maximum + 0.1, *split]
        case FlagOption():
            return [*NONSENSE, "on", 0, 1]
        case _:
            return [*NONSENSE, "nothing_that_exists", True, 1]


BAD = [(option, value) for option in OPTIONS for value in bad_values(option)]
BAD_IDS = [f"{option.key}-{str(value)[:12]}" for option, value in BAD]


def entry_with(stored: dict[str, Any]) -> MockConfigEntry:
    """Return an entry with these options."""
    return MockConfigEntry(domain=DOMAIN, title="REFU ESS", data=TCP_DATA, options=stored)


def read_all(entry: MockConfigEntry) -> None:
    """Read every option once, as setting up the entry does."""
    site_of(entry)
    control_settings_of(entry)
    options.poll_interval_of(entry)
    options.is_per_phase(entry)
    options.is_read_only(entry)
    guard_wanted(entry)


def texts(language: str) -> Any:
    """Return the texts of a language."""
    return json.loads(TRANSLATIONS[language].read_text())


def test_without_options_everything_has_its_default() -> None:
    """No option stored is the engine's own default."""
    entry = entry_with({})
    assert site_of(entry) == Site(alias="REFU ESS")
    assert control_settings_of(entry) == ControlSettings()
    assert options.poll_interval_of(entry) == 10
    assert not options.is_per_phase(entry)
    assert not options.is_read_only(entry)
    assert guard_wanted(entry)


def test_every_field_can_be_set() -> None:
    """Each range of the engine that a user may move belongs to exactly one option."""
    of_site = [option.field for option in options.SITE_OPTIONS if isinstance(option, NumberOption)]
    of_control = [option.field for option in options.SETTINGS_OPTIONS if isinstance(option, NumberOption)]
    assert sorted(map(str, of_site)) == sorted(SITE_RANGES)
    # The apparent power limit is one of the site; the age of readings and the dead band are facts of the device.
    assert set(of_control) == set(CONTROL_RANGES) - {"apparent_limit_va", "stale_after_s", "dead_band_w"}


@pytest.mark.parametrize("option", NUMBER_OPTIONS, ids=lambda one: one.key)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_ends_of_ranges_reach_the_engine(option: NumberOption, end: str, caplog: pytest.LogCaptureFixture) -> None:
    """Both ends of an option's range are stored, and the engine takes them exactly."""
    value = option.checked(getattr(option, end))
    entry = entry_with({option.key: value})
    site, settings = site_of(entry), control_settings_of(entry)
    if option.key in ("min_soc", "charge_soc", "max_soc"):
        return  # their order binds before their range does, see below
    assert caplog.records == []
    if option.field is not None:
        target = site if option in options.SITE_OPTIONS else settings
        assert getattr(target, option.field) == getattr(option.range, end)


def test_units() -> None:
    """Options are in units for people, the engine in those of the device."""
    entry = entry_with({"capacity": 65.5, "apparent_power_limit": 48.3, "ramp_rate": 2.5, "longest_hold": 0.7})
    assert site_of(entry).capacity == 65_500
    settings = control_settings_of(entry)
    assert (settings.apparent_limit_va, settings.ramp_w_per_s, settings.longest_hold_s) == (48_300, 2500, 2520)


@pytest.mark.parametrize(("wanted", "stored"), [(True, {"guard": True}), (False, {"guard": False})])
def test_guard(wanted: bool, stored: dict[str, Any]) -> None:
    """The guard process can be turned off."""
    assert guard_wanted(entry_with(stored)) is wanted


@pytest.mark.parametrize(("option", "value"), BAD, ids=BAD_IDS)
def test_bad_stored_value(option: Option, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A stored value of another type or out of range counts as none, with one line that names the option."""
    entry = entry_with({option.key: value})
    read_all(entry)
    assert options.value_of(entry, option, log=False) == option.default
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert f"the option {option.key} is " in line.getMessage()
    assert site_of(entry) == Site(alias="REFU ESS")
    assert control_settings_of(entry) == ControlSettings()


@pytest.mark.parametrize(
    ("stored", "found", "named"),
    [
        ({"min_soc": 20, "charge_soc": 30}, (20, 18, 100), ["charge_soc"]),
        ({"min_soc": 20, "max_soc": 25}, (20, 18, 100), ["max_soc"]),
        ({"min_soc": 99}, (10, 8, 100), ["min_soc"]),
        ({"min_soc": 96}, (10, 8, 100), ["min_soc"]),
        ({"min_soc": 91, "max_soc": 93}, (91, 89, 100), ["max_soc"]),
        ({"min_soc": 96, "charge_soc": 50}, (10, 8, 100), ["min_soc", "charge_soc"]),
        ({"min_soc": 20, "charge_soc": 20, "max_soc": 26}, (20, 20, 26), []),
    ],
)
def test_soc_limits_out_of_order(
    stored: dict[str, int], found: tuple[int, int, int], named: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Stored SoC limits that contradict one another fall back to their defaults, as few of them as possible."""
    site = site_of(entry_with(stored))
    settings = soc_settings_of(site)
    assert astuple(settings) == found
    assert re.findall(r"the option (\w+) is", caplog.text) == named


@pytest.mark.usefixtures("link")
async def test_entry_loads_with_every_option_bad(hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> None:
    """Options that an old release or an edit by hand left broken do not keep the ESS from being read."""
    entry = entry_with({option.key: "broken" for option in OPTIONS})
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    for option in OPTIONS:
        assert caplog.text.count(f"the option {option.key} is 'broken'") == 1
    assert "Traceback" not in caplog.text


async def open_form(hass: HomeAssistant, entry: MockConfigEntry) -> ConfigFlowResult:
    """Open the options."""
    form = await hass.config_entries.options.async_init(entry.entry_id)
    assert form["type"] is FlowResultType.FORM
    return form


def answers(**changed: Any) -> dict[str, Any]:
    """Return the form's answers: the defaults, with some changed."""
    found: dict[str, Any] = {SECTION_CONTROL: {}}
    for option in FORM:
        (found[option.section] if option.section else found)[option.key] = changed.get(option.key, option.default)
    return found


BAD_IN_FORM = [(option, value) for option, value in BAD if option in FORM]


@pytest.mark.parametrize(
    ("option", "value"), BAD_IN_FORM, ids=[f"{option.key}-{str(value)[:12]}" for option, value in BAD_IN_FORM]
)
async def test_bad_answer(hass: HomeAssistant, entry: MockConfigEntry, option: Option, value: Any) -> None:
    """An answer of any type ends in a translated error that names field and range, and changes nothing."""
    entry.add_to_hass(hass)
    form = await open_form(hass, entry)
    form = await hass.config_entries.options.async_configure(form["flow_id"], answers(**{option.key: value}))
    assert form["type"] is FlowResultType.FORM
    (error,) = (form["errors"] or {}).values()
    for language in LANGUAGES:
        content = texts(language)["options"]
        step = content["step"]["init"]
        label = (step["sections"][option.section] if option.section else step)["data"][option.key]
        text = content["error"][error].format(**(form["description_placeholders"] or {}))
        assert text.startswith(label)
        if isinstance(option, NumberOption):
            assert f" {option.minimum:g} " in text
            assert f" {option.maximum:g}" in text
            assert option.unit is None or f" {option.unit}" in text
            assert (WHOLE_NUMBER[language] in text) == option.range.whole
    assert entry.options == {}


async def test_form_shows_what_is_stored(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The form has the stored values, and the default where a stored value is out of range."""
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={"capacity": 65.5, "poll_interval": 99, "guard": False})
    schema = fields(await open_form(hass, entry))
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in schema}
    assert suggested["capacity"] == 65.5
    assert suggested["poll_interval"] is None
    control = schema[SECTION_CONTROL].schema.schema
    assert {str(key): (key.description or {}).get("suggested_value") for key in control}["guard"] is False


def test_every_option_has_its_texts() -> None:
    """Labels, descriptions and errors are there for every option of the form, and for nothing else."""
    content = texts("en")["options"]
    step = content["step"]["init"]
    for part in ("data", "data_description"):
        assert list(step[part]) == [option.key for option in FORM if option.section is None]
        assert list(step["sections"][SECTION_CONTROL][part]) == [option.key for option in FORM if option.section]
    assert list(content["error"]) == [option.error for option in FORM]
    for option in FORM:
        if isinstance(option, ChoiceOption):
            assert tuple(texts("en")["selector"][option.key]["options"]) == option.choices


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("option", [one for one in NUMBER_OPTIONS if one.in_form], ids=lambda one: one.key)
def test_descriptions_name_the_range(option: NumberOption, language: str) -> None:
    """The range in a description is the range that is checked."""
    step = texts(language)["options"]["step"]["init"]
    text = (step["sections"][option.section] if option.section else step)["data_description"][option.key]
    thousands, point = (".", ",") if language == "de" else (",", ".")
    numbers = [
        float(found.replace(thousands, "").replace(point, ".")) for found in re.findall(r"\d+(?:[.,]\d+)*", text)
    ]
    assert numbers[:2] == [option.minimum, option.maximum]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_refused_value_has_its_text(language: str) -> None:
    """Each range that can be left has a text of its own, which names the range."""
    exceptions = texts(language)["exceptions"]
    limits_of_soc = {field: SITE_RANGES[field] for field in ("min_soc", "charge_soc", "max_soc")}
    for field, permitted in {**CONTROL_RANGES, **limits_of_soc, "power": POWER_RANGE}.items():
        text = exceptions[f"out_of_range_{field}"]["message"]
        assert (WHOLE_NUMBER[language] in text) == permitted.whole
        assert {"{minimum}", "{maximum}"} <= set(re.findall(r"{\w+}", text)), field
        assert field == "power" or field not in text


def test_actions_follow_the_ranges() -> None:
    """The ranges in `services.yaml` match those of the actions and of the engine."""
    found = []

    def collect(fields: dict[str, Any]) -> None:
        for field in fields.values():
            collect(field.get("fields", {}))
            if number := field.get("selector", {}).get("number"):
                found.append(number)

    for action in yaml.safe_load((INTEGRATION / "services.yaml").read_text()).values():
        collect(action["fields"])
    assert len(found) >= 8
    for number in found:
        # Without a range of its own a field starts empty: Home Assistant's form fills in the minimum otherwise.
        assert number.get("min", POWER_RANGE.minimum) == POWER_RANGE.minimum
        assert number.get("max", POWER_RANGE.maximum) == POWER_RANGE.maximum
        assert number["step"] == 100
    for value in (POWER_RANGE.minimum, POWER_RANGE.maximum):
        assert power_of(value) == value
    # No limit of the apparent power can be above what may be asked for.
    assert POWER_RANGE.maximum == CONTROL_RANGES["apparent_limit_va"].maximum == -POWER_RANGE.minimum


def test_number_entities_follow_the_ranges() -> None:
    """The number entities of the SoC limits have the range of their option."""
    for description in NUMBERS:
        permitted = SITE_RANGES[description.key]
        assert (description.native_min_value, description.native_max_value) == (permitted.minimum, permitted.maximum)


@pytest.mark.parametrize("value", [math.nan, 10.9])
async def test_no_whole_number_for_a_limit(hass: HomeAssistant, loaded: MockConfigEntry, value: float) -> None:
    """A value that is no whole number is refused with a text, and changes nothing."""
    with pytest.raises(ServiceValidationError) as refused:
        await hass.services.async_call(
            "number",
            "set_value",
            {"entity_id": "number.refu_ess_battery_minimum_soc", "value": value},
            blocking=True,
        )
    assert refused.value.translation_key == "out_of_range_min_soc"
    assert refused.value.translation_placeholders == {"minimum": "0", "maximum": "100"}
    assert loaded.options == {}
