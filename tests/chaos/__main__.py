"""Runs every case, or those that match, and writes the tables of `docs/faults.md`; run it by `scripts/faults`."""

# ruff: noqa: S603, T201 - it is a command, which starts pytest and prints

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from . import table
from .faults import CASES, FOLDER_VARIABLE

JOBS = 4 * (os.cpu_count() or 1)
"""Cases mostly wait; more would let the machine itself miss the timeouts."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description="Sets the integration up against a simulated ESS and disturbs wire and device in every way of"
        " tests/chaos/faults.py, over every transport, over both links, without and with 20 kW held. Takes about half"
        " an hour. When every case has passed, the tables of docs/faults.md are written again.",
    )
    parser.add_argument("-k", dest="match", metavar="EXPRESSION", help="only these cases, as pytest's -k; no tables")
    parser.add_argument("-j", dest="jobs", type=int, default=JOBS, help="cases at a time (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the results there; go on where a run was cut")
    return parser.parse_args()


def main() -> int:
    """Run the cases; returns the exit code."""
    args = arguments()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="faults"))
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), "-q", "-n", str(args.jobs)]
    command += ["-p", "no:cacheprovider", *(["-k", args.match] if args.match else [])]
    environment = os.environ | {FOLDER_VARIABLE: str(folder)}
    code = subprocess.run(command, env=environment, check=False).returncode
    if code or args.match:
        return code
    heading = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} by `scripts/faults` with Home Assistant {version('homeassistant')}:"
        f" {len(CASES)} cases, none of which broke a rule."
    )
    table.write(table.read(folder), heading)
    print(f"{table.PAGE} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
