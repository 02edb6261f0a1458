"""The dashboard of `scripts/dashboard`: every entity exists, nothing slides, and commands ask first."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.template import Template
from modbus_connection.mock import MockModbusUnit
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from .registers import BATTERY_FAULT_2, BATTERY_FAULT_10
from .scripts import load_script

ROOT = Path(__file__).parent.parent
REPOSITORY = json.loads((ROOT / "custom_components" / "refu_ess" / "manifest.json").read_text())["documentation"]
ACTIONS = ("tap_action", "icon_tap_action", "hold_action", "double_tap_action")
HARMLESS = {"more-info", "none", "navigate"}
COMMANDING = {"button", "number", "select", "switch"}
CORE_CARDS = {
    "button",
    "entities",
    "gauge",
    "grid",
    "heading",
    "history-graph",
    "logbook",
    "markdown",
    "statistics-graph",
    "tile",
}


SCRIPT = load_script("dashboard")


def printed(*arguments: str) -> str:
    """Return the script's output."""
    texts: list[str] = []
    SCRIPT.main(list(arguments), texts.append)
    return "".join(texts)


def cards(content: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in it, from the outside in."""
    if isinstance(content, dict):
        yield content
        for value in content.values():
            yield from cards(value)
    elif isinstance(content, list):
        for value in content:
            yield from cards(value)


def entity_ids(content: Any) -> set[str]:
    """Every entity that it names."""
    found: set[str] = set()
    for card in cards(content):
        for key in ("entity", "entity_id"):
            value = card.get(key, [])
            found.update([value] if isinstance(value, str) else value)
    return found


def test_develop_has_what_the_script_prints() -> None:
    assert (ROOT / "scripts" / "develop-config" / "dashboard.yaml").read_text() == printed("REFU ESS")


@pytest.mark.parametrize(("title", "language"), [("REFU ESS", "en"), ("Speicher Süd", "de"), ("Halle 2", "en")])
async def test_every_entity_exists(
    hass: HomeAssistant, entry: MockConfigEntry, link: object, title: str, language: str
) -> None:
    """The ids that follow from name and language are those of a loaded entry."""
    hass.config.language = language
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, title=title)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    wanted = entity_ids(yaml.safe_load(printed(title, "--language", language)))
    assert len(wanted) > 50
    assert {one for one in wanted if hass.states.get(one) is None} == set()


@pytest.mark.usefixtures("loaded")
async def test_ids_from_the_registry(hass: HomeAssistant, entry: MockConfigEntry, tmp_path: Path) -> None:
    """A renamed entity is found, what is disabled is left out, and the buttons name the entry."""
    registry = er.async_get(hass)
    registry.async_update_entity("sensor.refu_ess_active_power", new_entity_id="sensor.cellar")
    registry.async_update_entity("sensor.refu_ess_battery_time_to_full", disabled_by=er.RegistryEntryDisabler.USER)
    store(hass, entry, tmp_path)
    content = yaml.safe_load(printed("REFU ESS", "--config", str(tmp_path)))
    wanted = entity_ids(content)
    assert "sensor.cellar" in wanted
    assert not wanted & {"sensor.refu_ess_active_power", "sensor.refu_ess_battery_time_to_full"}
    commands = [card["data"] for card in cards(content) if card.get("perform_action") == "refu_ess.set_power"]
    assert [command["config_entry_id"] for command in commands] == ["refu", "refu"]


async def test_a_read_only_ess_has_no_control(
    hass: HomeAssistant, entry: MockConfigEntry, link: object, tmp_path: Path
) -> None:
    """Nothing that commands is offered, and no entity is missing."""
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={"read_only": True})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    store(hass, entry, tmp_path)
    content = yaml.safe_load(printed("REFU ESS", "--config", str(tmp_path)))
    assert [view["path"] for view in content["views"]] == ["ess", "battery", "alarms"]
    assert {one for one in entity_ids(content) if hass.states.get(one) is None} == set()
    assert not [one for one in entity_ids(content) if one.split(".")[0] in COMMANDING]


@pytest.mark.usefixtures("loaded")
async def test_unknown_name(
    hass: HomeAssistant, entry: MockConfigEntry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that no entry has is an error that lists the names there are."""
    store(hass, entry, tmp_path)
    with pytest.raises(SystemExit):
        printed("Another", "--config", str(tmp_path))
    assert "'Another': 0; there are ['REFU ESS']" in capsys.readouterr().err


def store(hass: HomeAssistant, entry: MockConfigEntry, folder: Path) -> None:
    """Write the registries as Home Assistant stores them."""
    (folder / ".storage").mkdir()
    entries = [{"domain": entry.domain, "title": entry.title, "entry_id": entry.entry_id}]
    entities = [orjson.loads(orjson.dumps(one.as_storage_fragment)) for one in er.async_get(hass).entities.values()]
    for name, data in (("core.config_entries", {"entries": entries}), ("core.entity_registry", {"entities": entities})):
        (folder / ".storage" / name).write_text(json.dumps({"data": data}))


@pytest.mark.parametrize("language", sorted(SCRIPT.TEXTS))
def test_commands_ask_first(language: str) -> None:
    """Whatever commands asks, wherever it is touched; only the release works at once."""
    content = yaml.safe_load(printed("REFU ESS", "--language", language))
    released = SCRIPT.ids_by_name("REFU ESS", language)["button", "release_setpoint"]
    asked = 0
    for card in cards(content):
        if card.get("type") in {"tile", "button"} and str(card.get("entity", "")).split(".")[0] in {"button", "switch"}:
            assert {"tap_action", "icon_tap_action"} <= card.keys()
        for name in ACTIONS:
            action = card.get(name, {"action": "none"})
            if action["action"] in HARMLESS or action.get("target", {}).get("entity_id") == released:
                continue
            assert action["confirmation"]["text"]
            asked += 1
    # Two timed commands; two switches and three buttons, each with its icon.
    assert asked == 2 + 2 * 2 + 3 * 2
    commands = [card["data"] for card in cards(content) if card.get("perform_action") == "refu_ess.set_power"]
    assert commands == [{"active_power": power, "duration": {"minutes": 15}} for power in (-20_000, 20_000)]


def test_nothing_slides() -> None:
    """There is no slider, no row that sets at a touch, and no tile feature that writes."""
    content = yaml.safe_load(printed())
    assert "slider" not in json.dumps(content)
    features = {feature["type"] for card in cards(content) for feature in card.get("features", [])}
    assert features == {"trend-graph"}
    for card in cards(content):
        if card.get("type") == "entities":
            assert {one.split(".")[0] for one in entity_ids(card)} <= {"binary_sensor", "sensor"}


@pytest.mark.usefixtures("loaded")
def test_no_dialog_slides(hass: HomeAssistant) -> None:
    """The dialog of a number, which a tile opens, has a field to type in."""
    modes = {state.entity_id: state.attributes["mode"] for state in hass.states.async_all("number")}
    assert len(modes) == 5
    assert set(modes.values()) == {"box"}


@pytest.mark.parametrize("language", sorted(SCRIPT.TEXTS))
def test_names_fit(language: str) -> None:
    """A tile of half a section has a short name."""
    tiles = [card for card in cards(yaml.safe_load(printed("--language", language))) if card.get("type") == "tile"]
    narrow = [card["name"] for card in tiles if card.get("grid_options") != {"columns": "full"}]
    assert 0 < len(narrow) < len(tiles)
    assert max(map(len, narrow)) <= SCRIPT.SHORT


def test_nothing_is_shown_that_says_nothing() -> None:
    """The end of a setpoint is shown while there is one, and lists of alarms while there are alarms."""
    found = list(cards(yaml.safe_load(printed())))
    ends = [card for card in found if card.get("type") == "tile" and card["entity"].endswith("_setpoint_active_until")]
    assert len(ends) == 2
    assert [card["visibility"][0]["state_not"] for card in ends] == [["unavailable", "unknown"]] * 2
    (everything,) = (card for card in found if card.get("type") == "markdown")
    assert everything["visibility"] == [
        {"condition": "numeric_state", "entity": "sensor.refu_ess_active_alarms", "above": 0}
    ]


async def test_every_active_alarm_is_listed(
    hass: HomeAssistant, loaded: object, unit: MockModbusUnit, freezer: FrozenDateTimeFactory
) -> None:
    """Also those whose entities are off by default, and since when in the time zone of the installation."""
    freezer.move_to("2100-01-10T10:00:00Z")
    await hass.config.async_set_time_zone("Europe/Berlin")
    unit.input.update({BATTERY_FAULT_2: 1 << 2, BATTERY_FAULT_10: 1 << 7})
    freezer.tick(timedelta(seconds=11))
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
    freezer.tick(timedelta(hours=1))
    (content,) = (card["content"] for card in cards(yaml.safe_load(printed())) if card.get("type") == "markdown")
    assert Template(content, hass).async_render() == (
        "**Fog (smoke) alarm**<br>since 2100-01-10 11:00\n\n**CAN lost, group 3**<br>since 2100-01-10 11:00"
        f"\n\n\n[What to do first]({REPOSITORY}/blob/main/docs/alarms.md#all-alarms)"
    )


def test_core_cards_only() -> None:
    """Views have sections, sections have cards, and all of them are Home Assistant's own."""
    for view in yaml.safe_load(printed())["views"]:
        assert view["type"] == "sections"
        for section in view["sections"]:
            assert section["type"] == "grid"
            for card in section["cards"]:
                assert {card["type"], card.get("card", card)["type"]} <= CORE_CARDS


@pytest.mark.usefixtures("loaded")
def test_the_view_in_the_document(hass: HomeAssistant) -> None:
    """It is short, its entities exist, and it has no category whose tiles switch at a touch."""
    text = (ROOT / "docs" / "dashboard.md").read_text().split("```yaml\n")[1].split("```")[0]
    view = yaml.safe_load(text)
    assert len(text.splitlines()) < 20
    strategies = [section["strategy"] for section in view["sections"] if "strategy" in section]
    assert {one["type"] for one in strategies} == {"device"}
    assert not {category for one in strategies for category in one["categories"]} & {"control", "config"}
    assert {one for one in entity_ids(view) if hass.states.get(one) is None} == set()
