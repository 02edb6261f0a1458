"""The tables of `docs/faults.md`, from the results of every case."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .faults import CASES, FAULTS, LINKS, TRANSPORTS, Fault

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- faults: generated -->", "<!-- faults: end -->"
TITLES = {"tcp": "Modbus TCP", "rtu_over_tcp": "RTU over TCP", "serial": "Serial line"}
COLUMNS = (
    "Fault",
    "Entities",
    "Recovery, private",
    "Recovery, shared",
    "20 kW held, private",
    "20 kW held, shared",
    "Log lines, private",
    "Log lines, shared",
    "More robust",
)
CLEAR_S = 3.0
"""Difference of recovery that chance does not explain: a poll comes every second, and a request may take two."""

type Result = dict[str, Any]
type Results = dict[str, Result]


def read(folder: Path) -> Results:
    """Return the results by case. Raises `FileNotFoundError` unless all are there."""
    return {case.key: json.loads((folder / f"{case.key}.json").read_text()) for case in CASES}


def _pair(results: Results, fault: Fault, transport: str, link: str) -> list[Result]:
    """The results of a fault without and with power held, as far as there are both."""
    return [results[f"{fault.key}-{transport}-{link}-{load}"] for load in fault.loads]


def _seconds(pair: list[Result]) -> str:
    return " / ".join(f"{one['recovery_s']:.1f}" for one in pair)


def _entities(results: Results, fault: Fault, transport: str) -> str:
    shown = {link: _pair(results, fault, transport, link)[0]["shown"] for link in LINKS}
    if len(set(shown.values())) == 1:
        return str(shown[LINKS[0]])
    return "; ".join(f"{link}: {text}" for link, text in shown.items())


def _held(result: Result, fault: Fault) -> str:
    lease, zero = result["lease"], result["zero_after_s"]
    words = [lease if lease in ("", "kept") or lease.startswith("not taken") else f"ended: {lease}"]
    if zero is not None and zero >= 0:
        words.append(f"zero {zero:.1f} s after the fault")
    elif zero is not None:
        words.append(f"zero at {fault.lasts_s + zero:.0f} s of the fault" if fault.lasts_s else "zero during the fault")
    return ", ".join(words)


def _lines(pair: list[Result]) -> str:
    counts = [f"{len(one['log'])}" + (f" + {one['library_lines']}" if one["library_lines"] else "") for one in pair]
    return " / ".join(counts)


def _better(results: Results, fault: Fault, transport: str) -> str:
    """Which link loses less: the setpoint first, then the values, then time."""
    seen = {link: _pair(results, fault, transport, link) for link in LINKS}
    ranks = {link: (pair[-1]["lease"] != "kept", *(one["losses"] > 0 for one in pair)) for link, pair in seen.items()}
    private, shared = (ranks[link] for link in LINKS)
    if private != shared:
        return LINKS[private > shared]
    slowest = [max(one["recovery_s"] for one in seen[link]) for link in LINKS]
    return "equal" if abs(slowest[0] - slowest[1]) < CLEAR_S else LINKS[slowest[0] > slowest[1]]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def lines(results: Results) -> Iterator[str]:
    """Return the tables, one for each transport, and the sum of them."""
    verdicts: Counter[str] = Counter()
    for transport in TRANSPORTS:
        yield f"### {TITLES[transport]}"
        yield ""
        yield _row(*COLUMNS)
        yield _row(*["---"] * len(COLUMNS))
        for fault in (one for one in FAULTS if transport in one.on):
            pairs = [_pair(results, fault, transport, link) for link in LINKS]
            better = _better(results, fault, transport)
            verdicts[better] += 1
            yield _row(
                fault.title,
                _entities(results, fault, transport),
                *map(_seconds, pairs),
                *(_held(pair[-1], fault) for pair in pairs),
                *map(_lines, pairs),
                better,
            )
        yield ""
    yield "### Sum"
    yield ""
    yield _row("Link", "Cases", "Setpoints kept", "Values lost", "Longest recovery", "More robust", "Library log lines")
    yield _row(*["---"] * 7)
    for link in LINKS:
        ours = [results[case.key] for case in CASES if case.link == link]
        yield _row(
            link,
            str(len(ours)),
            str(sum(one["lease"] == "kept" for one in ours)),
            str(sum(one["losses"] > 0 for one in ours)),
            f"{max(one['recovery_s'] for one in ours):.1f} s",
            f"{verdicts[link]} of {verdicts.total()} rows",
            str(sum(one["library_lines"] for one in ours)),
        )
    yield ""


def write(results: Results, heading: str) -> None:
    """Write the page with its tables made again."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    text = "\n".join(lines(results))
    PAGE.write_text(f"{before}{BEGIN}\n\n{heading}\n\n{text}\n{END}{after}")
