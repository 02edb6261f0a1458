"""Published files: generated parts are fresh, translations complete, manifests consistent."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awesomeversion import AwesomeVersion
from packaging.requirements import Requirement

from custom_components.refu_ess.ess import ALARMS

from .first_steps import BY_KEY
from .generated import FILES, INTEGRATION, ROOT

LANGUAGES = sorted(path for path in (INTEGRATION / "translations").glob("*.json"))


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


ENGLISH = dict(strings(load(INTEGRATION / "translations" / "en.json")))


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
    found = dict(strings(load(path)))
    assert found.keys() == ENGLISH.keys()
    for place, text in found.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", ENGLISH[place])), place
        assert text == text.strip(), place


def test_german_is_there() -> None:
    """The interface is in German as well as in English."""
    assert [path.stem for path in LANGUAGES] == ["de", "en"]


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_entities_are_told_apart(path: Path) -> None:
    """No two entities of one device and platform have one name."""
    from custom_components.refu_ess.describe import DESCRIPTIONS  # noqa: PLC0415

    words = load(path)["entity"]
    for platform, descriptions in DESCRIPTIONS.items():
        names = [(one.part, one.group, words[platform][one.key]["name"]) for one in descriptions]
        assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


def test_first_steps_are_for_alarms_that_exist() -> None:
    """Every first step belongs to a declared alarm."""
    assert BY_KEY.keys() <= {alarm.key for alarm in ALARMS}


def test_manifest() -> None:
    """The manifest keeps Home Assistant's own pins possible and names a version that can be read."""
    manifest = load(INTEGRATION / "manifest.json")
    assert AwesomeVersion(manifest["version"]).valid
    assert list(manifest) == ["domain", "name", *sorted(set(manifest) - {"domain", "name"})]
    ranges = {one.name: one.specifier for one in map(Requirement, manifest["requirements"])}
    assert all("==" not in str(specifier) for specifier in ranges.values())
    assert "3.13.1" in ranges["pymodbus"]
    assert "4.12.4" in ranges["modbus-connection"]
    assert "4.12.7" in ranges["modbus-connection"]


def test_minimum_version() -> None:
    """hacs.json and the tests name the same minimum version."""
    assert load(ROOT / "hacs.json")["homeassistant"] == "2026.10.0"


def test_quality_scale() -> None:
    """Every rule of the claimed level is done, or exempt with a reason."""
    import yaml  # noqa: PLC0415

    rules = yaml.safe_load((INTEGRATION / "quality_scale.yaml").read_text())["rules"]
    for name, rule in rules.items():
        if isinstance(rule, dict):
            assert rule["status"] in ("done", "exempt"), name
            assert rule["comment"], name
        else:
            assert rule == "done", name
    assert len(rules) == 54


def texts_of_control() -> Iterator[str]:
    """Yield the place of every text that the enums of control are shown by."""
    from custom_components.refu_ess.ess import End, EventKind, Failure, Limit, Refusal  # noqa: PLC0415
    from custom_components.refu_ess.ess.guard import Outcome, Reason as GuardReason  # noqa: PLC0415
    from custom_components.refu_ess.ess.lease import REFUSES  # noqa: PLC0415
    from custom_components.refu_ess.ess.recovery import Action as RecoveryAction  # noqa: PLC0415
    from custom_components.refu_ess.issues import EVERY_ISSUE, ISSUE_LAYOUT  # noqa: PLC0415

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
