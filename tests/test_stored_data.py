"""Old data and new code, new data and old code, and data that is broken: from files on a real disk.

The fixtures are what each release stored (`store_data.py` made them): the entry, the registries, the record of what is
owed with 20 kW held, the memory of alarms.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    category_registry as cr,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    issue_registry as ir,
    label_registry as lr,
    restore_state as rs,
)
from homeassistant.setup import async_setup_component
from modbus_connection.mock import MockModbusUnit

from custom_components.refu_ess import alarm_memory, memory
from custom_components.refu_ess.config_flow import RefuEssConfigFlow
from custom_components.refu_ess.const import DOMAIN
from custom_components.refu_ess.options import OPTIONS, value_of

from .generated import INTEGRATION
from .helpers import ZERO, Written, seconds
from .registers import ACTIVE_SETPOINT, ACTIVE_SETPOINT_L1, REACTIVE_SETPOINT
from .store_data import ENTRY_ID

STORED = Path(__file__).parent / "fixtures" / "stored"
RELEASES = sorted(folder.name for folder in STORED.iterdir())
RECORD, ALARMS, GUARD = f"{DOMAIN}.{ENTRY_ID}", f"{DOMAIN}.{ENTRY_ID}.alarms", f"{DOMAIN}.{ENTRY_ID}.guard"
ENTRIES, AREAS, DEVICES, ENTITIES = (
    f"core.{name}" for name in ("config_entries", "area_registry", "device_registry", "entity_registry")
)
HELD_W = 20_000
REPLACED = {
    "0.1.0": {"switch work_state": "two buttons"},
}
"""The entities of a release that a later one does not have, and what took their place."""

pytestmark = pytest.mark.parametrize("load_registries", [False])


@pytest.fixture
def expected_lingering_timers() -> bool:
    """Home Assistant's own device registry waits to clean up after a start with devices."""
    return True


@pytest.fixture
def hass_config_dir(tmp_path: Path) -> str:
    """A folder of its own on a real disk."""
    (tmp_path / ".storage").mkdir()
    return str(tmp_path)


@pytest.fixture
def hass_storage() -> dict[str, Any]:
    """Storage is not mocked: files are read, replaced and renamed as in use."""
    return {}


@pytest.fixture
def written(written: Written, unit: MockModbusUnit) -> Written:
    """Collect the writes to the device, which still holds the power commanded before the crash."""
    unit.holding[ACTIVE_SETPOINT] = HELD_W // 100
    return written


@pytest.fixture
def storage(hass_config_dir: str) -> Path:
    """The folder with the files."""
    return Path(hass_config_dir, ".storage")


def put(storage: Path, release: str) -> None:
    """Put the data of a release in place."""
    for file in (STORED / release).glob("*.json"):
        if file.stem != "entity_ids":
            shutil.copy(file, storage / file.stem)


def stored(folder: Path, name: str) -> Any:
    """Return the content of a file."""
    return json.loads((folder / name).read_text())["data"]


def change(storage: Path, name: str, how: Callable[[Any], object]) -> None:
    """Change a file."""
    content = json.loads((storage / name).read_text())
    how(content)
    (storage / name).write_text(json.dumps(content))


def newer(content: Any) -> None:
    """Let a file be one of a newer release."""
    content["version"] += 1


def ours(storage: Path) -> dict[str, bytes]:
    """Return what the files of the integration contain."""
    return {path.name: path.read_bytes() for path in storage.glob(f"{DOMAIN}.*")}


