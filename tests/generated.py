"""Files generated from the declarations: the entities' English texts, the icons, and the tables in `docs`."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from custom_components.refu_ess import options
from custom_components.refu_ess.automations import OPTIONS
from custom_components.refu_ess.binary_sensor import CONNECTION
from custom_components.refu_ess.controls import CONTROLS
from custom_components.refu_ess.describe import (
    BINARY_SENSORS,
    NUMBERS,
    SENSORS,
    RefuEssEntityDescription,
    RefuEssNumberDescription,
    RefuEssSensorDescription,
    alarm_names,
    english_entities,
    icons,
)
from custom_components.refu_ess.ess import ALARMS, BITS, CHANNELS, ChannelEntry, Part, Severity, effective_severity

from .first_steps import first_step

ROOT = Path(__file__).parent.parent
INTEGRATION = ROOT / "custom_components" / "refu_ess"
TRANSLATIONS = {path.stem: path for path in sorted((INTEGRATION / "translations").glob("*.json"))}
"""By language."""
DOCS = ROOT / "docs"
PARTS = {Part.ESS: "ESS", Part.BATTERY: "Battery", Part.DCDC: "DC/DC converter"}


def as_json(content: Any) -> str:
    """Return the text of a JSON file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def merged(name: str, generated: dict[str, Any]) -> str:
    """Return a file with its `entity` part from the declarations; the control entities keep what is written there."""
    content = json.loads((INTEGRATION / name).read_text())
    entities: dict[str, Any] = {}
    for platform in sorted({*generated, *CONTROLS}):
        keys = {description.key for description in CONTROLS.get(platform, ())} | {CONNECTION.key}
        kept = {key: value for key, value in content["entity"].get(platform, {}).items() if key in keys}
        if found := generated.get(platform, {}) | kept:
            entities[platform] = dict(sorted(found.items()))
    return as_json({**content, "entity": entities})


def with_selectors(text: str) -> str:
    """Return a language with the lists of alarms for the automation editor, and what all bits share."""
    content = json.loads(text)
    event = content["entity"]["event"]["alarms"]["state_attributes"]
    names = {"alarm": content["entity"]["sensor"]["most_severe_alarm"]["state"]}
    names |= {name: event[name]["state"] for name in ("severity", "category")}
    for name, texts in names.items():
        content["selector"][name] = {"options": {key: texts[key] for key in OPTIONS[name]}}
    reason = content["entity"]["event"]["commands"]["state_attributes"]["reason"]
    for name in ("delivery_reason", "end_reason", "refusal_reason"):
        reason["state"] |= content["selector"][name]["options"]
    for key, texts in content["entity"]["binary_sensor"].items():
        if key in {entry.key for entry in BITS}:
            texts["state_attributes"] = {"label": {"name": event["label"]["name"]}}
    return as_json(content)


def english() -> str:
    """Return `translations/en.json` with the entities and the lists of the declarations."""
    return with_selectors(merged("translations/en.json", english_entities()))


def translated(language: str) -> str:
    """Return the texts of a language that is translated by hand, with the lists."""
    return with_selectors(TRANSLATIONS[language].read_text())


def with_options(name: str) -> str:
    """Return a YAML file with the lists of options, each between its two markers."""
    lines: list[str] = []
    ends = ""
    for line in (INTEGRATION / name).read_text().splitlines():
        mark = line.strip()
        if ends and mark != ends:
            continue
        lines.append(line)
        ends = ""
        if mark.startswith("# ") and mark.endswith(": generated"):
            choices = mark.removeprefix("# ").removesuffix(": generated")
            indent = line[: line.index("#")]
            lines += [f"{indent}- {option}" for option in OPTIONS[choices]]
            ends = f"# {choices}: end"
    return "\n".join(lines) + "\n"


def triggers() -> str:
    """Return `triggers.yaml`."""
    return with_options("triggers.yaml")


def conditions() -> str:
    """Return `conditions.yaml`."""
    return with_options("conditions.yaml")


def icon_file() -> str:
    """Return `icons.json` with the entities of the declarations."""
    return merged("icons.json", icons())


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _address(entry: ChannelEntry) -> str:
    return "" if entry.field is None else f"0x{entry.field.address:03X}"


def _enabled(description: RefuEssEntityDescription) -> str:
    return "on" if description.entity_registry_enabled_default else "off"


def _channel_rows() -> Iterator[str]:
    yield _row("Entity", "Part", "Channel", "Register", "Unit", "Default")
    yield _row(*["---"] * 6)
    described: tuple[RefuEssSensorDescription | RefuEssNumberDescription, ...] = (*SENSORS, *NUMBERS)
    for description in described:
        entry = description.entry
        yield _row(
            entry.channel.name,
            PARTS[description.part],
            entry.channel.table_name or "computed",
            _address(entry),
            entry.unit or "",
            _enabled(description),
        )


def _bit_rows() -> Iterator[str]:
    by_key = {description.key: description for description in BINARY_SENSORS}
    yield _row("Entity", "Part", "Word", "Bit", "Shown on when", "Counts as", "Default")
    yield _row(*["---"] * 7)
    for entry in BITS:
        part = f"Battery group {entry.bit.group}" if entry.bit.group else PARTS[entry.bit.part]
        severity = "" if entry.bit.severity is Severity.INFO else effective_severity(entry).value
        yield _row(
            entry.bit.name,
            part,
            entry.word.channel.table_name,
            entry.field.start,
            0 if entry.bit.severity is Severity.READY else 1,
            severity,
            _enabled(by_key[entry.key]),
        )


