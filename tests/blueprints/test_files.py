"""Every blueprint's file: it is tested, it can be imported by its link, and it has a page."""

from pathlib import Path

import pytest
from homeassistant.components.blueprint.importer import fetch_blueprint_from_url
from homeassistant.core import HomeAssistant
from homeassistant.util import yaml as yaml_util
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker

from tests.generated import DOCS, ROOT

from .house import BLUEPRINTS, INPUTS, REPOSITORY

RAW = REPOSITORY.replace("https://github.com", "https://raw.githubusercontent.com")
PAGES = DOCS / "blueprints"

each_blueprint = pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)


def test_every_blueprint_is_tested() -> None:
    assert {path.stem for path in BLUEPRINTS} == set(INPUTS)


@each_blueprint
async def test_import_by_link(hass: HomeAssistant, path: Path, aioclient_mock: AiohttpClientMocker) -> None:
    """The link in `source_url` leads to the file, and what is stored after an import is the same blueprint."""
    relative = path.relative_to(ROOT).as_posix()
    aioclient_mock.get(f"{RAW}/main/{relative}", text=path.read_text())  # noqa: ASYNC240 - a small file in a test
    loaded = yaml_util.load_yaml_dict(path)
    url = loaded["blueprint"]["source_url"]
    assert url == f"{REPOSITORY}/blob/main/{relative}"
    imported = await fetch_blueprint_from_url(hass, url)
    assert imported.blueprint.validate() is None
    stored = yaml_util.parse_yaml(imported.blueprint.yaml())
    assert isinstance(stored, dict)
    assert stored["blueprint"].keys() == loaded["blueprint"].keys()
    del stored["blueprint"], loaded["blueprint"]
    assert stored == yaml_util.parse_yaml(yaml_util.dump(loaded))


def test_no_page_without_a_blueprint() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {path.stem for path in BLUEPRINTS}


@each_blueprint
def test_page(path: Path) -> None:
    """It has the button that imports the blueprint, every input by its name, and the limits."""
    blueprint = yaml_util.load_yaml_dict(path)["blueprint"]
    page = (PAGES / f"{path.stem}.md").read_text()
    assert page.startswith(f"# Blueprint: {blueprint['name'].removeprefix('REFU ESS - ')}\n")
    link = blueprint["source_url"].replace(":", "%3A").replace("/", "%2F")
    assert f"https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url={link}" in page
    assert "Limits: " in page
    for key, value in blueprint["input"].items():
        for one in value["input"].values() if "input" in value else [value]:
            assert f"| {one['name']} |" in page, key
