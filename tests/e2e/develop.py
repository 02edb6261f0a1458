"""Brings up a Home Assistant to look at, with the integration set up against the simulator.

Run it by `scripts/develop`, which makes its environment first.
"""

# ruff: noqa: T201 - it is a command, which prints
# ruff: noqa: S603 - it starts a script of this repository

import argparse
import fcntl
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tests.simulator.replay import Replay

from .ess import DASHBOARD, DOMAIN, TITLE, Ess, link, make_home, steps
from .home_assistant import PASSWORD, ROOT, USER, HomeAssistant, free_port, is_free, until
from .simulator import Simulator

FOLDER = ROOT / ".develop"
OF_A_FILE = FOLDER / "replay"
BLUEPRINTS = Path("blueprints", "automation", DOMAIN)
OF_NUMBERS = ("min_soc", "charge_soc", "max_soc")
"""Options that number entities set."""
WEB_PORT = 8123
MODBUS_PORT = 5020
SET_UP_SECONDS = 30


def end(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through the cleanup handlers."""
    for other in ENDING:  # once is enough
        signal.signal(other, signal.SIG_IGN)
    sys.exit(0 if number == signal.SIGINT else 128 + number)


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def set_up(ha: HomeAssistant, modbus_port: int) -> None:
    """Set up the integration by its own flow, or point it to the simulator's new port."""
    entries = ha.entries(DOMAIN)
    if not entries:
        print("Setting up the integration by its config flow", flush=True)
        make_home(ha, Ess(ha, ha.add(DOMAIN, steps(modbus_port))))
        return
    ess = Ess(ha, entries[0])
    if ess.entry["state"] != "loaded" or ess.diagnostics()["entry"]["data"]["port"] != modbus_port:
        ha.reconfigure(ess.entry, [{"next_step_id": "tcp"}, link(modbus_port)])
        until(lambda: ha.entries(DOMAIN)[0]["state"] == "loaded", SET_UP_SECONDS, "the integration")


def set_options(ess: Ess, stored: dict[str, Any]) -> None:
    """Give the ESS the options of a diagnostics download: with others, the same words may show something else."""
    ess.ha.options(ess.entry, [{**stored, "control": stored}])
    until(lambda: ess.ha.entries(DOMAIN)[0]["state"] == "loaded", SET_UP_SECONDS, "the integration")
    for key in OF_NUMBERS:
        if key in stored:
            ess.ha.call("number.set_value", {"entity_id": ess.registered()[key]["entity_id"], "value": stored[key]})


def dashboard(language: str) -> str:
    """Return the dashboard with the headings and the entity ids of a language, or end the program if it has none."""
    command: list[str | Path] = [sys.executable, ROOT / "scripts" / "dashboard", TITLE, "--language", language]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main() -> None:
    """Bring everything up, say where it is, and wait."""
    parser = argparse.ArgumentParser(prog="scripts/develop", description=__doc__)
    parser.add_argument("--port", type=int, help=f"of the web interface; default: {WEB_PORT} or the next free one")
    parser.add_argument("--fresh", action="store_true", help="start from scratch, without history, user and settings")
    parser.add_argument("--language", help="of the interface and of the entities' names, for example de")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="show the ESS of a diagnostics download")
    parser.add_argument("--once", action="store_true", help="bring it up, print the login, and end")
    args = parser.parse_args()
    if args.port and not is_free(args.port):
        parser.error(f"port {args.port} is in use")

    began = time.monotonic()
    for number in ENDING:
        signal.signal(number, end)
    with ExitStack() as stack:
        lock = stack.enter_context((ROOT / "scripts" / "develop").open())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Already running in another terminal.")
        replay = None if args.replay is None else Replay.read_or_exit(args.replay)
        folder = OF_A_FILE if replay is not None else FOLDER / args.language if args.language else FOLDER
        if args.fresh or replay is not None:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / BLUEPRINTS, folder / BLUEPRINTS, dirs_exist_ok=True)

        simulator = Simulator(free_port(MODBUS_PORT), folder / "simulator.out", args.replay)
        stack.callback(simulator.stop)
        simulator.start()

        ha = HomeAssistant(folder, args.port or free_port(WEB_PORT))
        stack.callback(ha.stop)
        print("Starting Home Assistant", flush=True)
        ha.start()
        if args.language:
            ha.speak(args.language)
            (folder / "dashboard.yaml").write_text(dashboard(args.language))
        set_up(ha, simulator.port)
        if replay is not None:
            set_options(Ess(ha, ha.entries(DOMAIN)[0]), replay.options)

        print(f"""
Ready after {time.monotonic() - began:.0f} s:

  Home Assistant   {ha.url}
  User, password   {USER}, {PASSWORD}
  Dashboard        {ha.url}/{DASHBOARD}
  {"Simulated" if replay is None else "Replayed "} ESS    Modbus TCP at 127.0.0.1:{simulator.port}
  Log              {ha.log_file}

Raise an alarm, clear it, set the state of charge (all commands: scripts/simulator --help):

  scripts/simulator --send {simulator.control_port} '{{"do": "alarm", "key": "bms_overvoltage"}}'
  scripts/simulator --send {simulator.control_port} '{{"do": "alarm", "key": "bms_overvoltage", "on": false}}'
  scripts/simulator --send {simulator.control_port} '{{"do": "value", "key": "soc", "value": 15}}'
""", flush=True)  # fmt: skip
        if not args.once:
            print("Ctrl-C ends it.", flush=True)
            ha.wait()
            sys.exit("Home Assistant exited; see its log.")


if __name__ == "__main__":
    main()
