"""Writes the numbers of `scripts/soak` into `docs/performance.md`."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- soak: generated -->", "<!-- soak: end -->"
COLUMNS = {
    "tasks": "tasks",
    "timers": "timers",
    "listeners": "listeners",
    "file_handles": "file handles",
    "child_processes": "child processes",
    "objects": "Python objects",
    "memory_mb": "memory, MB",
}


def table(lines: list[str]) -> str:
    """Return the table: what was held before and after."""
    rows = sorted((json.loads(line) for line in lines), key=lambda row: (-row["rounds"], row["name"]))
    text = [f"`scripts/soak`, {datetime.now(UTC).date()}; before and after", ""]
    text += ["|  | minutes | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for row in rows:
        held = [f"{row['before'][key]}, {row['after'][key]}" for key in COLUMNS]
        minutes = f"{row['seconds'] / 60:.0f}" if row["seconds"] >= 60 else "< 1"
        text.append(f"| {row['name']} | {minutes} | " + " | ".join(held) + " |")
    return "\n".join(text)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(Path(sys.argv[1]).read_text().splitlines())}\n\n{END}{after}")
