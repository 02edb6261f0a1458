"""Real processes with 20 kW held: how power ends when Home Assistant stops, dies or hangs.

Run it by `scripts/ways-out`, which makes its environment first. It fails if power stays on longer than a case permits,
if power is written after the zero, if anything but setpoints is written, or if an event is missing. After a run of
every case the table goes into `docs/control-safety.md`.
"""

# ruff: noqa: T201 - it is a command, which prints

import argparse
import json
import math
import os
import queue
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, override

from homeassistant.const import __version__ as ha_version

from .ess import DOMAIN, Ess, steps
from .home_assistant import ROOT, HomeAssistant, free_port, until
from .simulator import Simulator

PAGE = ROOT / "docs" / "control-safety.md"
BEGIN, END = "<!-- ways out: generated -->", "<!-- ways out: end -->"
COMPONENTS = Path(__file__).parent / "components"
GUARD = str(ROOT / "custom_components" / DOMAIN / "guard" / "__main__.py")

POWER_W = 20_000
STATE_OF_CHARGE = 62
SETPOINTS = range(0x203, 0x20B)
STEADY_S = 2.5
"""Cycles of a lease before something happens to it."""
QUIET_S = 5.0
"""Time after the end for writes that should not be."""
PATIENCE_S = 30.0
GUARD_ENDS_S = 75.0
HANG_S = 60.0
BLOCK_S = 15.0
SLEEP_S = 20.0
SHORT_LEASE_S = 10.0
LOST_REQUESTS = 3
WORKERS = 2

type Json = dict[str, Any]


class Home(HomeAssistant):
    """A Home Assistant with the integrations that misbehave."""

    @override
    def prepare(self) -> None:
        super().prepare()
        for source in COMPONENTS.glob("*/manifest.json"):
            link = self.folder / "custom_components" / source.parent.name
            link.unlink(missing_ok=True)
            link.symlink_to(source.parent)
            with (self.folder / "configuration.yaml").open("a") as configuration:
                configuration.write(f"\n{source.parent.name}:\n")


def is_alive(pid: int) -> bool:
    """Return whether a process has not ended; one that has not been waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> Iterable[int]:
    """Return the processes that this one started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _state, parent, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(parent) == pid:
            yield int(stat.parent.name)


