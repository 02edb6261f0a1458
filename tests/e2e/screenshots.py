"""Takes the pictures of the documentation.

Run it by `scripts/screenshots`, which makes its environment first.
"""

# ruff: noqa: T201, S603 - it is a command, which prints, and it runs scripts/dashboard

import argparse
import io
import math
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from PIL import Image

from .browser import ANIMATION_MS, Browser, browser
from .editing import ENGLISH, Editor, trigger_name
from .ess import DASHBOARD, DOMAIN, TITLE, Ess, make_home, steps
from .home_assistant import ROOT, HomeAssistant, free_port, until
from .simulator import Simulator

IMAGES = ROOT / "docs" / "images"
DOCUMENT = ROOT / "docs" / "dashboard.md"
COLOURS = 128
MOST_BYTES = 150_000
MOST_BYTES_OF_ALL = 1_500_000
DESKTOP = (1400, 960)
PHONE = (390, 1180)
PHONE_SCALE = 1.5
PATIENCE_SECONDS = 60
STORE_SECONDS = 12
"""Until the registries are on disk."""

DAY: tuple[tuple[float, float], ...] = (
    (24, 6),
    (17, -25),
    (14, 0),
    (10, 15),
    (6, 0),
    (3, -20),
    (2, 0),
    (0.9, -20),
    (0.65, 0),
    (0.5, 12),
)
"""The invented day before the pictures: hours ago, and the active power in kW from then on."""
STORED_KWH, CAPACITY_KWH = 80.6, 130
MINUTES = 24 * 60


def day_before() -> Iterator[tuple[float, float, float]]:
    """Yield seconds ago, active power in kW and state of charge in percent, the latest first."""
    stored = STORED_KWH
    for minute in range(1, MINUTES):
        power = next(power for hours, power in reversed(DAY) if minute / 60 <= hours)
        ripple = math.sin(minute / 3) if power else 0
        stored += power / 60
        yield minute * 60, round(power + ripple, 1), round(100 * stored / CAPACITY_KWH)


def seed_history(database: Path, ids: dict[str, str]) -> None:
    """Write the day before into the recorder's database, while Home Assistant is stopped."""
    now = time.time()
    with sqlite3.connect(database) as connection:

        def insert(key: str, seconds_ago: float, value: float) -> None:
            connection.execute(
                "INSERT INTO states (metadata_id, attributes_id, state, last_updated_ts, origin_idx)"
                " SELECT metadata_id, attributes_id, ?, ?, 0 FROM states JOIN states_meta USING (metadata_id)"
                " WHERE states_meta.entity_id = ? AND attributes_id IS NOT NULL ORDER BY last_updated_ts DESC LIMIT 1",
                (str(value), now - seconds_ago, ids[key]),
            )

        for seconds_ago, power, soc in day_before():
            insert("active_power", seconds_ago, power)
            if seconds_ago % 300 == 0:
                insert("soc", seconds_ago, soc)
                insert("allowed_charge", seconds_ago, -100)
                insert("allowed_discharge", seconds_ago, 100)


