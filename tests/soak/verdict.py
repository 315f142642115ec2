"""Judges a soak: wrong answers, errors, and what the server takes at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.soak.record import Record
from tests.soak.server import Level

MAX_ERROR_SHARE: Final = 0.001
MAX_GROWTH: Final = 1.02
SPARE_NUMBER: Final = 2
"""Two more descriptors or threads are within the limit, where 2 % would be less than one."""


@dataclass(frozen=True, slots=True)
class Measured:
    at_seconds: float
    level: Level


def level_at(measured: Sequence[Measured], seconds: float) -> Measured:
    """The first measurement after that time, or the last one."""
    return next((each for each in measured if each.at_seconds >= seconds), measured[-1])


def error_share(record: Record) -> float:
    """Failed requests, to all but those that a kill cut off."""
    done = sum(record.total(outcome) for outcome in ("right", "wrong", "failed", "refused"))
    return record.total("failed") / done if done else 1.0


def objections(records: Sequence[Record], measured: Sequence[Measured], level_seconds: float) -> Iterator[str]:
    """What a run broke, one sentence each."""
    for name, record in zip(("the steady server", "the server that is killed"), records, strict=True):
        if num_wrong := record.total("wrong"):
            yield f"{name}: {num_wrong} wrong answers"
        if error_share(record) >= MAX_ERROR_SHARE:
            yield f"{name}: {record.total('failed')} requests failed, {error_share(record):.2%}"
        if not record.total("right"):
            yield f"{name}: no request was answered"
    yield from growth(level_at(measured, level_seconds).level, measured[-1].level)


def growth(before: Level, after: Level) -> Iterator[str]:
    for name in ("resident_bytes", "ledger_bytes", "open_files", "num_threads"):
        was, now = getattr(before, name), getattr(after, name)
        limit = was * MAX_GROWTH if name.endswith("bytes") else max(was * MAX_GROWTH, was + SPARE_NUMBER)
        if now > limit:
            yield f"{name} grew from {was} to {now}, by {now / was - 1:.1%}"