async def start(hass: HomeAssistant) -> ConfigEntry[Any]:
    """Start as Home Assistant does: registries, entries, integration."""
    dr.async_setup(hass)
    for registry in (ar, cr, dr, er, fr, ir, lr, rs):
        await registry.async_load(hass)
    await hass.config_entries.async_initialize()
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()
    entry: ConfigEntry[Any] | None = hass.config_entries.async_get_entry(ENTRY_ID)
    assert entry is not None
    return entry


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as a warning or worse, ours and what Home Assistant says about us."""
    return [
        one.getMessage()
        for one in caplog.records
        if one.levelno >= logging.WARNING and (DOMAIN in one.name or DOMAIN in one.getMessage())
    ]


def of_the_loader(line: str) -> bool:
    """Return whether a line is about every custom integration."""
    return "custom integration" in line and "has not been tested" in line


def test_this_release_has_fixtures() -> None:
    """The newest fixtures are those of the release being made, with the versions that the code stores."""
    newest = RELEASES[-1]
    changes = (INTEGRATION.parents[1] / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", changes, re.MULTILINE) == RELEASES[::-1]
    versions = {
        name: json.loads((STORED / newest / f"{name}.json").read_text())["version"] for name in (RECORD, ALARMS)
    }
    assert versions == {RECORD: memory.STORAGE_VERSION, ALARMS: alarm_memory.STORAGE_VERSION}
    (entry,) = stored(STORED / newest, f"{ENTRIES}.json")["entries"]
    assert (entry["version"], entry["minor_version"]) == (RefuEssConfigFlow.VERSION, RefuEssConfigFlow.MINOR_VERSION)


# Upgrade


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("release", RELEASES)
async def test_upgrade(
    hass: HomeAssistant,
    storage: Path,
    written: Written,
    freezer: FrozenDateTimeFactory,
    release: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The entry loads with its options, and the zero for what the earlier release commanded is paid, once."""
    put(storage, release)
    entry = await start(hass)
    assert entry.state is ConfigEntryState.LOADED
    (before,) = stored(STORED / release, f"{ENTRIES}.json")["entries"]
    assert dict(entry.options) == before["options"]
    assert dict(entry.data) == before["data"]
    for option in OPTIONS:
        assert value_of(entry, option) == before["options"].get(option.key, option.default)
    await seconds(hass, freezer, 30)
    assert written == ZERO
    record = stored(storage, RECORD)
    assert record["zero"] is None
    assert not record["unknown_zero"]
    assert record["soc_protection"]
    assert "lease" not in record
    assert json.loads((storage / RECORD).read_text())["version"] == memory.STORAGE_VERSION
    assert not [line for line in own_lines(caplog) if not of_the_loader(line)]
    written.clear()
    assert await hass.config_entries.async_reload(ENTRY_ID)
    await seconds(hass, freezer, 30)
    assert written == []


@pytest.mark.usefixtures("link", "written")
@pytest.mark.parametrize("release", RELEASES)
async def test_upgrade_keeps_the_registries(hass: HomeAssistant, storage: Path, release: str) -> None:
    """Ids, names, areas, icons and what is disabled stay; what goes is named here."""
    put(storage, release)
    await start(hass)
    entities, devices = er.async_get(hass), dr.async_get(hass)
    gone = REPLACED.get(release, {})
    for one in stored(STORED / release, f"{ENTITIES}.json")["entities"]:
        platform = one["entity_id"].partition(".")[0]
        key = f"{platform} {one['unique_id'].removeprefix(f'{ENTRY_ID}_')}"
        now = entities.async_get(one["entity_id"])
        if key in gone:
            assert now is None, key
            continue
        assert now is not None, key
        shown = (now.id, now.unique_id, now.name, now.area_id, now.icon, now.device_id, now.disabled_by)
        kept = tuple(one[name] for name in ("id", "unique_id", "name", "area_id", "icon", "device_id", "disabled_by"))
        assert shown == kept, key
    ids = json.loads((STORED / release / "entity_ids.json").read_text())
    for known in ids:
        platform, unique_id = known.split()
        if f"{platform} {unique_id.removeprefix(f'{ENTRY_ID}_')}" not in gone:
            assert entities.async_get_entity_id(platform, DOMAIN, unique_id) is not None, known
    found = [
        *dr.async_entries_for_config_entry(devices, ENTRY_ID),
        *dr.async_child_entries_for_config_entry(devices, ENTRY_ID),
    ]
    names = {device.id: (device.name_by_user, device.area_id) for device in found}
    content = stored(STORED / release, f"{DEVICES}.json")
    before = {
        device["id"]: (device["name_by_user"], device["area_id"])
        for device in (*content["devices"], *content.get("child_devices", ()))
    }
    assert names == before
    assert ("The big one", "barn") in names.values()
    state = hass.states.get("sensor.barn_charge")
    assert state is not None
    assert state.state == "62"
    assert state.name.endswith("Charge")  # since 2026.11 Home Assistant puts the name of the device before it
    assert hass.states.get("sensor.barn_battery_active_power") is None  # disabled by the user


@pytest.mark.usefixtures("link", "written")
@pytest.mark.parametrize("release", RELEASES[1:])
async def test_upgrade_keeps_the_alarms(hass: HomeAssistant, storage: Path, release: str) -> None:
    """History and active alarms of an earlier release go on."""
    put(storage, release)
    entry = await start(hass)
    history = entry.runtime_data.alarms.as_data()["history"]
    before = stored(STORED / release, f"{ALARMS}.json")["history"]
    keys = [(one["key"], one["event"] == "raised") for one in reversed(history)]
    assert keys[: len(before)] == [(one["key"], one["raised"]) for one in before]
    assert keys[len(before) :] == [("normal_high_temperature", False)]  # it ended while nothing ran