class Studio:
    """An ESS that was set up, and where its pictures go."""

    def __init__(self, ha: HomeAssistant, simulator: Simulator) -> None:
        """Take what runs."""
        self.ha = ha
        self.simulator = simulator
        self.ess = Ess(ha, ha.entries(DOMAIN)[0])
        self.ids = {key: entity["entity_id"] for key, entity in self.ess.registered().items()}
        self.devices = {name: device for device, name in self.ess.devices().items()}

    def take(self, window: Browser, name: str, *, height: int | None = None) -> None:
        """Keep a picture, with few colours, of the whole window or its upper part."""
        window.page.mouse.move(0, 0)
        window.page.wait_for_timeout(2 * ANIMATION_MS)
        picture = Image.open(io.BytesIO(window.page.screenshot())).convert("RGB")
        if height is not None:
            picture = picture.crop((0, 0, picture.width, height))
        path = IMAGES / f"{name}.png"
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {size / 1000:.0f} kB", flush=True)
        if size > MOST_BYTES:
            sys.exit(f"{path} has more than {MOST_BYTES} bytes")

    def is_seen(self, key: str, state: str) -> None:
        """Wait for the state of an entity."""
        until(lambda: self.ess.states()[key]["state"] == state, PATIENCE_SECONDS, f"{key}: {state}")

    def dashboards(self, suffix: str = "") -> None:
        """The overview, wide and on a phone, light and dark."""
        language = suffix.strip("-") or "en"
        for dark in (False, True):
            shade = "-dark" if dark else ""
            width, height = DESKTOP
            with browser(self.ha, language=language, width=width, height=height, dark=dark) as window:
                window.settle()
                self.take(window, f"dashboard{shade}{suffix}")
                if not dark:
                    window.visit(f"/{DASHBOARD}/control", TITLE)
                    self.take(window, f"dashboard-control{suffix}", height=620)
            width, height = PHONE
            with browser(
                self.ha, language=language, width=width, height=height, dark=dark, scale=PHONE_SCALE
            ) as window:
                window.settle()
                self.take(window, f"dashboard-phone{shade}{suffix}")

    def device_pages(self) -> None:
        """The pages at default settings."""
        battery, group = (ENGLISH["device"][key]["name"] for key in ("battery", "battery_group"))
        pages = {
            TITLE: ("device", 1270),
            battery: ("device-battery", 1085),
            group.format(group=1): ("device-group", 460),
        }
        with browser(self.ha, width=DESKTOP[0], height=2000) as window:
            for device, (name, height) in pages.items():
                window.visit(f"/config/devices/device/{self.devices[device]}", device)
                self.take(window, name, height=height)

    def device_view(self) -> None:
        """The view of the documentation for Home Assistant 2026.11, in a dashboard of its own."""
        text = DOCUMENT.read_text().split("```yaml\n")[1].split("```")[0]
        battery = ENGLISH["device"]["battery"]["name"]
        for place, device in (("ID_OF_THE_ESS", TITLE), ("ID_OF_THE_BATTERY", battery)):
            text = text.replace(place, self.devices[device])
        made, _ = self.ha.ws(
            {"type": "lovelace/dashboards/create", "url_path": "device-view", "title": "Devices"},
            {"type": "lovelace/config/save", "url_path": "device-view", "config": {"views": [yaml.safe_load(text)]}},
        )
        with browser(self.ha, width=DESKTOP[0], height=1250) as window:
            window.visit("/device-view", TITLE)
            self.take(window, "dashboard-device-view")
        self.ha.ws({"type": "lovelace/dashboards/delete", "dashboard_id": made["id"]})

    def editor(self) -> None:
        """The trigger of an alarm in the editor."""
        with browser(self.ha, width=DESKTOP[0], height=820) as window:
            editor = Editor(window)
            editor.begin()
            editor.add_trigger(trigger_name("alarm_raised"))
            editor.choose("Severity", ENGLISH["selector"]["severity"]["options"]["fault"])
            self.take(window, "automation-editor")

    def in_german(self) -> None:
        """The dashboards again, printed for German."""
        command = [sys.executable, "scripts/dashboard", TITLE, "--language", "de", "--config", str(self.ha.folder)]
        printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        shown = self.ha.folder / "dashboard.yaml"
        english = shown.read_text()
        shown.write_text(printed.stdout)
        self.ha.speak("de")
        self.dashboards("-de")
        self.ha.speak("en")
        shown.write_text(english)

    def alarms(self) -> None:
        """A warning and a fault."""
        for key in ("normal_high_temperature", "stack_serious_leakage"):
            self.simulator.control(do="alarm", key=key, on=True)
            time.sleep(2)
        self.is_seen("active_alarms", "2")
        with browser(self.ha, width=DESKTOP[0], height=720) as window:
            window.visit(f"/{DASHBOARD}/alarms", ENGLISH["entity"]["binary_sensor"]["fault"]["name"])
            self.take(window, "dashboard-alarms")
            window.page.goto(f"{self.ha.url}/{DASHBOARD}/alarms?more-info-entity-id={self.ids['alarms']}")
            window.settle()
            self.take(window, "alarms-more-info")
        self.simulator.control(do="release")
        self.is_seen("active_alarms", "0")

    def repair(self) -> None:
        """The issue about another system that writes the setpoint."""
        self.ha.call(f"{DOMAIN}.set_power", {"active_power": 12_000})
        self.simulator.control(do="second_master", watts=-5000)

        def issue() -> bool:
            (found,) = self.ha.ws({"type": "repairs/list_issues"})
            return any(one["domain"] == DOMAIN for one in found["issues"])

        until(issue, PATIENCE_SECONDS, "the issue")
        with browser(self.ha, width=1100, height=620) as window:
            window.visit("/config/repairs", TITLE)
            window.page.locator("ha-config-repairs").get_by_text(TITLE).first.click()
            self.take(window, "repair-issue")


@contextmanager
def running(folder: Path) -> Iterator[Studio]:
    """Run a Home Assistant with a day of history, and the simulator."""
    simulator = Simulator(free_port(), folder / "simulator.out")
    ha = HomeAssistant(folder / "config", free_port())
    try:
        simulator.start()
        ha.start()
        entry = ha.add(DOMAIN, steps(simulator.port))
        ha.options(entry, [{"poll_interval": 1, "control": {"start_delay": 0, "ramp_rate": 100}}])
        ess = Ess(ha, entry)
        until(lambda: ess.states()["soc"]["state"] not in {"unknown", "unavailable"}, PATIENCE_SECONDS, "states")
        make_home(ha, ess)
        ids = {key: entity["entity_id"] for key, entity in ess.registered().items()}
        time.sleep(STORE_SECONDS)
        ha.stop()
        seed_history(ha.folder / "home-assistant_v2.db", ids)
        ha.start()
        yield Studio(ha, simulator)
    finally:
        ha.stop()
        simulator.stop()


def main() -> None:
    """Take the pictures."""
    parts = ("dashboards", "device_pages", "device_view", "editor", "in_german", "alarms", "repair")
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*parts, []], metavar="part", help=f"of {', '.join(parts)}")
    wanted = parser.parse_args().part or parts
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as studio:
        studio.ha.call(f"{DOMAIN}.set_power", {"active_power": 12_000, "duration": {"minutes": 55}})
        studio.is_seen("active_power", "12.0")
        for part in wanted:
            getattr(studio, part)()
    total = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"All: {total / 1000:.0f} kB")
    if total > MOST_BYTES_OF_ALL:
        sys.exit(f"The pictures have more than {MOST_BYTES_OF_ALL} bytes")


if __name__ == "__main__":
    main()
