"""The documentation names what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.controls import CONTROLS
from custom_components.refu_ess.ess import derived, plausibility, status_layout
from custom_components.refu_ess.ess.catalogue import BITS, CHANNELS_BY_KEY

from .generated import DOCS, INTEGRATION, ROOT
from .registers import REGISTER_MAP

ENGLISH = json.loads((INTEGRATION / "translations" / "en.json").read_text())
ACTIONS = yaml.safe_load((INTEGRATION / "services.yaml").read_text())
CONTROL_PAGE = (DOCS / "control.md").read_text()
README_LINES = 150
LARGEST_PICTURE = 150_000


def test_readme_is_short() -> None:
    """The README is for a decision within two minutes."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_readme_counts() -> None:
    """The README counts the channels and bits of the register map."""
    found = re.search(r"All (\d+) channels and\s+(\d+) labelled bits", (ROOT / "README.md").read_text())
    assert found is not None
    about = REGISTER_MAP["about"]
    assert [int(number) for number in found.groups()] == [about["channel_count"], about["labelled_bits"]]


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_described(action: str) -> None:
    """Every action is on the page about control or about alarms."""
    assert f"`{DOMAIN}.{action}`" in CONTROL_PAGE + (DOCS / "alarms.md").read_text()


def leaves(declared: dict[str, Any], section: str) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an action, or the inputs of a blueprint, without the sections that hold them."""
    for key, value in declared.items():
        if value and section in value:
            yield from leaves(value[section], section)
        else:
            yield key, value


@pytest.mark.parametrize("kind", ["actions", "triggers", "conditions", "blueprints"])
def test_every_page_is_listed(kind: str) -> None:
    """The page about automations links to each of them."""
    for page in (DOCS / kind).glob("*.md"):
        assert f"({kind}/{page.name})" in (DOCS / "automations.md").read_text()


@pytest.mark.parametrize("action", ACTIONS)
def test_action_has_a_page(action: str) -> None:
    """It is titled as in the interface, and names each field, the target and what goes wrong."""
    page = (DOCS / "actions" / f"{action}.md").read_text()
    assert page.startswith(f"# Action: {ENGLISH['services'][action]['name']}\n")
    for field in ["target", *(key for key, _ in leaves(ACTIONS[action]["fields"], "fields"))]:
        assert f"`{field}`" in page
    assert "**Errors.**" in page
    assert f"action: {DOMAIN}.{action}" in page


def test_no_page_without_an_action() -> None:
    """A page of an action that no longer exists does not pass."""
    assert {page.stem for page in (DOCS / "actions").glob("*.md")} == set(ACTIONS)


@pytest.mark.parametrize("kind", ["triggers", "conditions"])
def test_pages_name_the_options(kind: str) -> None:
    """The page of a trigger or condition is titled as in the interface, and names each option and its choices."""
    declared = yaml.safe_load((INTEGRATION / f"{kind}.yaml").read_text())
    for name, content in declared.items():
        if name.startswith("."):
            continue
        page = (DOCS / kind / f"{name}.md").read_text()
        assert page.startswith(f"# {kind.removesuffix('s').capitalize()}: {ENGLISH[kind][name]['name']}\n")
        for field in ["target", *content.get("fields", {})]:
            assert f"`{field}`" in page, (name, field)


@pytest.mark.parametrize("platform", CONTROLS)
def test_control_entities_are_described(platform: str) -> None:
    """Every control entity is on the page about control; a setpoint of a phase is covered by the total."""
    names = [ENGLISH["entity"][platform][description.key]["name"] for description in CONTROLS[platform]]
    for name in names:
        assert f"*{re.sub(r' L[123]$', '', name)}*" in CONTROL_PAGE


@pytest.mark.parametrize("issue", [issue["title"] for issue in ENGLISH["issues"].values()])
def test_issues_are_described(issue: str) -> None:
    """Every repair issue is among the symptoms."""
    symptom = issue.removeprefix("{name}: ")
    assert symptom in (DOCS / "troubleshooting.md").read_text()


@pytest.mark.parametrize("kind", ["triggers", "conditions"])
def test_triggers_and_conditions_have_pages(kind: str) -> None:
    """Every trigger and condition has a page of its own, and no other page is left."""
    names = yaml.safe_load((INTEGRATION / f"{kind}.yaml").read_text())
    assert {page.stem for page in (DOCS / kind).glob("*.md")} == {name for name in names if not name.startswith(".")}


def test_quoted_messages_exist() -> None:
    """A message that troubleshooting quotes is one of the interface's."""
    texts = (INTEGRATION / "translations" / "en.json").read_text().lower().replace('\\"', "")
    cells = [
        line.split("|")[1] for line in (DOCS / "troubleshooting.md").read_text().splitlines() if line.startswith("|")
    ]
    quotes = [quote for cell in cells for quote in re.findall(r'"([^"]+)"', cell)]
    assert len(quotes) > 10
    assert [quote for quote in quotes if quote.lower() not in texts] == []