@dataclass
class Bench:
    """One Home Assistant, one simulated device, and what is being done to them."""

    folder: Path
    simulator: Simulator = field(init=False)
    ha: Home = field(init=False)
    log: list[str] = field(default_factory=list)
    """Home Assistant's log before its last start."""
    guard: int = 0
    """The guard process of the power that is held."""
    unguarded: bool = False

    def __post_init__(self) -> None:
        """Nothing is started yet."""
        self.folder.mkdir()
        self.simulator = Simulator(free_port(), self.folder / "simulator.out")
        self.ha = Home(self.folder / "config", free_port())

    def start(self) -> None:
        """Start both, and set the integration up."""
        self.simulator.start()
        self.ha.start()
        self.set_up()

    def stop(self) -> None:
        """End both."""
        self.ha.stop()
        self.simulator.stop()

    def set_up(self) -> None:
        """Add the integration as a user does."""
        self.ha.add(DOMAIN, steps(self.simulator.port))
        self.configure()

    def configure(self, *, guard: bool = True) -> None:
        """Set the options: power comes at once, and the poll interval is what it is without a choice."""
        (entry,) = self.ha.entries(DOMAIN)
        self.ha.options(entry, [{"control": {"start_delay": 0, "ramp_rate": 100, "guard": guard}}])
        self.wait_loaded()
        self.unguarded = not guard

    @property
    def entry_id(self) -> str:
        """The id of the one entry."""
        (entry,) = self.ha.entries(DOMAIN)
        return str(entry["entry_id"])

    def wait_loaded(self) -> None:
        """Wait until the entry is set up."""
        until(lambda: self.ha.entries(DOMAIN)[0]["state"] == "loaded", PATIENCE_S, "the entry is loaded")

    # What is done

    def hold(self, duration_s: float | None = None) -> None:
        """Command power, and wait until the device delivers it and the guard runs."""
        self.simulator.control(do="soc", percent=STATE_OF_CHARGE)
        duration = {} if duration_s is None else {"duration": {"seconds": duration_s}}
        until(self.is_ready, PATIENCE_S, "ready for power")
        self.ha.call(f"{DOMAIN}.set_power", {"active_power": POWER_W} | duration)
        until(lambda: abs(self.state()["power"] - POWER_W) < 1, PATIENCE_S, f"{POWER_W} W")
        self.guard = 0 if self.unguarded else until(self.find_guard, PATIENCE_S, "guard process")
        time.sleep(STEADY_S)

    def is_ready(self) -> bool:
        """Return whether a preview says that power would be sent."""
        answer = self.ha.rest(
            "POST", f"/api/services/{DOMAIN}/preview_power?return_response", {"active_power": POWER_W}
        )["service_response"]
        return float(answer["applied"]["active_power"]) == POWER_W

    def state(self) -> Json:
        """Return the state of the device."""
        return dict(self.simulator.control(do="state"))

    def find_guard(self) -> int | None:
        """Return the guard process of this Home Assistant."""
        for pid in children(self.ha.pid):
            try:
                if GUARD in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                    return pid
            except OSError:
                continue
        return None

    def send(self, number: int) -> float:
        """Send a signal to Home Assistant and return the time."""
        began = time.time()
        os.kill(self.ha.pid, number)
        return began

    def start_again(self) -> float:
        """Start Home Assistant once it has ended, and return the time."""
        until(lambda: not self.ha.running, PATIENCE_S, "Home Assistant has ended")
        self.log += self.ha.log()
        began = time.time()
        self.ha.start()
        self.wait_loaded()
        return began

    def wait_zero(self, seconds: float) -> None:
        """Wait until the device holds no setpoint."""
        until(lambda: self.state()["setpoint"] == 0, seconds, "zero at the device")

    def said(self) -> list[str]:
        """Return all that Home Assistant said since `log` was emptied."""
        return [*self.log, *self.ha.log()]


# The ways out. Each begins with power held, ends with Home Assistant up, and returns the time from which zero is due.


def terminate(bench: Bench) -> float:
    began = bench.send(signal.SIGTERM)
    bench.start_again()
    return began


def restart(bench: Bench) -> float:
    began = time.time()
    bench.ha.restart()
    bench.wait_loaded()
    return began


def reload(bench: Bench) -> float:
    began = time.time()
    bench.ha.call("homeassistant.reload_config_entry", {"entry_id": bench.entry_id})
    bench.wait_loaded()
    return began


def disable(bench: Bench) -> float:
    message = {"type": "config_entries/disable", "entry_id": bench.entry_id}
    began = time.time()
    bench.ha.ws(message | {"disabled_by": "user"})
    bench.wait_zero(PATIENCE_S)
    bench.ha.ws(message | {"disabled_by": None})
    bench.wait_loaded()
    return began


def remove(bench: Bench) -> float:
    path = f"/api/config/config_entries/entry/{bench.entry_id}"
    began = time.time()
    bench.ha.rest("DELETE", path)
    bench.wait_zero(PATIENCE_S)
    bench.set_up()
    return began


def kill(bench: Bench) -> float:
    began = bench.send(signal.SIGKILL)
    bench.wait_zero(PATIENCE_S)
    bench.start_again()
    return began


def hang(bench: Bench) -> float:
    began = bench.send(signal.SIGSTOP)
    time.sleep(HANG_S)
    bench.send(signal.SIGCONT)
    return began


def block(bench: Bench) -> float:
    began = time.time()
    bench.ha.call("block_loop.block", {"seconds": BLOCK_S})
    return began


def lossy_stop(bench: Bench) -> float:
    bench.simulator.control(do="lose", requests=LOST_REQUESTS)
    return terminate(bench)


def lossy_reload(bench: Bench) -> float:
    bench.simulator.control(do="lose", requests=LOST_REQUESTS)
    return reload(bench)


def sleep(bench: Bench) -> float:
    """Nothing runs, and on waking up the lease is over."""
    bench.send(signal.SIGSTOP)
    os.kill(bench.guard, signal.SIGSTOP)
    time.sleep(SLEEP_S)
    awake = time.time()
    os.kill(bench.guard, signal.SIGCONT)
    bench.send(signal.SIGCONT)
    return awake


