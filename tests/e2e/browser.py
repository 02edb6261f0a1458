"""A headless Chromium that signs in by the form and takes pictures."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

from .ess import DOMAIN
from .home_assistant import PASSWORD, ROOT, USER, HomeAssistant

SHOTS = ROOT / ".shots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CUT_OFF = """() => {
  const found = [];
  const look = (root, inRow) => {
    for (const one of root.querySelectorAll("*")) {
      const here = inRow || /-ENTITY-ROW$/.test(one.tagName);
      const text = one.textContent.trim();
      const cut = one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0;
      if (here && text && cut && getComputedStyle(one).textOverflow === "ellipsis") found.push(text);
      if (one.shadowRoot) look(one.shadowRoot, here);
    }
  };
  look(document, false);
  return found;
}"""
"""Finds the texts in rows of entities that have less room than they need."""
TIMEOUT_MS = 20_000
ANIMATION_MS = 700


class Browser:
    """A browser window with one user signed in."""

    def __init__(self, ha: HomeAssistant, page: Page) -> None:
        """Start to listen to what the page complains of and asks for."""
        self.ha = ha
        self.page = page
        self.complaints: list[str] = []
        self.outside: set[str] = set()
        """Hosts that it asked for and could not reach."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        url = str(message.location.get("url", ""))
        # Pictures of other integrations come from the internet.
        if message.type == "error" and ("/api/brands/" not in url or DOMAIN in url):
            self.complaints.append(f"{message.text} {url}")

    def _on_request(self, request: Request) -> None:
        host = urlsplit(request.url).hostname
        if host and host != "127.0.0.1":
            self.outside.add(host)

    def sign_in(self) -> None:
        """Fill in the form."""
        self.page.goto(self.ha.url)
        self.page.locator("input[name=username]").fill(USER)
        self.page.locator("input[name=password]").fill(PASSWORD)
        self.page.keyboard.press("Enter")
        self.settle()

    def settle(self, text: str | None = None) -> None:
        """Wait until the page is drawn and, if it is given, the text is on it."""
        self.page.locator("home-assistant-main").wait_for()
        self.page.locator("#ha-launch-screen").wait_for(state="detached")
        if text is not None:
            self.page.get_by_text(text).first.wait_for()
        self.page.wait_for_load_state("networkidle")

    def visit(self, path: str, text: str) -> None:
        """Open a page and wait for a text on it."""
        self.page.goto(self.ha.url + path)
        self.settle(text)

    def shoot(self, name: str) -> Path:
        """Keep a picture."""
        self.page.wait_for_timeout(ANIMATION_MS)
        SHOTS.mkdir(exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def cut_off(self) -> list[str]:
        """Return the texts in rows of entities that are cut off."""
        self.page.wait_for_timeout(ANIMATION_MS)
        return list(self.page.evaluate(CUT_OFF))

    def click(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).first.click()


@contextmanager
def browser(
    ha: HomeAssistant,
    *,
    language: str = "en",
    width: int = 1400,
    height: int = 2400,
    dark: bool = False,
    scale: float = 1,
) -> Iterator[Browser]:
    """A window that is signed in, and a picture of it if something fails."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",  # it does not run as root otherwise
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        page = chromium.new_page(
            viewport={"width": width, "height": height},
            locale=language,
            color_scheme="dark" if dark else "light",
            device_scale_factor=scale,
        )
        page.set_default_timeout(TIMEOUT_MS)
        window = Browser(ha, page)
        try:
            window.sign_in()
            yield window
        except BaseException:
            window.shoot("failed")
            raise
        finally:
            chromium.close()