def test_every_picture_is_shown_and_small() -> None:
    """No picture is left over, and none is large."""
    pictures = set((DOCS / "images").glob("*.png"))
    shown = {
        (page.parent / target).resolve()
        for page in (ROOT / "README.md", *DOCS.rglob("*.md"))
        for target in re.findall(r"[\w./-]*images/[\w-]+\.png", page.read_text())
    }
    assert pictures == shown
    assert all(picture.stat().st_size < LARGEST_PICTURE for picture in pictures)
    assert sum(picture.stat().st_size for picture in pictures) < 10 * LARGEST_PICTURE


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *DOCS.rglob("*.md")], ids=lambda path: path.name)
def test_examples_are_yaml(page: Path) -> None:
    """Every example parses."""
    for example in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        yaml.safe_load(example)


EVIDENCE = dict(re.findall(r"^\| ([a-z-]+) \| (.*) \|$", (DOCS / "quality-scale.md").read_text(), re.MULTILINE))
RULES = yaml.safe_load((INTEGRATION / "quality_scale.yaml").read_text())["rules"]


def test_every_done_rule_has_evidence() -> None:
    """A rule of the quality scale that is done has a line, and no other has."""
    assert EVIDENCE.keys() == {name for name, rule in RULES.items() if rule == "done"}


@pytest.mark.parametrize("rule", EVIDENCE)
def test_evidence_exists(rule: str) -> None:
    """Each test that a line names is there, and each file; the test of the links looks after the pages."""
    named = re.findall(r"`([\w./-]+/[\w./-]+|\.?\w+\.ini|\.coveragerc)(?:::(\w+))?`", EVIDENCE[rule])
    for name, test in named:
        path = ROOT / name
        assert path.is_file(), name
        assert not test or re.search(rf"^(async )?def {test}\(", path.read_text(), re.MULTILINE), test
    assert named or "](" in EVIDENCE[rule]


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\s-]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *DOCS.rglob("*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of this repository finds it, and the heading that it names."""
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if heading:
            assert heading in map(anchor, re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)), link


def test_what_is_withheld_is_described() -> None:
    """The page states the numbers of the rules, the bits that a disproved layout hides, counters and limits."""
    page = (DOCS / "entities.md").read_text().split("## What is withheld")[1].split("## Sign")[0]
    assert plausibility.CONFIRMATIONS == status_layout.OBSERVATIONS == 3
    for text in (
        f"above {plausibility.MAXIMUM_SOC_PERCENT} %",
        f"above {plausibility.MAXIMUM_TIMES_NOMINAL} times",
        f"more than {plausibility.VOLTAGE_TOLERANCE:.0%}".replace("%", " %"),
        f"more than {plausibility.MAXIMUM_JUMP_KWH} kWh plus {plausibility.MAXIMUM_POWER_KW} kW times",
        f"at least {status_layout.CLEAR_POWER_W // 1000} kW",
        f"below {derived.POWER_THRESHOLD_W // 1000} kW",
        f"above {derived.MAXIMUM_PERCENT} %",
        "three polls",
    ):
        assert text in page
    assert derived.CYCLES_FOR_EFFICIENCY == 10
    hidden = [entry.bit for entry in BITS if entry.bit.depends_on_layout]
    withheld = [*plausibility.LIMITS, *plausibility.Plausibility()._counters, "soc", "battery_voltage"]
    for name in [bit.name for bit in hidden] + [CHANNELS_BY_KEY[key].channel.name for key in withheld]:
        assert name in page
