"""Runs a real Home Assistant on loopback and speaks to it as its frontend does: by REST and websocket."""

# ruff: noqa: S603, S310 - it starts Home Assistant and opens addresses of this machine

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
DEVELOP_CONFIG = ROOT / "scripts" / "develop-config"
USER, PASSWORD = "owner", "only-for-tests"

FLOW = "/api/config/config_entries/flow"
OPTIONS_FLOW = "/api/config/config_entries/options/flow"

RESTART = 100  # the exit code by which hass asks to be started again
START_SECONDS = 180  # the first start of all compiles everything
STOP_SECONDS = 60

type Answer = dict[str, Any]


class FlowError(Exception):
    """A flow did not go on: `reason` is the abort reason or the code of the form's first error."""

    def __init__(self, step: Answer) -> None:
        """Take the step at which it stopped."""
        errors = step.get("errors") or {}
        self.reason = step.get("reason") or next(iter(errors.values()), None)
        self.step = step
        hints = step.get("description_placeholders") or ""
        super().__init__(f"{step['type']} {step.get('step_id', '')}: {self.reason} {hints}")


def is_free(port: int) -> bool:
    """Return whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(first: int = 0) -> int:
    """Return a free port, `first` or the next free one after it if it is given."""
    if first:
        return next(port for port in range(first, 65536) if is_free(port))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until[T](ask: Callable[[], T | None], seconds: float, what: str) -> T:
    """Ask again and again until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while True:
        try:
            if answer := ask():
                return answer
        except OSError, ValueError, KeyError:  # refused, an HTTP error, half an answer, not there yet
            pass
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def filled(fields: list[Answer], changed: Answer) -> Answer:
    """Return what a form sends: the user's changes, and the defaults for the rest."""
    values: Answer = {}
    for field in fields:
        name = field["name"]
        shown = (field.get("description") or {}).get("suggested_value", field.get("default"))
        if field.get("type") == "expandable":
            values[name] = filled(field["schema"], changed.get(name, {}))
        elif name in changed or shown is not None:
            values[name] = changed.get(name, shown)
    return values


