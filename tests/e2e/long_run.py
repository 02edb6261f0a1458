"""A real Home Assistant under random faults of the device and its link, while automations command power.

Run it by `scripts/long-run`, which makes its environment first. It fails if a number stays away after a fault is
over, if anything but setpoints is written, if power is written that no automation asked for, if power is left on at
the end, or if the log holds an error. All kinds of log lines are printed with their numbers.
"""

# ruff: noqa: T201 - it is a command, which prints
# ruff: noqa: S311 - faults at random are not cryptography

import argparse
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, override

import yaml

from tests.registers import WHOLE_BATTERY

from .ess import DOMAIN, Ess, steps
from .home_assistant import HomeAssistant, free_port, until
from .simulator import Simulator

POLL_SECONDS = 10
ASKED_W = (-20_000, -7_000, 5_000, 15_000)
"""Powers that the automations command. The start-up ramp and the limits only reduce them."""
W_PER_WORD = 100
SETPOINTS = range(0x203, 0x20B)
WORK_STATE = 0x200
"""Written to start the system after a fault."""
FAULT_SECONDS = (2.0, 45.0)
CALM_SECONDS = (15.0, 40.0)
BACK_SECONDS = 60.0
"""The most that may pass from the end of a fault until all is shown again."""
REFUSED_SECONDS = 330.0
"""The same for registers that were refused: the integration asks for them again after 300 s."""
TOKEN_SECONDS = 1200.0
"""An access token holds half an hour."""

AUTOMATIONS = [
    {
        "alias": "Power for two minutes",
        "triggers": [{"trigger": "time_pattern", "minutes": "/3"}],
        "actions": [
            {
                "action": f"{DOMAIN}.set_power",
                "data": {"active_power": f"{{{{ {list(ASKED_W)} | random }}}}", "duration": "00:02:00"},
                "continue_on_error": True,
            }
        ],
    },
    {
        "alias": "Release",
        "triggers": [{"trigger": "time_pattern", "minutes": "/7"}],
        "actions": [{"action": f"{DOMAIN}.release", "continue_on_error": True}],
    },
]

FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "delay", "seconds": 0.8},
    {"do": "delay", "seconds": 4},
    {"do": "silence"},
    {"do": "refuse"},
    {"do": "drop"},
    {"do": "half_open"},
    *({"do": "disturb", "how": how} for how in ("garbage", "short_frame", "wrong_unit", "wrong_transaction")),
    {"do": "clients", "most": 1},
    {"do": "lose", "requests": 3},
    *({"do": "exception", "code": code} for code in (4, 5, 6, 11)),
    {"do": "refuse_block", **WHOLE_BATTERY},
    {"do": "refuse_block", "from": 0x200, "to": 0x20A},
    {"do": "writes", "how": "refused"},
    {"do": "writes", "how": "ignored"},
    {"do": "alarm", "key": "fog_alarm", "on": True},
    {"do": "value", "key": "soc", "value": 5},
    {"do": "raw", "address": 0x124, "word": 0xFFFF},
    {"do": "fail", "code": 12},
    {"do": "unplug"},
)
ENDS = {"unplug": ("plug",), "fail": ("clear",), "alarm": ("release",), "value": ("release",), "raw": ("release",)}
"""Commands that end the faults which a healed wire does not end."""

EXPECTED = (
    "We found a custom integration",
    "Error fetching",
    "[homeassistant.components.automation.",  # a command that was refused
)
"""Lines that may be there: Home Assistant's warning about custom integrations, and one for each time without a link."""


class Home(HomeAssistant):
    """A Home Assistant with the automations."""

    @override
    def prepare(self) -> None:
        super().prepare()
        (self.folder / "automations.yaml").write_text(yaml.safe_dump(AUTOMATIONS))
        configuration = self.folder / "configuration.yaml"
        lines = [line for line in configuration.read_text().splitlines() if not line.startswith("automation:")]
        configuration.write_text("\n".join([*lines, "automation: !include automations.yaml", ""]))


@dataclass
class Run:
    """Results of the run."""

    back_s: dict[str, list[float]] = field(default_factory=dict)
    """By fault, the seconds from its end until everything was shown again."""
    bad: list[str] = field(default_factory=list)