def _condition_rows() -> Iterator[str]:
    english_names = english_entities()["binary_sensor"]
    yield _row("Entity", "On when")
    yield _row("---", "---")
    for description in BINARY_SENSORS:
        if description.entry is None:
            meaning = {
                "fault": "any fault is active",
                "warning": "any warning is active",
                "charging": "active power is negative",
            }.get(description.key, "any alarm of this category is active")
            yield _row(english_names[description.key]["name"], meaning)


def _option_rows() -> Iterator[str]:
    content = json.loads((INTEGRATION / "translations" / "en.json").read_text())
    step = content["options"]["step"]["init"]
    words = content["selector"]
    yield _row("Option", "Meaning", "Permitted", "Default")
    yield _row(*["---"] * 4)
    for option in options.FORM:
        texts = step["sections"][option.section] if option.section else step
        name = texts["data"][option.key]
        match option:
            case options.NumberOption():
                unit = f" {option.unit}" if option.unit else ""
                permitted = f"{option.minimum:g} to {option.maximum:g}{unit}"
                default = f"{option.default:g}{unit}"
            case options.ChoiceOption():
                choices = words[option.key]["options"]
                permitted, default = ", ".join(choices[one] for one in option.choices), choices[option.default]
            case _:
                permitted, default = "on, off", "on" if option.default else "off"
        named = f"{texts['name']}: {name}" if option.section else name
        yield _row(named, texts["data_description"][option.key], permitted, default)


def _control_rows() -> Iterator[str]:
    names = json.loads((INTEGRATION / "translations" / "en.json").read_text())["entity"]
    yield _row("Entity", "Platform", "Default")
    yield _row(*["---"] * 3)
    for platform, descriptions in CONTROLS.items():
        for description in descriptions:
            yield _row(names[platform][description.key]["name"], platform, _enabled(description))


def _alarm_rows() -> Iterator[str]:
    yield _row("Name", "First step", "Counts as", "Category", "German name", "Label", "Word and bit", "Key")
    yield _row(*["---"] * 8)
    texts = alarm_names()
    german = json.loads(TRANSLATIONS["de"].read_text())["selector"]["alarm"]["options"]
    for alarm in ALARMS:
        place = f"{alarm.word.channel.table_name}.{alarm.field.start}"
        category = alarm.bit.category.value
        yield _row(
            texts[alarm.key],
            first_step(alarm),
            effective_severity(alarm).value,
            category,
            german[alarm.key],
            alarm.bit.label,
            place,
            f"`{alarm.key}`",
        )


def _reason_rows() -> Iterator[str]:
    yield _row("Shown", "Key", "Limiting factor", "Setpoint ended", "Command refused")
    yield _row(*["---"] * 5)
    content = json.loads(TRANSLATIONS["en"].read_text())
    columns = [
        content["entity"]["sensor"]["binding_limit"]["state"],
        *(content["selector"][name]["options"] for name in ("end_reason", "refusal_reason")),
    ]
    rows = {(text, key) for texts in columns for key, text in texts.items()}
    for text, key in sorted(rows):
        yield _row(text, f"`{key}`", *("x" if texts.get(key) == text else "" for texts in columns))


ENTITY_TABLES = {
    "conditions": _condition_rows,
    "control": _control_rows,
    "channels": _channel_rows,
    "bits": _bit_rows,
}


def with_tables(path: Path, tables: Mapping[str, Callable[[], Iterator[str]]]) -> str:
    """Return a page with its tables generated again, each between its two markers."""
    text = path.read_text()
    for name, rows in tables.items():
        start, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
        before, rest = text.split(start)
        after = rest.split(end)[1]
        text = before + start + "\n\n" + "\n".join(rows()) + "\n\n" + end + after
    return text


def entities_page() -> str:
    """Return the page about the entities with its tables generated again."""
    return with_tables(DOCS / "entities.md", ENTITY_TABLES)


def alarms_page() -> str:
    """Return the page about the alarms with its table generated again."""
    return with_tables(DOCS / "alarms.md", {"alarms": _alarm_rows})


def control_page() -> str:
    """Return the page about control with its table of reasons generated again."""
    return with_tables(DOCS / "control.md", {"reasons": _reason_rows})


def options_page() -> str:
    """Return the page about the options with its table generated again."""
    return with_tables(DOCS / "options.md", {"options": _option_rows})


FILES: Mapping[Path, Callable[[], str]] = {
    TRANSLATIONS["en"]: english,
    **{path: partial(translated, language) for language, path in TRANSLATIONS.items() if language != "en"},
    INTEGRATION / "icons.json": icon_file,
    INTEGRATION / "triggers.yaml": triggers,
    INTEGRATION / "conditions.yaml": conditions,
    DOCS / "alarms.md": alarms_page,
    DOCS / "entities.md": entities_page,
    DOCS / "control.md": control_page,
    DOCS / "options.md": options_page,
}

assert len(CHANNELS) == len(SENSORS) + len(NUMBERS)