def kill_guard(bench: Bench) -> float:
    """The next guard is as good as the first."""
    first = bench.guard
    os.kill(first, signal.SIGKILL)

    def another() -> int | None:
        found = bench.find_guard()
        return None if found == first else found

    bench.guard = until(another, PATIENCE_S, "another guard process")
    time.sleep(STEADY_S)
    return kill(bench)


def kill_unguarded(bench: Bench) -> float:
    """Nobody is left: the next start pays."""
    bench.send(signal.SIGKILL)
    if bench.guard:
        os.kill(bench.guard, signal.SIGKILL)
    time.sleep(QUIET_S)
    if bench.state()["setpoint"] != POWER_W:
        raise RuntimeError("the power ended although nothing was left to end it")
    return bench.start_again()


def one_client(way: Callable[[Bench], float]) -> Callable[[Bench], float]:
    """The same over a gateway that accepts one client at a time."""

    def go(bench: Bench) -> float:
        bench.simulator.control(do="clients", most=1)
        return way(bench)

    return go


@dataclass(frozen=True)
class Case:
    """A way out, and what is demanded of it."""

    key: str
    title: str
    go: Callable[[Bench], float]
    limit_s: float
    """Power is off after this many seconds at the latest."""
    events: frozenset[str]
    """Events that are reported, `kind` or `kind: reason`."""
    duration_s: float | None = None
    """Of the lease, `None` for one without."""
    guard: bool = True


SHUT_DOWN = frozenset({"lease_ended: shut_down"})
DIED = frozenset({"lease_interrupted", "guard_acted: closed"})
HUNG = frozenset({"lease_ended: guard_acted", "guard_acted: silent"})
PAID_LATE = frozenset({"lease_interrupted", "zero_paid"})

CASES = (
    Case("terminate", "SIGTERM to Home Assistant", terminate, 5, SHUT_DOWN),
    Case("restart", "Action *Restart Home Assistant*", restart, 15, SHUT_DOWN),
    Case("reload", "Reload of the entry", reload, 3, SHUT_DOWN),
    Case("disable", "Entry disabled", disable, 3, SHUT_DOWN),
    Case("remove", "Entry removed", remove, 3, SHUT_DOWN),
    Case("kill", "SIGKILL to Home Assistant", kill, 5, DIED),
    Case("hang", f"SIGSTOP to Home Assistant for {HANG_S:.0f} s, then SIGCONT", hang, 15, HUNG),
    Case("block", f"Event loop blocked for {BLOCK_S:.0f} s", block, 15, HUNG),
    Case("lossy_stop", f"SIGTERM; the first {LOST_REQUESTS} requests get lost", lossy_stop, 20, SHUT_DOWN),
    Case("lossy_reload", f"Reload; the first {LOST_REQUESTS} requests get lost", lossy_reload, 15, SHUT_DOWN),
    Case(
        "sleep",
        f"Computer that slept for {SLEEP_S:.0f} s with a lease of {SHORT_LEASE_S:.0f} s (emulated: SIGSTOP to Home"
        " Assistant and guard); seconds from waking up",
        sleep,
        5,
        frozenset({"lease_ended"}),
        duration_s=SHORT_LEASE_S,
    ),
    Case("kill_guard", "SIGKILL to the guard, and to Home Assistant once another guard runs", kill_guard, 5, DIED),
    Case(
        "kill_without_guard",
        "SIGKILL to Home Assistant, guard switched off; seconds from the next start",
        kill_unguarded,
        60,
        PAID_LATE,
        guard=False,
    ),
    Case(
        "kill_both",
        "SIGKILL to Home Assistant and guard together; seconds from the next start",
        kill_unguarded,
        60,
        PAID_LATE,
    ),
    Case("gateway_kill", "SIGKILL to Home Assistant; gateway with one client", one_client(kill), 10, DIED),
    Case(
        "gateway_block",
        f"Event loop blocked for {BLOCK_S:.0f} s; gateway with one client",
        one_client(block),
        BLOCK_S + 5,
        HUNG,
    ),
    Case(
        "gateway_hang",
        f"SIGSTOP to Home Assistant for {HANG_S:.0f} s; gateway with one client",
        one_client(hang),
        HANG_S + 5,
        HUNG,
    ),
)


