"""Release files: versions, placeholders, workflows and tools agree."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from .generated import INTEGRATION, ROOT
from .scripts import load_script

RELEASE = load_script("release-check")
PUBLISHER = load_script("publisher")
VERSION = json.loads((INTEGRATION / "manifest.json").read_text())["version"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHECKS = [
    line.removeprefix("check ") for line in (ROOT / "scripts" / "test").read_text().splitlines() if "check " in line
]

TWO = """# Changelog

## 1.3.0 (2030-02-01)

- New.

## 1.2.0

- Old.
"""


def test_manifest_and_changelog_agree() -> None:
    """The version in the manifest is that of the newest section, released or not."""
    assert RELEASE.problems(VERSION, CHANGELOG) == []


def test_release_is_permitted() -> None:
    """Tag, manifest and newest section say the same, and the section has a date."""
    assert RELEASE.problems("1.3.0", TWO, "v1.3.0") == []


@pytest.mark.parametrize(
    ("version", "changelog", "tag", "problem"),
    [
        pytest.param("1.3.0", TWO, "v1.3.1", "the tag is v1.3.1", id="another tag"),
        pytest.param("1.3.0", TWO, "1.3.0", "the manifest wants v1.3.0", id="tag without v"),
        pytest.param("1.2.0", TWO, "v1.2.0", "the newest section", id="manifest left behind"),
        pytest.param("1.3.0", TWO.replace("2030-02-01", "unreleased"), "v1.3.0", "its date", id="unreleased"),
        pytest.param("1.3.0", TWO.replace(" (2030-02-01)", ""), "v1.3.0", "its date", id="no date"),
        pytest.param("1.3.0", TWO.replace("1.2.0", "1.2.0 (unreleased)"), None, "still unreleased", id="two open"),
        pytest.param("1.3.0", TWO.replace("1.2.0", "1.4.0"), None, "not in order", id="order"),
        pytest.param("1.3.0", TWO.replace("- New.\n", ""), None, "says nothing", id="empty section"),
        pytest.param("1.3.0", TWO.replace("## 1.3.0", "## Soon"), None, "should be", id="unreadable heading"),
        pytest.param("1.3.0", "# Changelog\n", None, "newest section", id="no section"),
    ],
)
def test_release_is_refused(version: str, changelog: str, tag: str | None, problem: str) -> None:
    """Each contradiction is named."""
    assert any(problem in found for found in RELEASE.problems(version, changelog, tag))


def test_notes_of_a_release_are_its_section(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release notes are the changelog's section of that release, and nothing of the one before."""
    changelog = f"# Changelog\n\n## {VERSION} (2030-02-01)\n\n- New.\n\n## 0.0.1\n\n- Old.\n"
    monkeypatch.setattr(RELEASE, "CHANGELOG", Readable(changelog))
    RELEASE.main([f"v{VERSION}"])
    assert capsys.readouterr().out == "- New.\n"


def test_a_refused_release_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workflow stops."""
    monkeypatch.setattr(RELEASE, "CHANGELOG", Readable(TWO))
    with pytest.raises(SystemExit, match="the tag is v9"):
        RELEASE.main(["v9"])


class Readable:
    """Stands for a file."""

    def __init__(self, text: str) -> None:
        """Hold what it contains."""
        self.text = text

    def read_text(self) -> str:
        """Return it."""
        return self.text


def test_every_placeholder_is_in_the_list() -> None:
    """The publisher is told about each file that holds a placeholder, and why."""
    assert [name for name in PUBLISHER.left() if PUBLISHER.what_for(name) is None] == []


@pytest.mark.parametrize("place", PUBLISHER.PLACES, ids=lambda place: place.files)
def test_every_place_in_the_list_is_found(place: Any) -> None:
    """Each file that the list names holds the placeholder, and is found."""
    files = {name for name in PUBLISHER.files() if fnmatch(name, place.files)}
    assert files
    decided = json.loads((INTEGRATION / "manifest.json").read_text())["documentation"]
    if PUBLISHER.REPOSITORY in decided:
        assert files <= PUBLISHER.left().keys()


def test_issue_labels_are_to_be_made() -> None:
    """The publisher is told of every label that an issue form sets."""
    forms = [yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_report.yml")]
    labels = {label for form in forms for label in form["labels"]}
    assert labels
    assert all(any(f"`{label}`" in decision for decision in PUBLISHER.DECISIONS) for label in labels)


def test_newest_release_of_home_assistant_has_one_place() -> None:
    """Only `scripts/environment.sh` names it in full, beside the pages that say what was measured on it."""
    (newest,) = re.findall(r"^LATEST=(\S+)", (ROOT / "scripts" / "environment.sh").read_text(), re.MULTILINE)
    naming = [name for name, path in PUBLISHER.files().items() if newest in path.read_text(errors="ignore")]
    assert [name for name in naming if not name.startswith("docs/")] == ["scripts/environment.sh"]


def test_workflow_runs_the_parts_of_ci() -> None:
    """Each part is a job that has to pass, and the pre-release is one that may fail."""
    (line,) = re.findall(r"^for command in (.*); do$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    parts = [quoted or plain for quoted, plain in re.findall(r'"([^"]+)"|(\S+)', line)]
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]["strategy"][
        "matrix"
    ]
    assert [job["command"] for job in jobs["include"] if not job.get("optional")] == parts
    assert [job["command"] for job in jobs["include"] if job.get("optional")] == ["scripts/test --next"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_pinned_and_have_least_rights(path: Path) -> None:
    """Every action is pinned by hash; only the release writes, and only the contents."""
    text = path.read_text()
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in re.findall(r"uses: (\S+)", text))
    workflow = yaml.safe_load(text)
    rights = [workflow["permissions"], *(job.get("permissions", {}) for job in workflow["jobs"].values())]
    writing = {right for granted in rights for right, level in granted.items() if level == "write"}
    assert writing == ({"contents"} if path.stem == "release" else set())


def test_tools_are_pinned() -> None:
    """Each requirement of the checks names one version."""
    for name in ("requirements_test.txt", "requirements_audit.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
        assert lines
        assert all(re.fullmatch(r"[\w\[\],-]+==[\w.]+", line) for line in lines), name


@pytest.mark.parametrize(
    "hook",
    yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"],
    ids=lambda hook: hook["id"],
)
def test_pre_commit_has_the_checks_of_the_script(hook: dict[str, Any]) -> None:
    """A hook is one of the checks of `scripts/test`, so that it never asks for more."""
    command = hook["entry"].removeprefix(".venv/bin/")
    tool = " ".join(command.split()[: 2 if command.startswith("ruff") else 1])
    assert any(check.startswith(tool) for check in CHECKS)
