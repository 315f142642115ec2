"""Caches of several kinds, apart: the layers that can be cut at any token, and those that cannot (C2).

A hybrid has few layers that keep all tokens, but in a long prompt those take most of the bytes. They are the same in
every snapshot of a prompt, and so are stored once, as segments.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pensieve.engine.kv.rows.forms import leaves, nested
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.segments import KVSegment, bytes_per_token, join
from pensieve.engine.kv.snapshots import Snapshot


class Separated(NamedTuple):
    """One request's caches. `others` have None in the place of each that can be cut."""

    growing: list[Any]
    others: list[Any]

    @classmethod
    def of(cls, caches: Sequence[Any]) -> Separated:
        parts = leaves(caches)
        return cls([each for each in parts if _grows(each)], [None if _grows(each) else each for each in parts])

    @property
    def bytes_per_token(self) -> int:
        return bytes_per_token(self.growing)

    def segments(self, spans: Sequence[tuple[int, int]]) -> list[KVSegment | None]:
        """Copies of these tokens. None where no layer can be cut."""
        return list(KVSegment.pieces(self.growing, spans)) if self.growing else [None] * len(spans)


def together(
    template: Sequence[Any], segments: Sequence[KVSegment], snapshot: Snapshot, num_tokens: int, *, room_tokens: int = 0
) -> list[Any]:
    """New caches for one request, as those were that `Separated` took apart; `template` has lists where those had."""
    rows = iter(join(segments, num_tokens, room_tokens=room_tokens) if segments else ())
    return nested(template, [next(rows) if each is None else each for each in snapshot.caches()])


def _grows(cache: Any) -> bool:
    from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

    return type(cache) in (KVCache, RowKV) and not cache.empty()