@dataclass
class Result:
    """The observations of one run of a case."""

    case: Case
    seconds: float = float("nan")
    """From when it was due until zero at the device."""
    zeros: int = 0
    """Writes of zero."""
    events: list[str] = field(default_factory=list)
    issues: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """The rules that it broke."""


def writes_after(bench: Bench, began: float, held: float) -> tuple[float, int, list[str]]:
    """Return when all setpoints were zero, how many zeros were written, and writes that should not have been.

    What was written from `held` on is looked at; `began` is when zero was due.
    """
    registers: dict[int, int] = {}
    zero_at, zeros, bad = float("nan"), 0, []
    for write in bench.simulator.control(do="write_log"):
        span = range(write["address"], write["address"] + len(write["values"]))
        registers |= zip(span, write["values"], strict=True)
        if write["at"] < held:
            continue
        zeros += not any(write["values"])
        if not set(span) <= set(SETPOINTS):
            bad.append(f"0x{write['address']:03X} was written")
        elif any(write["values"]) and not math.isnan(zero_at):
            bad.append(f"{write['values']} {write['at'] - zero_at:.1f} s after the zero")
        elif math.isnan(zero_at) and not any(registers.get(address) for address in SETPOINTS):
            zero_at = write["at"]
    return zero_at - began, zeros, bad


def events_since(bench: Bench, entity: str, since: float) -> list[str]:
    """Return the events of control since then, oldest first."""
    begin = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (states,) = bench.ha.rest(
        "GET", f"/api/history/period/{begin}?filter_entity_id={entity}&significant_changes_only=0"
    ) or ([],)
    found = {}
    for state in states:
        kind = state["attributes"].get("event_type")
        if kind is None or state["state"] in {"unknown", "unavailable"}:
            continue
        if datetime.fromisoformat(state["state"]).timestamp() >= since:
            reason = state["attributes"].get("reason") or state["attributes"].get("found")
            found[state["state"], kind] = f"{kind}: {reason}" if reason else kind
    return list(found.values())


def messages(lines: list[str]) -> list[str]:
    """Return the integration's warnings and errors without time and place."""
    pattern = re.compile(rf" (WARNING|ERROR|CRITICAL) \(.*?\) \[custom_components\.{DOMAIN}\b[^\]]*\] (.*)")
    return [f"{found[1].lower()}: {found[2]}" for line in lines if (found := pattern.search(line))]


def measure(bench: Bench, case: Case) -> Result:
    """Carry out one run of a case."""
    result = Result(case)
    bench.log = []
    if bench.unguarded == case.guard:
        bench.configure(guard=case.guard)
    said = len(bench.said())
    entity = Ess(bench.ha, bench.ha.entries(DOMAIN)[0]).registered()["commands"]["entity_id"]
    bench.hold(case.duration_s)
    held = time.time()
    began = case.go(bench)
    try:
        bench.wait_zero(case.limit_s + PATIENCE_S)
    except TimeoutError as err:
        result.broken.append(str(err))
    if bench.guard:
        until(lambda: not is_alive(bench.guard), GUARD_ENDS_S, "the end of the guard")
    bench.simulator.control(do="heal")
    time.sleep(QUIET_S)
    result.seconds, result.zeros, bad = writes_after(bench, began, held)
    result.broken += bad
    if not result.seconds <= case.limit_s:
        result.broken.append(f"zero after {result.seconds:.1f} s instead of {case.limit_s:.0f} s")
    result.events = events_since(bench, entity, held)
    reported = {*result.events, *(event.partition(":")[0] for event in result.events)}
    result.broken += [f"no event {event}" for event in sorted(case.events - reported)]
    (found,) = bench.ha.ws({"type": "repairs/list_issues"})
    result.issues = sorted(issue["translation_key"] for issue in found["issues"] if issue["domain"] == DOMAIN)
    result.log = messages(bench.said()[said:])
    return result


