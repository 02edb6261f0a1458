"""Brings up a Home Assistant to look at, with the integration set up against the simulator.

Run it by `scripts/develop`, which makes its environment first.
"""

# ruff: noqa: T201 - it is a command, which prints

import argparse
import fcntl
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

from .ess import DASHBOARD, DOMAIN, Ess, link, make_home, steps
from .home_assistant import PASSWORD, ROOT, USER, HomeAssistant, free_port, is_free, until
from .simulator import Simulator

FOLDER = ROOT / ".develop"
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


def main() -> None:
    """Bring everything up, say where it is, and wait."""
    parser = argparse.ArgumentParser(prog="scripts/develop", description=__doc__)
    parser.add_argument("--port", type=int, help=f"of the web interface; default: {WEB_PORT} or the next free one")
    parser.add_argument("--fresh", action="store_true", help="start from scratch, without history, user and settings")
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
        if args.fresh:
            shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(exist_ok=True)

        simulator = Simulator(free_port(MODBUS_PORT), FOLDER / "simulator.out")
        stack.callback(simulator.stop)
        simulator.start()

        ha = HomeAssistant(FOLDER, args.port or free_port(WEB_PORT))
        stack.callback(ha.stop)
        print("Starting Home Assistant", flush=True)
        ha.start()
        set_up(ha, simulator.port)

        print(f"""
Ready after {time.monotonic() - began:.0f} s:

  Home Assistant   {ha.url}
  User, password   {USER}, {PASSWORD}
  Dashboard        {ha.url}/{DASHBOARD}
  Simulated ESS    Modbus TCP at 127.0.0.1:{simulator.port}
  Log              {ha.log_file}
""", flush=True)  # fmt: skip
        if not args.once:
            print("Ctrl-C ends it.", flush=True)
            ha.wait()
            sys.exit("Home Assistant exited; see its log.")


if __name__ == "__main__":
    main()
