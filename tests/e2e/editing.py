"""Builds automations in Home Assistant's editor with the mouse, as a person does."""

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, override

from .browser import ANIMATION_MS, Browser
from .ess import DOMAIN, TITLE
from .home_assistant import ROOT

BLUEPRINTS = ROOT / "blueprints" / "automation" / DOMAIN
ENGLISH: dict[str, Any] = json.loads((ROOT / "custom_components" / DOMAIN / "translations" / "en.json").read_text())

FILL_ATTEMPTS = 10
EDITED = """() => {
  const find = (root) => {
    for (const one of root.querySelectorAll("*")) {
      if (one.tagName === "HA-AUTOMATION-EDITOR") return one;
      const found = one.shadowRoot && find(one.shadowRoot);
      if (found) return found;
    }
  };
  const editor = find(document);
  return JSON.stringify(editor.config || editor._config);
}"""
"""Returns the automation that the editor holds, as JSON."""


class _Quiet(SimpleHTTPRequestHandler):
    @override
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served_blueprints() -> Iterator[str]:
    """Serve the blueprints of this repository; gives their address."""
    handler = functools.partial(_Quiet, directory=str(BLUEPRINTS))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def trigger_name(key: str) -> str:
    """Return what a trigger of ours is called in the editor."""
    return str(ENGLISH["triggers"][key]["name"])


class Editor:
    """The editor of automations in one window."""

    def __init__(self, window: Browser) -> None:
        """Take the window; no page is opened yet."""
        self.window = window
        self.page = window.page

    def begin(self) -> None:
        """Open an empty automation."""
        self.window.visit("/config/automation/edit/new", "Then do")

    def add_trigger(self, name: str) -> None:
        """Choose the ESS as the target, and one of the triggers that are offered for it."""
        self.window.click("Add trigger")
        dialog = self.page.locator("add-automation-element-dialog")
        dialog.get_by_text("Devices", exact=True).click()
        dialog.get_by_text(TITLE, exact=True).last.click()
        dialog.get_by_text(name).first.click()
        self.page.get_by_text("Add target").wait_for()

    def choose(self, field: str, option: str) -> None:
        """Tick a field of the trigger, and one of its options."""
        self.page.locator("ha-settings-row").filter(has_text=field).locator("ha-checkbox").first.click()
        self.page.get_by_text(option, exact=True).last.click()

    def set_threshold(self, direction: str, percent: int) -> None:
        """Choose the direction and the value of a trigger on a threshold."""
        self.page.get_by_text("Fire when the value goes").click()
        self.page.get_by_role("menuitem", name=direction).or_(
            self.page.get_by_role("option", name=direction)
        ).first.click()
        self.page.get_by_role("spinbutton").last.fill(str(percent))
        self.page.keyboard.press("Tab")

    def add_message(self, message: str) -> None:
        """Add an action that shows a message in Home Assistant."""
        self.window.click("Add action")
        dialog = self.page.locator("add-automation-element-dialog")
        dialog.get_by_role("textbox").first.fill("persistent")
        dialog.get_by_text("Send a persistent notification", exact=True).click()
        self.page.get_by_text("Message body of the notification").wait_for()
        field = self.page.locator("ha-selector-text").get_by_role("textbox", disabled=False).first
        for _ in range(FILL_ATTEMPTS):  # while the form loads, it is drawn again and forgets what was typed
            if message in self.page.evaluate(EDITED):
                return
            if field.is_visible():  # with a template in it, the field becomes a template editor
                field.fill(message)
            self.page.wait_for_timeout(ANIMATION_MS)
        raise AssertionError(f"the editor does not keep {message!r}")

    def save(self, name: str | None = None) -> None:
        """Save the automation; one of a blueprint has a name already."""
        self.page.wait_for_timeout(ANIMATION_MS)  # the last field is taken after a moment
        self.window.click("Save")
        if name is not None:
            self.page.get_by_role("textbox", name="Name").fill(name)
            self.page.get_by_role("button", name="Save", exact=True).last.click()
        self.page.wait_for_url(lambda url: not url.endswith("/new"))

    def choose_entity(self, name: str) -> None:
        """Choose the entity of a blueprint."""
        self.page.get_by_text("Select an entity").first.click()
        self.page.locator("ha-combo-box-item, ha-picker-combo-box, ha-generic-picker").get_by_text(
            name, exact=True
        ).last.click()
        self.page.get_by_text("Select an entity").wait_for(state="detached")
        self.page.wait_for_timeout(ANIMATION_MS)

    def set_duration(self, minutes: int, seconds: int) -> None:
        """Fill in the last duration of a blueprint."""
        for place, value in ((-2, minutes), (-1, seconds)):
            self.page.get_by_role("spinbutton").all()[place].fill(str(value))
            self.page.keyboard.press("Tab")
            self.page.wait_for_timeout(ANIMATION_MS)

    def import_blueprint(self, url: str, name: str) -> None:
        """Import a blueprint by its address and open an automation of it."""
        self.window.visit("/config/blueprint/dashboard", "Import blueprint")
        self.window.click("Import blueprint")
        self.page.get_by_role("textbox").last.fill(url)
        self.window.click("Preview")
        self.page.get_by_text("Blueprint path").wait_for()
        self.page.get_by_role("button", name="Import blueprint").last.click()
        self.page.locator("ha-data-table").get_by_text(name).click()
        self.page.get_by_text("Blueprint to use").wait_for()
