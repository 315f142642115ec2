"""A soak's figures as JSON, and as a table in docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.soak.record import OUTCOMES, Record
from tests.soak.run import Run
from tests.soak.verdict import error_share, level_at

BEGIN: Final = "<!-- figures of the last soak, written by `tox -e soak -- --document docs/reliability.md` -->"
END: Final = "<!-- end of the figures -->"
MAX_ROWS: Final = 12
Json = dict[str, Any]


def as_json(run: Run, found: Sequence[str], note: str) -> Json:
    return {
        "seconds": run.plan.seconds,
        "note": note,
        "objections": list(found),
        "answered_in_two_ways": run.unstable,
        "disk": run.disk_error or "a small one, full for a while",
        "steady": _totals(run.steady),
        "killed": _totals(run.killed),
        "level_seconds": run.plan.level_seconds,
        "level_before": asdict(level_at(run.measured, run.plan.level_seconds)),
        "level_after": asdict(run.measured[-1]),
        "measured": [asdict(each) for each in run.measured],
    }


def _totals(record: Record) -> Json:
    totals = {outcome: record.total(outcome) for outcome in OUTCOMES}
    return {**totals, "error_share": error_share(record), **record.as_json()}


def write_document(path: Path, report: Json) -> None:
    """Replace the lines between the two marks of the page."""
    text = path.read_text(encoding="utf-8")
    lines = "\n".join((BEGIN, *_lines(report), END))
    path.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: lines, text, flags=re.DOTALL), encoding="utf-8")


def _lines(report: Json) -> Iterator[str]:
    yield f"\n{report['seconds'] / 60:.0f} minutes{', ' if report['note'] else ''}{report['note']}.\n"
    yield "| server | right | wrong | refused (529) | failed | share of errors | cut by a kill |"
    yield "|---|---|---|---|---|---|---|"
    for name in ("steady", "killed"):
        row = report[name]
        cells = [name, *(row[each] for each in OUTCOMES[:4]), f"{row['error_share']:.3%}", row["cut"]]
        yield f"| {' | '.join(map(str, cells))} |"
    yield "\n| the steady server at rest | resident MB | ledger MB | descriptors | threads |"
    yield "|---|---|---|---|---|"
    for measured in _some(report["measured"]):
        level = measured["level"]
        sizes = [f"{level[name] / 1e6:.1f}" for name in ("resident_bytes", "ledger_bytes")]
        cells = [f"after {measured['at_seconds'] / 60:.0f} minutes", *sizes, level["open_files"], level["num_threads"]]
        yield f"| {' | '.join(map(str, cells))} |"
    yield from _events(report)


def _some(measured: Sequence[Json]) -> list[Json]:
    """About a dozen, and the last one."""
    step = -(-len(measured) // MAX_ROWS)
    rows = list(measured[::step])
    return rows if rows[-1] is measured[-1] else [*rows, measured[-1]]


def _events(report: Json) -> Iterator[str]:
    notes = report["killed"]["notes"]
    if killed := notes.get("killed"):
        yield f"\nThe server was killed {len(killed)} times, and answered again after {_range(killed)} s."
    full = notes.get("answered while the disk was full")
    yield f"The disk: {report['disk']}; {full[0]} right answers meanwhile." if full else f"The disk: {report['disk']}."
    for sentence in report["objections"]:
        yield f"- beyond the limit: {sentence}"
    yield ""


def _range(values: Sequence[float]) -> str:
    return f"{min(values):g} to {max(values):g}"
