"""The table of the studies, as `docs/automations.md` has it between its two markers."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from .rule import FOLDER
from .site import Result, Site, Strategy

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "automations.md"
DAYS = 7.0
START, END = "<!-- study: generated, ", "<!-- study: end -->"
COLUMNS = (
    "Highest quarter-hour (kW)",
    "Quarter-hours above the limit",
    "Discharged (kWh)",
    "Charged (kWh)",
    "Starts",
    "Imported (kWh)",
    "Exported (kWh)",
    "Lowest SoC (%)",
)

type Row = tuple[Site, Strategy, Result]


def digest() -> str:
    """Return a digest of all that the table depends on, comments and docstrings left out."""
    found = hashlib.sha256()
    for name in ("peak_guard", "peak_record", "surplus"):
        found.update((FOLDER / f"{name}.yaml").read_bytes())
    for path in (Path(__file__).parent / "rule.py", Path(__file__).parent / "site.py", *_MODEL):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(body := getattr(node, "body", None), list):
                body[:] = [one for one in body if not _is_text(one)] or [ast.Pass()]
        found.update(ast.unparse(tree).encode())
    return found.hexdigest()[:16]


_MODEL = (ROOT / "tests" / "simulator" / "model.py",)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """Return the tables, one for each site."""
    site: Site | None = None
    for at, strategy, result in rows:
        if at != site:
            site = at
            yield ""
            yield f"**{site.name}, limit {site.limit_kw:.0f} kW**"
            yield ""
            yield _row("", *COLUMNS)
            yield _row("---", *["---:"] * len(COLUMNS))
        yield _row(
            strategy.name,
            f"{result.peak_kw:.1f}",
            result.above_limit,
            f"{result.discharged_kwh:.0f}",
            f"{result.charged_kwh:.0f}",
            result.starts,
            f"{result.imported_kwh:.0f}",
            f"{result.exported_kwh:.0f}",
            "" if not strategy.blueprints else f"{result.lowest_soc:.0f}",
        )
    yield ""


def written(rows: Iterable[Row]) -> str:
    """Return the document with its table written again."""
    text = DOCUMENT.read_text()
    before, rest = text.split(START)
    after = rest.split(END)[1]
    return f"{before}{START}{digest()} -->\n" + "\n".join(lines(rows)) + f"\n{END}{after}"


def stored_digest() -> str:
    """Return the digest that the document was written with."""
    return DOCUMENT.read_text().split(START)[1].split(" ")[0]
