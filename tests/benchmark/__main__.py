"""Runs the measurements and prints the tables: `scripts/benchmark`, or `scripts/benchmark --quick` in three minutes."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from .measure import ROOT, Case

TITLES = {
    "usual": "YAML, usual",
    "best": "YAML, best",
    "coordinator": "naive coordinator",
    "floor": "floor",
    "library": "floor over the library",
    "private": "this, private link",
    "shared": "this, shared link",
}
CHANGES = (0.0, 0.1, 0.6, 1.0)
SET_UP_SECONDS = 6
"""Seconds granted for the slowest setup of those that run together."""

type Found = dict[str, Any]


def run(cases: list[Case], repeat: int) -> list[list[Found]]:
    """Measure these at the same time, several times; returns what was found of each."""
    found: list[list[Found]] = [[] for _ in cases]
    for _ in range(repeat):
        begin = time.monotonic() + SET_UP_SECONDS * len(cases)
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmark.measure", json.dumps(asdict(replace(case, begin_at=begin)))],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for case in cases
        ]
        for index, process in enumerate(processes):
            out, err = process.communicate()
            if process.returncode:
                sys.exit(f"{cases[index].way} failed:\n{err}")
            found[index].append(json.loads(out.splitlines()[-1]))
    return found


def of(runs: list[Found], *path: str) -> float:
    """The median over the repetitions."""

    def pick(value: Any) -> float:
        for name in path:
            value = value[name]
        return float(value)

    return median(pick(one) for one in runs)


def number(value: float) -> str:
    """A number with three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(titles: Iterable[str], rows: dict[str, list[float]], ratio_to: int | None = None) -> None:
    """Print a table, each value with its ratio to a column."""
    head = ["", *titles]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for title, values in rows.items():
        base = values[ratio_to] if ratio_to is not None and title.startswith("CPU") else 0
        cells = [number(value) + (f" ({value / base:.1f} x)" if base else "") for value in values]
        print(f"| {title} | " + " | ".join(cells) + " |")
    print()


def compare(ways: tuple[str, ...], changes: tuple[float, ...], seconds: float, repeat: int, **case: Any) -> None:
    """Measure ways to read side by side."""
    found = run([Case(way=way, changes=changes, seconds=seconds, **case) for way in ways], repeat)

    def row(*path: str) -> list[float]:
        return [of(runs, *path) for runs in found]

    busiest = f"change {0.6 if 0.6 in changes else changes[-1]:g}"
    rows = {f"CPU a poll, ms, {100 * change:.0f} % change": row(f"change {change:g}", "cpu_ms") for change in changes}
    rows |= {
        "requests a poll": row(busiest, "requests"),
        "words a poll": row(busiest, "words"),
        **{f"states a poll, {100 * change:.0f} % change": row(f"change {change:g}", "events") for change in changes},
        "answer to state, median ms": row(busiest, "answer_to_state_ms"),
        "answer to state, 95 %, ms": row(busiest, "answer_to_state_95_ms"),
        "setup of the first entry, CPU ms": row("first_ms"),
        "the same without imports": row("imported_ms"),
        "memory of the first entry, MB": row("first_mb"),
        "entities": row("entities"),
    }
    table([TITLES[way] for way in ways], rows, ratio_to=ways.index("floor"))


def hold(seconds: float, repeat: int) -> None:
    """Measure what a held setpoint costs."""
    (runs,) = run([Case(way="private", changes=(0.0,), seconds=seconds, hold=True)], repeat)
    measured = ("change 0", "held")
    rows = {
        "CPU a poll, ms": [of(runs, name, "cpu_ms") for name in measured],
        "requests a poll": [of(runs, name, "requests") for name in measured],
        "states a poll": [of(runs, name, "events") for name in measured],
    }
    table(["nothing held", "a setpoint held"], rows, ratio_to=0)


def grow(counts: tuple[int, ...], seconds: float) -> None:
    """Measure how the cost grows with the number of inverters."""
    found = [run([Case(way="private", everything=False, inverters=count, seconds=seconds)], 1)[0] for count in counts]
    measured = "change 0.6"

    def row(pick: Callable[[list[Found]], float]) -> list[float]:
        return [pick(runs) for runs in found]

    table(
        [f"{count} inverters" for count in counts],
        {
            "CPU a second, ms": row(lambda runs: of(runs, measured, "cpu_ms_per_s")),
            "CPU a poll, ms": row(lambda runs: of(runs, measured, "cpu_ms")),
            "event loop late, 99 %, ms": row(lambda runs: of(runs, measured, "lag_99_ms")),
            "event loop late, longest, ms": row(lambda runs: of(runs, measured, "lag_longest_ms")),
            "longest step of the event loop, CPU ms": row(lambda runs: of(runs, "step_longest_ms")),
            "the same without garbage collection": row(lambda runs: of(runs, "own_step_longest_ms")),
            "setup of a further entry, CPU ms": row(lambda runs: of(runs, "further_ms")),
            "memory of a further entry, MB": row(lambda runs: of(runs, "further_mb")),
        },
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cases, shorter, in three minutes")
    quick = parser.parse_args().quick
    command = "scripts/benchmark" + " --quick" * quick
    print(f"`{command}`, {datetime.now(UTC):%Y-%m-%d}\n")
    if quick:
        print("All entities, polls of 1 s\n")
        compare(("best", "coordinator", "floor", "library", "private"), (0.0, 0.6), 15, 1)
        print("All entities, polls of 1 s, nothing changes\n")
        hold(10, 1)
        print("Default entities, polls of 1 s\n")
        grow((5,), 10)
        return
    pair = ("floor", "library", "private")
    print("All entities, polls of 1 s\n")
    compare(tuple(TITLES), CHANGES, 20, 3)
    print("Default entities, polls of 1 s\n")
    compare(pair, CHANGES, 20, 2, everything=False)
    print("All entities, polls of 10 s\n")
    compare(pair, (0.0, 0.6), 60, 2, interval=10)
    for latency in (5, 50):
        print(f"All entities, polls of 1 s, answers after {latency} ms\n")
        compare(("best", "coordinator", *pair), (0.6,), 20, 2, latency_ms=latency)
    print("All entities, polls of 1 s, with the recorder\n")
    compare(("best", "coordinator", *pair), (0.6,), 20, 2, recorder=True)
    print("All entities, polls of 1 s, nothing changes\n")
    hold(20, 2)
    print("Default entities, polls of 1 s, one Home Assistant\n")
    grow((2, 5, 20, 50), 20)


if __name__ == "__main__":
    main()
