"""What a client's conversation showed, and the table of all of them in docs/clients.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

FOLDER = Path(__file__).parent / ".installed/outcomes"
MIN_CACHED_SHARE = 0.95
MAX_REFUSED_REQUESTS = 30
"""More requests than a client sends in four turns that do not fit: Claude Code sends 20. A loop exceeds it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`cached_share` is None if it is unknown. `fits` is false if the client's own prompt exceeds the window."""

    client: str
    version: str
    window: int
    plain: bool = False
    stream: bool = False
    tool: bool = False
    cached_share: float | None = None
    prompt_tokens: int = 0
    fits: bool = True
    note: str = ""
    day: str = ""

    def save(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", f"{self.client} {self.window}").lower()
        saved = asdict(self) | {"day": date.today().isoformat()}
        (FOLDER / f"{name}.json").write_text(json.dumps(saved, indent=1), encoding="utf-8")


def load_outcomes() -> list[Outcome]:
    return [Outcome(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("*.json"))]


def table(order: Sequence[str], outcomes: Iterable[Outcome], page: str) -> str:
    """The table for docs/clients.md, with the clients in this order. `page` is the page as it is: its rows stay until
    a run replaces them, so that a few clients can be tried alone.
    """
    rows = {_key(cells): cells for cells in map(_cells, page.splitlines()) if cells[:1] and cells[0] in order}
    for outcome in outcomes:
        cells = _cells(_row(outcome))
        if outcome.day >= rows.get(_key(cells), [""])[-1]:
            rows[_key(cells)] = cells
    head = "| client | version | window | prompt | plain | stream | tool | read from the cache | notes | tried |\n"
    ordered = sorted(rows.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    return head + "|---|---|---|---|---|---|---|---|---|---|\n" + "\n".join(_line(cells) for _, cells in ordered)


def _cells(line: str) -> list[str]:
    """Of a row of a table; none for another line."""
    return line[2:-2].split(" | ") if line.startswith("| ") else []


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _key(cells: Sequence[str]) -> tuple[str, int]:
    """The client and the window."""
    return cells[0], int(cells[2].replace(",", ""))


def _row(row: Outcome) -> str:
    marks = ["yes" if done else "no" for done in (row.plain, row.stream, row.tool)] if row.fits else ["–"] * 3
    share = f"{row.cached_share:.1%}" if row.cached_share is not None else "–"
    counts = [f"{number:,}" for number in (row.window, row.prompt_tokens)]
    return _line([row.client, row.version, *counts, *marks, share, row.note.replace("|", "/"), row.day])