def name_of(fault: dict[str, Any]) -> str:
    """Return a fault in words."""
    return " ".join(str(value) for value in fault.values())


def is_back(ess: Ess) -> bool:
    """Return whether everything that the device reports is shown."""
    states = ess.states()
    shown = [states[key]["state"] for key in ("system_state", "active_power", "soc", "grid_frequency") if key in states]
    return len(shown) >= 3 and "unavailable" not in shown and "unknown" not in shown


def trouble(simulator: Simulator, ess: Ess, chance: random.Random, run: Run) -> None:
    """Let one fault happen, and wait until all is shown again."""
    fault = chance.choice(FAULTS)
    simulator.control(**fault)
    time.sleep(chance.uniform(*FAULT_SECONDS))
    for command in (*ENDS.get(fault["do"], ()), "heal"):
        simulator.control(do=command)
    ended = time.monotonic()
    try:
        until(lambda: is_back(ess), REFUSED_SECONDS if "from" in fault else BACK_SECONDS, name_of(fault))
    except TimeoutError as err:
        run.bad.append(str(err))
    run.back_s.setdefault(name_of(fault), []).append(time.monotonic() - ended)
    state = simulator.control(do="state")
    if not 30 <= state["soc"] <= 70:
        simulator.control(do="soc", percent=50)
    if state["system_state"] == "STANDBY":
        ess.ha.call("button.press", {"entity_id": ess.registered()["start_system"]["entity_id"]})


def check_writes(simulator: Simulator, run: Run) -> None:
    """Look at every write that arrived."""
    registers: dict[int, int] = {}
    for write in simulator.control(do="write_log"):
        for address, word in enumerate(write["values"], write["address"]):
            registers[address] = word
            watts = ((word ^ 0x8000) - 0x8000) * W_PER_WORD
            if address == WORK_STATE:
                continue
            if address not in SETPOINTS:
                run.bad.append(f"0x{address:03X} was written")
            elif not min(ASKED_W) <= watts <= max(ASKED_W):
                run.bad.append(f"{watts} W were written")
    if any(registers.get(address) for address in SETPOINTS):
        run.bad.append(f"at the end the device was left with {registers}")


def log_kinds(log: list[str]) -> Counter[str]:
    """Return the kinds of lines with their numbers: without time, thread and figures."""
    kinds: Counter[str] = Counter()
    for line in log:
        text = re.sub(r"^[\d-]+ [\d:.]+ ", "", line)
        kinds[re.sub(r"\d+(\.\d+)?", "#", text.replace("(MainThread) ", ""))] += 1
    return kinds


def main() -> None:
    """Run, print what was seen, and fail if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    chance, run = random.Random(wanted.seed), Run()
    with TemporaryDirectory() as folder:
        simulator = Simulator(free_port(), Path(folder, "simulator.out"))
        home = Home(Path(folder, "config"), free_port())
        try:
            simulator.start()
            home.start()
            entry = home.add(DOMAIN, steps(simulator.port))
            home.options(entry, [{"poll_interval": POLL_SECONDS}])
            ess = Ess(home, entry)
            until(lambda: is_back(ess), BACK_SECONDS, "all is shown")
            end, signed_in = time.monotonic() + 60 * wanted.minutes, time.monotonic()
            while time.monotonic() < end:
                trouble(simulator, ess, chance, run)
                time.sleep(chance.uniform(*CALM_SECONDS))
                if time.monotonic() - signed_in > TOKEN_SECONDS:
                    home.sign_in()
                    signed_in = time.monotonic()
        finally:
            home.stop()
            check_writes(simulator, run)
            writes = len(simulator.control(do="write_log"))
            simulator.stop()
        kinds = log_kinds(home.log())
    for name, seconds in sorted(run.back_s.items()):
        print(
            f"{name}: {len(seconds)} times, all shown again after {median(seconds):.1f} s, at most {max(seconds):.1f}"
        )
    print(f"\n{writes} writes\n")
    for kind, count in kinds.most_common():
        print(f"{count:5} {kind}")
        if (" ERROR " in f" {kind}" or "Traceback" in kind) and not any(text in kind for text in EXPECTED):
            run.bad.append(kind)
    print()
    sys.exit("\n".join(run.bad) if run.bad else 0)


if __name__ == "__main__":
    main()