@pytest.mark.usefixtures("link")
async def test_first_release_by_phases(
    hass: HomeAssistant, storage: Path, unit: MockModbusUnit, written: Written, freezer: FrozenDateTimeFactory
) -> None:
    """The first release recorded totals also for setpoints of each phase: what the phases hold is reported."""
    put(storage, "0.1.0")

    def by_phase(content: Any) -> None:
        content["data"]["entries"][0]["options"]["setpoint_registers"] = "per_phase"

    change(storage, ENTRIES, by_phase)
    unit.holding.update({ACTIVE_SETPOINT: 0} | {ACTIVE_SETPOINT_L1 + phase: 66 for phase in range(3)})
    await start(hass)
    await seconds(hass, freezer, 30)
    assert {address for address, _ in written} <= {ACTIVE_SETPOINT, REACTIVE_SETPOINT}
    issue = ir.async_get(hass).async_get_issue(DOMAIN, f"holds_power_{ENTRY_ID}")
    assert issue is not None
    assert issue.translation_placeholders is not None
    assert issue.translation_placeholders["power"] == "19800"


@pytest.mark.usefixtures("link", "written")
@pytest.mark.parametrize("release", RELEASES)
async def test_option_that_is_no_longer_permitted(
    hass: HomeAssistant, storage: Path, release: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An earlier release took values that this one refuses: its default counts, and a line says so once."""
    put(storage, release)

    def out_of_range(content: Any) -> None:
        content["data"]["entries"][0]["options"] |= {"capacity": 0.5, "an_option_of_another_release": [1]}

    change(storage, ENTRIES, out_of_range)
    entry = await start(hass)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.runtime_data.device.site.capacity == 130_000
    assert sum("the option capacity is 0.5" in line for line in own_lines(caplog)) == 1
    assert entry.options["capacity"] == 0.5  # kept until a user changes it
    assert entry.options["an_option_of_another_release"] == [1]


# Downgrade


@pytest.mark.usefixtures("link")
async def test_entry_of_a_newer_release(
    hass: HomeAssistant, storage: Path, written: Written, unit: MockModbusUnit, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry with a higher major version does not load, a line says why, and nothing is read, written or lost."""
    put(storage, RELEASES[-1])

    def newer(content: Any) -> None:
        content["data"]["entries"][0]["version"] += 1

    change(storage, ENTRIES, newer)
    before = ours(storage)
    entry = await start(hass)
    assert entry.state is ConfigEntryState.MIGRATION_ERROR
    assert any("higher than the current version" in line for line in own_lines(caplog))
    assert not written
    assert not unit.read_events
    assert ours(storage) == before


@pytest.mark.usefixtures("link")
async def test_entry_of_a_newer_minor_release(
    hass: HomeAssistant, storage: Path, written: Written, freezer: FrozenDateTimeFactory
) -> None:
    """A higher minor version is compatible by convention: the entry loads, and its unknown options stay."""
    put(storage, RELEASES[-1])

    def newer(content: Any) -> None:
        entry = content["data"]["entries"][0]
        entry["minor_version"] += 1
        entry["options"]["an_option_of_another_release"] = 5

    change(storage, ENTRIES, newer)
    entry = await start(hass)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.minor_version == RefuEssConfigFlow.MINOR_VERSION + 1
    await seconds(hass, freezer, 30)
    assert written == ZERO
    form = await hass.config_entries.options.async_init(ENTRY_ID)
    assert form["data_schema"] is not None
    await hass.config_entries.options.async_configure(form["flow_id"], form["data_schema"]({"control": {}}))
    await hass.async_block_till_done()
    assert entry.options["an_option_of_another_release"] == 5


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("name", [RECORD, ALARMS])
async def test_file_of_a_newer_release(
    hass: HomeAssistant, storage: Path, written: Written, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer record may say what is owed in words that are not known here: nothing is commanded, written or lost."""
    put(storage, RELEASES[-1])

    change(storage, name, newer)
    before = ours(storage)
    entry = await start(hass)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.error_reason_translation_key == "stored_by_newer_release"
    assert entry.error_reason_translation_placeholders == {"file": str(storage / name)}
    assert any("newer release" in line for line in own_lines(caplog))
    assert written == []
    await hass.async_stop(force=True)
    assert ours(storage) == before


@pytest.mark.usefixtures("link", "written")
async def test_removal_with_a_newer_record(hass: HomeAssistant, storage: Path) -> None:
    """A user who removes the ESS anyway removes its files; an issue about a zero stays: its origin is unknown."""
    put(storage, RELEASES[-1])

    change(storage, RECORD, newer)
    await start(hass)
    identifier = f"zero_owed_{ENTRY_ID}"
    ir.async_create_issue(
        hass, DOMAIN, identifier, is_fixable=False, severity=ir.IssueSeverity.ERROR, translation_key="zero_owed"
    )
    await hass.config_entries.async_remove(ENTRY_ID)
    assert ours(storage) == {}
    assert ir.async_get(hass).async_get_issue(DOMAIN, identifier) is not None


@pytest.mark.usefixtures("link")
async def test_record_with_unknown_words(
    hass: HomeAssistant, storage: Path, written: Written, freezer: FrozenDateTimeFactory
) -> None:
    """A record of the same major version with more in it is understood as far as it goes, and the rest is kept."""
    put(storage, RELEASES[-1])

    def more(content: Any) -> None:
        content["minor_version"] += 1
        content["data"]["of_another_release"] = {"a": 1}

    change(storage, RECORD, more)
    await start(hass)
    await seconds(hass, freezer, 30)
    assert written == ZERO
    assert stored(storage, RECORD)["zero"] is None
    assert stored(storage, RECORD)["of_another_release"] == {"a": 1}


# Broken files

TRUNCATED = "truncated"
BROKEN: dict[str, bytes] = {
    TRUNCATED: b"",
    "empty": b"",
    "binary": bytes(range(256)),
    "null": b"null",
    "list": b"[]",
    "text": b'"x"',
    "number": b"2",
    "without_data": b'{"version": 2}',
    "version_of_text": b'{"version": "x", "data": {}}',
    "data_of_text": b'{"version": 2, "minor_version": 1, "data": "x"}',
    "data_of_null": b'{"version": 2, "minor_version": 1, "data": null}',
    "data_of_lists": b'{"version": 2, "minor_version": 1, "data": {"zero": [], "active": [3], "history": {}}}',
    "not_finite": b'{"version": 2, "data": {"zero": {"lower": [0, 0], "upper": [1e999, 0], "owner": ""}}}',
}


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("how", BROKEN)
async def test_broken_record(
    hass: HomeAssistant,
    storage: Path,
    written: Written,
    freezer: FrozenDateTimeFactory,
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A record that makes no sense stands for an unknown debt: a line and an issue, and nothing is written."""
    put(storage, RELEASES[-1])
    whole = (storage / RECORD).read_bytes()
    (storage / RECORD).write_bytes(whole[: len(whole) // 2] if how == TRUNCATED else BROKEN[how])
    entry = await start(hass)
    assert entry.state is ConfigEntryState.LOADED
    await seconds(hass, freezer, 30)
    assert written == []
    assert any("does not say whether" in line for line in own_lines(caplog))
    issue = ir.async_get(hass).async_get_issue(DOMAIN, f"holds_power_{ENTRY_ID}")
    assert issue is not None
    assert issue.translation_placeholders is not None
    assert issue.translation_placeholders["power"] == str(HELD_W)


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("how", BROKEN)
async def test_broken_memory_of_alarms(
    hass: HomeAssistant,
    storage: Path,
    written: Written,
    freezer: FrozenDateTimeFactory,
    how: str,
) -> None:
    """A memory of alarms that makes no sense is forgotten; all else works, and the zero is paid."""
    put(storage, RELEASES[-1])
    whole = (storage / ALARMS).read_bytes()
    broken = whole[: len(whole) // 2] if how == TRUNCATED else BROKEN[how].replace(b'"version": 2', b'"version": 1')
    (storage / ALARMS).write_bytes(broken)
    entry = await start(hass)
    assert entry.state is ConfigEntryState.LOADED
    await seconds(hass, freezer, 30)
    assert written == ZERO
    assert entry.runtime_data.alarms.as_data() == {"complete": True, "active": [], "history": []}


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("name", [RECORD, ALARMS])
async def test_unreadable_disk(hass: HomeAssistant, storage: Path, written: Written, name: str) -> None:
    """A file that cannot be read now is tried again later, and not taken for none."""
    put(storage, RELEASES[-1])
    (storage / name).unlink()
    (storage / name).mkdir()
    entry = await start(hass)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "storage_unreadable"
    assert written == []


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"reason": "of_another_release"}', bytes(range(256))])
async def test_report_of_a_guard_that_makes_no_sense(
    hass: HomeAssistant, storage: Path, written: Written, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """That a guard acted is logged although its report cannot be read; the report is not looked at again."""
    put(storage, RELEASES[-1])
    (storage / GUARD).write_bytes(content)
    entry = await start(hass)
    assert entry.state is ConfigEntryState.LOADED
    assert sum("guard process" in line for line in own_lines(caplog)) == 1
    assert not (storage / GUARD).exists()