class HomeAssistant:
    """One installation in a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        """Nothing is started yet."""
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._token: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: threading.Thread | None = None
        self._stopping = False

    # The process

    def prepare(self) -> None:
        """Make the configuration folder, or bring it up to date."""
        storage = self.folder / ".storage"
        if not storage.exists():
            storage.mkdir(parents=True)
            # The view of this step would set up four integrations that need the internet.
            self._store("onboarding", 4, {"done": ["core_config"]})
            # This one sets itself up unless it is there, and then looks for its server outside.
            shop: Answer = {"domain": "marketplace", "entry_id": "marketplace", "title": "Marketplace"}
            shop |= {"source": "user", "version": 1, "data": {}, "disabled_by": "user"}
            self._store("core.config_entries", 1, {"entries": [shop]})
        # In YAML this would be on trial for five minutes, and then a restart would follow on 0.0.0.0:8123.
        # A store of version 1 is taken as confirmed.
        self._store("http", 1, {"server_host": ["127.0.0.1"], "server_port": self.port})
        for source in DEVELOP_CONFIG.glob("*.yaml"):
            shutil.copy(source, self.folder)
        for written in ("automations.yaml", "scripts.yaml"):
            (self.folder / written).touch()
        custom = self.folder / "custom_components"
        custom.mkdir(exist_ok=True)
        for source in (ROOT / "custom_components").glob("*/manifest.json"):
            link = custom / source.parent.name
            link.unlink(missing_ok=True)
            link.symlink_to(source.parent)

    def _store(self, key: str, version: int, data: Answer) -> None:
        body = {"version": version, "minor_version": 1, "key": key, "data": data}
        (self.folder / ".storage" / key).write_text(json.dumps(body))

    @property
    def log_file(self) -> Path:
        """Its log since start; Home Assistant's own begins again with each restart."""
        return self.folder / "hass.out"

    def log(self) -> list[str]:
        """Return its lines."""
        return self.log_file.read_text().splitlines()

    @property
    def running(self) -> bool:
        """Return whether it runs, or is about to start again."""
        return self._supervisor is not None and self._supervisor.is_alive()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "homeassistant", "--config", str(self.folder), "--log-no-color"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(sys.prefix) / "pycache")  # not in the source folders
        with self.log_file.open("ab") as log:
            # In its own folder: where it is started Python finds `custom_components` first. In a session of its own, so
            # that Ctrl-C in the terminal comes only by us.
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _supervise(self) -> None:
        while self._process is not None and self._process.wait() == RESTART and not self._stopping:
            self._process = self._spawn()

    def start(self) -> None:
        """Start it, sign in and wait until everything is set up."""
        self.prepare()
        self.log_file.write_bytes(b"")
        self._stopping = False
        self._process = self._spawn()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        self._until(lambda: self.rest("GET", "/manifest.json"), START_SECONDS, "web server")
        self.sign_in()
        self._wait_running()

    def _until[T](self, ask: Callable[[], T], seconds: float, what: str) -> T:
        def ask_while_alive() -> T:
            if not self.running:
                raise RuntimeError("Home Assistant ended:\n" + "\n".join(self.log()[-20:]))
            return ask()

        return until(ask_while_alive, seconds, what)

    def _wait_running(self) -> None:
        self._until(lambda: self.rest("GET", "/api/config")["state"] == "RUNNING", START_SECONDS, "running")
        if self.rest("GET", "/api/config")["recovery_mode"]:
            raise RuntimeError("Home Assistant is in recovery mode:\n" + "\n".join(self.log()[-20:]))

    def stop(self) -> None:
        """End it as Ctrl-C would, or at once if that takes too long."""
        self._stopping = True
        if self._process is None or self._supervisor is None:
            return
        for end in ("terminate", "kill"):
            getattr(self._process, end)()
            self._supervisor.join(STOP_SECONDS)
            if not self._supervisor.is_alive():
                return

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError("Home Assistant was never started")
        return self._process.pid

    def wait(self) -> None:
        """Wait until it exits on its own."""
        if self._supervisor is not None:
            self._supervisor.join()

    def restart(self) -> None:
        """Restart it the way a user does."""
        old = self._process
        with contextlib.suppress(OSError):  # it may be gone before it answers
            self.call("homeassistant.restart")
        self._until(lambda: self._process is not old, STOP_SECONDS, "restart")
        self._wait_running()

    # Signing in

    def sign_in(self) -> None:
        """Make the owner the first time, and take an access token of half an hour."""
        client = {"client_id": self.url + "/"}
        try:
            done = {step["step"] for step in self.rest("GET", "/api/onboarding") if step["done"]}
        except urllib.error.HTTPError:  # there is nothing left to do
            done = {"user", "analytics", "integration"}
        if "user" in done:
            wanted = client | {"handler": ["homeassistant", None], "redirect_uri": self.url + "/"}
            flow = self.rest("POST", "/auth/login_flow", wanted)["flow_id"]
            login = client | {"username": USER, "password": PASSWORD}
            code = self.rest("POST", f"/auth/login_flow/{flow}", login)["result"]
        else:
            owner = client | {"name": "Owner", "username": USER, "password": PASSWORD, "language": "en"}
            code = self.rest("POST", "/api/onboarding/users", owner)["auth_code"]
        grant = client | {"grant_type": "authorization_code", "code": code}
        self._token = self.rest("POST", "/auth/token", grant, form=True)["access_token"]
        for step, body in (("analytics", {}), ("integration", client | {"redirect_uri": self.url + "/"})):
            if step not in done:
                self.rest("POST", f"/api/onboarding/{step}", body)

    # REST and websocket

    def rest(self, method: str, path: str, body: Answer | None = None, *, form: bool = False) -> Any:
        """Return the answer of one request."""
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data = (urllib.parse.urlencode(body) if form else json.dumps(body)).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read().decode()
        except urllib.error.HTTPError as error:
            error.msg += ": " + error.read().decode()[:500]
            raise
        return json.loads(text) if text[:1] in '{["' else text

    def ws(self, *messages: Answer) -> list[Any]:
        """Send websocket commands in order and return the result of each."""
        # In a thread: a browser's session has an event loop running in this one.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, self._ws(messages)).result()

    async def _ws(self, messages: Iterable[Answer]) -> list[Any]:
        url = self.url + "/api/websocket"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket_:
            await socket_.receive_json()
            await socket_.send_json({"type": "auth", "access_token": self._token})
            if (answer := await socket_.receive_json())["type"] != "auth_ok":
                raise RuntimeError(answer)
            results = []
            for number, message in enumerate(messages, 1):
                await socket_.send_json({"id": number, **message})
                answer = await socket_.receive_json()
                while (answer["id"], answer["type"]) != (number, "result"):  # an event of an earlier one
                    answer = await socket_.receive_json()
                if not answer["success"]:
                    raise RuntimeError(answer["error"])
                results.append(answer["result"])
            return results

    def call(self, action: str, data: Answer | None = None) -> Any:
        """Perform an action."""
        return self.rest("POST", "/api/services/" + action.replace(".", "/"), data or {})

    def speak(self, language: str) -> None:
        """Change the language of the installation, in which entities are named, and of its user."""
        user = {"language": language, "time_zone": "local"}
        user |= dict.fromkeys(("number_format", "time_format", "date_format", "first_weekday"), "language")
        self.ws(
            {"type": "config/core/update", "language": language},
            {"type": "frontend/set_user_data", "key": "language", "value": user},
        )

    def states(self) -> dict[str, Answer]:
        """Return all states by entity id."""
        return {state["entity_id"]: state for state in self.rest("GET", "/api/states")}

    def entries(self, domain: str) -> list[Answer]:
        """Return an integration's config entries."""
        return list(self.rest("GET", f"/api/config/config_entries/entry?domain={domain}"))

    # Flows

    def add(self, domain: str, answers: list[Answer]) -> Answer:
        """Set up an integration, saying at each step what is to be changed, and return its entry."""
        return dict(self._flow(FLOW, {"handler": domain}, answers)["result"])

    def reconfigure(self, entry: Answer, answers: list[Answer]) -> None:
        """Go through the reconfigure flow."""
        self._flow(FLOW, {"handler": entry["domain"], "entry_id": entry["entry_id"]}, answers)

    def options(self, entry: Answer, answers: list[Answer]) -> None:
        """Go through the options flow."""
        self._flow(OPTIONS_FLOW, {"handler": entry["entry_id"]}, answers)

    def _flow(self, path: str, start: Answer, answers: list[Answer]) -> Answer:
        step = self.rest("POST", path, start)
        for answer in answers:
            if step["type"] == "abort" or step.get("errors"):
                break
            body = filled(step["data_schema"], answer) if step["type"] == "form" else answer
            step = self.rest("POST", f"{path}/{step['flow_id']}", body)
        if step["type"] == "create_entry" or str(step.get("reason")).endswith("_successful"):
            return dict(step)
        if step["type"] != "abort":
            self.rest("DELETE", f"{path}/{step['flow_id']}")
        raise FlowError(step)
