"""What a client's conversation showed, and the table of all of them in docs/clients.md."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
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


def table(order: Sequence[str]) -> str:
    """The table for docs/clients.md, with the clients in this order."""
    rows = sorted(load_outcomes(), key=lambda outcome: (order.index(outcome.client), outcome.window))
    head = "| client | version | window | prompt | plain | stream | tool | read from the cache | notes | tried |\n"
    return head + "|---|---|---|---|---|---|---|---|---|---|\n" + "\n".join(_row(row) for row in rows)


def _row(row: Outcome) -> str:
    marks = ["yes" if done else "no" for done in (row.plain, row.stream, row.tool)] if row.fits else ["–"] * 3
    share = f"{row.cached_share:.1%}" if row.cached_share is not None else "–"
    counts = [f"{number:,}" for number in (row.window, row.prompt_tokens)]
    cells = [row.client, row.version, *counts, *marks, share, row.note, row.day]
    return f"| {' | '.join(cells)} |"
