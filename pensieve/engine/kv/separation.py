"""Caches of several kinds, apart: the layers that can be cut at any token, and those that cannot (C2).

A hybrid has few layers that keep all tokens, but in a long prompt those take most of the bytes. They are the same in
every snapshot of a prompt, and so are stored once, as segments.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pensieve.engine.kv.blocks import HostArray, KVBlock
from pensieve.engine.kv.rows.forms import leaves, nested, without_rows
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.segments import KVSegment, bytes_per_token, join_emptying
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
    template: Sequence[Any], segments: list[KVSegment], snapshot: Snapshot, num_tokens: int, *, room_tokens: int = 0
) -> list[Any]:
    """New caches for one request, as those were that `Separated` took apart; `template` has lists where those had.
    Empties `segments`.
    """
    rows = iter(join_emptying(segments, num_tokens, room_tokens=room_tokens) if segments else ())
    return nested(template, [next(rows) if each is None else each for each in snapshot.caches()])


class StateBlock(NamedTuple):
    """What a disk block holds of a state: segments before it have the rest of the layers that can be cut."""

    tail: KVSegment | None
    """Those layers' keys and values of the block's own tokens."""
    snapshot: Snapshot

    @staticmethod
    def to_host(
        tail: tuple[Any, list[HostArray]] | None, snapshot: Snapshot, own: Collection[type] = ()
    ) -> tuple[Any, list[HostArray]]:
        """The form and arrays of the block. `tail` is the form and arrays of a segment, `snapshot` is `storable`."""
        form, arrays = snapshot.to_host(own)
        if tail is None:
            return form, arrays
        tail_form, tail_arrays = tail
        parts = {"tail": tail_form, "tail_arrays": len(tail_arrays), "snapshot": form}
        return {"layout": "state", **parts}, [*tail_arrays, *arrays]

    @classmethod
    def from_block(cls, block: KVBlock, own: Collection[type] = ()) -> StateBlock:
        """
        Raises:
            ValueError: the block does not hold a state.
        """
        if not block.is_state:
            raise ValueError("the block does not hold a state")
        if block.form["layout"] == "whole":
            return cls(None, Snapshot.from_block(block, own))
        try:
            num_tail, tail_form, form = (block.form[name] for name in ("tail_arrays", "tail", "snapshot"))
            tail, rest = block.arrays[:num_tail], block.arrays[num_tail:]
        except (KeyError, TypeError) as error:
            raise ValueError("the block does not hold a state") from error
        segment = KVSegment.from_block(replace(block, form=tail_form, arrays=tail))
        return cls(segment, Snapshot.from_block(replace(block, form=form, arrays=rest), own))


def storable(snapshot: Snapshot, own: Collection[type] = ()) -> Snapshot:
    """The snapshot with mlx-lm's caches in the place of rows, which have no form on disk.

    Raises:
        ValueError: see `Snapshot.require_storable`.
    """
    plain = Snapshot.of(without_rows(snapshot.caches()))
    plain.require_storable(own)
    return plain


def _grows(cache: Any) -> bool:
    from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

    return type(cache) in (KVCache, RowKV) and not cache.empty()
