"""Published files: generated parts are fresh, translations complete, manifests consistent."""

import ast
import json
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from awesomeversion import AwesomeVersion
from homeassistant import components
from packaging.requirements import Requirement

from custom_components.refu_ess.describe import DESCRIPTIONS
from custom_components.refu_ess.ess import ALARMS, End, EventKind, Failure, Limit, Refusal
from custom_components.refu_ess.ess.guard import Outcome, Reason as GuardReason
from custom_components.refu_ess.ess.lease import REFUSES
from custom_components.refu_ess.ess.recovery import Action as RecoveryAction
from custom_components.refu_ess.issues import EVERY_ISSUE, ISSUE_LAYOUT

from .first_steps import BY_KEY
from .generated import FILES, INTEGRATION, ROOT, TRANSLATIONS

LANGUAGES = list(TRANSLATIONS.values())


def load(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text())


def strings(content: dict[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text with its place."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from strings(value, f"{at}.{key}")
        else:
            yield f"{at}.{key}", value


def english_texts() -> dict[str, str]:
    """Return the English texts by their place; another test may just have regenerated them."""
    return dict(strings(load(TRANSLATIONS["en"])))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_generated_parts_are_fresh(path: Path, pytestconfig: pytest.Config) -> None:
    """The declarations are what is published; `--snapshot-update` rewrites it."""
    fresh = FILES[path]()
    if pytestconfig.option.update_snapshots:
        path.write_text(fresh)
    assert path.read_text() == fresh


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_languages_say_the_same(path: Path) -> None:
    """Every translation has every key, with the same placeholders."""
    found, wanted = dict(strings(load(path))), english_texts()
    assert sorted(wanted.keys() - found.keys()) == [], "missing"
    assert sorted(found.keys() - wanted.keys()) == [], "not in English"
    for place, text in found.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", wanted[place])), place
        assert text == text.strip(), place


def test_german_is_there() -> None:
    """The interface is in German as well as in English."""
    assert set(TRANSLATIONS) >= {"de", "en"}


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_entities_are_told_apart(path: Path) -> None:
    """No two entities of one device and platform have one name."""
    words = load(path)["entity"]
    for platform, descriptions in DESCRIPTIONS.items():
        names = [(one.part, one.group, words[platform][one.key]["name"]) for one in descriptions]
        assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


def test_first_steps_are_for_alarms_that_exist() -> None:
    """Every first step belongs to a declared alarm."""
    assert BY_KEY.keys() <= {alarm.key for alarm in ALARMS}


def pins_of(integration: str) -> list[Requirement]:
    """Return what this release of Home Assistant pins for one of its integrations."""
    manifest = load(Path(components.__path__[0]) / integration / "manifest.json")
    return [Requirement(one) for one in manifest["requirements"]]


def test_manifest() -> None:
    """The manifest has the order that is demanded, and a version that can be read."""
    manifest = load(INTEGRATION / "manifest.json")
    assert AwesomeVersion(manifest["version"]).valid
    assert list(manifest) == ["domain", "name", *sorted(set(manifest) - {"domain", "name"})]


def test_requirements_permit_what_home_assistant_pins() -> None:
    """Home Assistant installs its own pins; a requirement that they do not meet would replace them for everyone."""
    wanted = {one.name: one.specifier for one in map(Requirement, load(INTEGRATION / "manifest.json")["requirements"])}
    pins = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins_of("modbus")}
    assert wanted.keys() <= pins.keys()
    for name, specifier in wanted.items():
        assert pins[name] in specifier, name


def test_oldest_release_is_tested() -> None:
    """HACS and the blueprints demand the month of the release that the test package pins."""
    (pinned,) = [
        Requirement(one)
        for one in metadata.requires("pytest-homeassistant-custom-component") or ()
        if Requirement(one).name == "homeassistant"
    ]
    year, month, _ = str(pinned.specifier).removeprefix("==").split(".")
    oldest = f"{year}.{month}.0"
    assert load(ROOT / "hacs.json")["homeassistant"] == oldest
    for path in (ROOT / "blueprints").rglob("*.yaml"):
        assert f'min_version: "{oldest}"' in path.read_text(), path
    assert f"Home Assistant {year}.{month} or later" in (ROOT / "README.md").read_text()


def test_quality_scale() -> None:
    """Every rule of the claimed level is done, or exempt with a reason."""
    rules = yaml.safe_load((INTEGRATION / "quality_scale.yaml").read_text())["rules"]
    for name, rule in rules.items():
        if isinstance(rule, dict):
            assert rule["status"] in ("done", "exempt"), name
            assert rule["comment"], name
        else:
            assert rule == "done", name
    assert len(rules) == 54


TRANSLATED = {"HomeAssistantError", "ServiceValidationError", "ConfigEntryError", "ConfigEntryNotReady", "UpdateFailed"}


def raised() -> Iterator[tuple[str, ast.Call]]:
    """Yield each error of Home Assistant that the integration makes, with its place."""
    for path in sorted(INTEGRATION.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TRANSLATED:
                yield f"{path.name}:{node.lineno}", node


def test_every_error_has_a_text() -> None:
    """An error that a person may meet names its domain and a text that every language has."""
    found, texts = dict(raised()), english_texts()
    assert found
    for place, call in found.items():
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if None in given:
            continue  # `**` of what names both
        assert {"translation_domain", "translation_key"} <= given.keys(), place
        key = given["translation_key"]
        if isinstance(key, ast.Constant):
            assert f".exceptions.{key.value!s}.message" in texts, place


def texts_of_control() -> Iterator[str]:
    """Yield the place of every text that the enums of control are shown by."""
    for limit in Limit:
        yield f".entity.sensor.binding_limit.state.{limit}"
    for kind in EventKind:
        yield f".entity.event.commands.state_attributes.event_type.state.{kind}"
    attributes = ".entity.event.commands.state_attributes"
    for reason in (*End, *Refusal, *REFUSES, Limit.NOT_DELIVERED, Limit.REDUCED_BY_DEVICE, *GuardReason):
        yield f"{attributes}.reason.state.{reason}"
    for outcome in Outcome:
        yield f"{attributes}.outcome.state.{outcome}"
    for step in ("stop", "start", RecoveryAction.REPORT_NO_EFFECT):
        yield f"{attributes}.step.state.{step}"
    for reason in (*Refusal, *REFUSES):
        yield f".exceptions.refused_{reason}.message"
    for failure in Failure:
        yield f".exceptions.{failure}.message"
    for issue in EVERY_ISSUE:
        for layout in ("_documented", "_shifted") if issue == ISSUE_LAYOUT else ("",):
            yield f".issues.{issue}{layout}.title"


@pytest.mark.parametrize("place", sorted(set(texts_of_control())))
@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_every_word_of_control_has_a_text(path: Path, place: str) -> None:
    """A limit, an event, a refusal, a failure or an issue without a text in some language does not pass."""
    assert dict(strings(load(path))).get(place)


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_no_text_of_control_is_left_over(path: Path) -> None:
    """A text of a limit, an event or a refusal that no longer exists does not pass."""
    wanted = set(texts_of_control())
    for place in dict(strings(load(path))):
        if place.startswith((".entity.sensor.binding_limit.state.", ".entity.event.commands.", ".exceptions.refused_")):
            assert place in wanted or place.endswith(".name") or ".owner." in place or ".found." in place, place