class Team:
    """Several benches that share the runs."""

    def __init__(self, cases: list[Case], repeat: int) -> None:
        """Take what is to be run. The longest comes first, so that the benches end together."""
        self.results: list[Result] = []
        self._runs: queue.Queue[Case] = queue.Queue()
        for case in sorted([*cases] * repeat, key=lambda case: case.limit_s, reverse=True):
            self._runs.put(case)
        self._total = self._runs.qsize()
        self._lock = threading.Lock()

    def work(self, folder: Path) -> None:
        """Take runs until none is left."""
        with ExitStack() as stack:
            bench: Bench | None = None
            count = 0
            while True:
                try:
                    case = self._runs.get_nowait()
                except queue.Empty:
                    return
                try:
                    if bench is None:
                        count += 1
                        bench = Bench(folder.with_name(f"{folder.name}-{count}"))
                        stack.callback(bench.stop)
                        bench.start()
                    result = measure(bench, case)
                except Exception as err:  # noqa: BLE001 - the other runs go on, with another bench
                    traceback.print_exc()
                    result = Result(case, broken=[f"{type(err).__name__}: {err}"])
                    stack.close()
                    bench = None
                self._note(result)

    def _note(self, result: Result) -> None:
        with self._lock:
            self.results.append(result)
            told = {"events": result.events, "issues": result.issues, "log": result.log}
            print(
                f"[{len(self.results)}/{self._total}] {result.case.key}: {result.seconds:.2f} s,"
                f" {result.zeros} writes of zero, {json.dumps(told)}",
                *(f"\n  BROKEN: {rule}" for rule in result.broken),
                flush=True,
            )


def share(lists: list[list[str]]) -> str:
    """Return what was in these lists, and in how many if not in all of them."""
    found = list(dict.fromkeys(one for each in lists for one in each))
    counts = {one: sum(one in each for each in lists) for one in found}
    return ", ".join(
        f"`{one}`" + ("" if count == len(lists) else f" ({count} of {len(lists)})") for one, count in counts.items()
    )


def row(case: Case, results: list[Result]) -> str:
    """Return a line of the table."""
    seconds = sorted(result.seconds for result in results)
    zeros = sorted({result.zeros for result in results})
    told = [
        f"{name}: {text}"
        for name, text in (
            ("Events", share([result.events for result in results])),
            ("Repair issues", share([result.issues for result in results])),
            ("Log", share([result.log for result in results])),
        )
        if text
    ]
    cells = (
        case.title,
        f"{statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})",
        f"{case.limit_s:.0f}",
        str(zeros[0]) if len(zeros) == 1 else f"{zeros[0]} to {zeros[-1]}",
        "none",
        "<br>".join(told),
    )
    return f"| {' | '.join(cells)} |"


def table(results: list[Result], repeat: int) -> str:
    """Return the generated part of the page."""
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Home Assistant {ha_version}, {repeat} times each.",
        "",
        "| Way out | Seconds until zero: median (range) | Limit | Writes of zero | Other writes after it | Reported |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [row(case, [result for result in results if result.case is case]) for case in CASES]
    return "\n".join(lines)


def write_page(text: str) -> None:
    """Put the table between the marks of the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    """Run the cases, print what was seen, and write the table if everything was run and nothing is broken."""
    keys = [case.key for case in CASES]
    parser = argparse.ArgumentParser(
        prog="scripts/ways-out", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", nargs="*", choices=[*keys, []], metavar="case", help=f"of {', '.join(keys)}")
    parser.add_argument("--repeat", type=int, default=10, metavar="N", help="runs of each case (default 10)")
    parser.add_argument(
        "--workers", type=int, default=WORKERS, metavar="N", help=f"Home Assistants at a time (default {WORKERS})"
    )
    args = parser.parse_args()
    team = Team([case for case in CASES if not args.case or case.key in args.case], args.repeat)
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            threading.Thread(target=team.work, args=(Path(folder) / f"bench-{number}",))
            for number in range(args.workers)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    broken = [result for result in team.results if result.broken]
    if broken:
        sys.exit(f"{len(broken)} of {len(team.results)} runs broke a rule; nothing was written to {PAGE.name}")
    if not args.case:
        write_page(table(team.results, args.repeat))
        print(f"The table is in {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
