"""The caches of several rows: one batch cache for each layer, of whatever kinds the model has (C2).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from pensieve.engine.kv.rows.batch import RowBatch
from pensieve.engine.kv.rows.forms import are_rows, leaves, without_rows

RowCaches = list[Any]
"""One request's caches, one for each layer."""


class BatchCaches:
    """Batch caches join, leave and are padded as mlx-lm's own (`merge`, `extend`, `filter`, `prepare`, `finalize`)."""

    def __init__(self, layers: Sequence[Any] = ()) -> None:
        self.layers = list(layers)

    @classmethod
    def of(cls, rows: Sequence[RowCaches]) -> BatchCaches:
        return cls([layer[0].merge(list(layer)) for layer in zip(*rows, strict=True)])

    def extend(self, other: BatchCaches) -> None:
        """Add the other's rows after the own ones. `other` is not to be used afterwards."""
        if not self.layers:
            self.layers = other.layers
            return
        for own, joining in zip(self.layers, other.layers, strict=True):
            own.extend(joining)

    def keep(self, indices: Sequence[int]) -> None:
        if not indices:
            self.layers = []
        for layer in self.layers:
            layer.filter(list(indices))

    def split(self, leaving: Sequence[int], staying: Sequence[int]) -> BatchCaches:
        """Keep the rows `staying`, and return those `leaving`."""
        if not staying:
            taken, self.layers = type(self)(self.layers), []
            return taken
        taken = type(self)(copy.deepcopy(self.layers))
        taken.keep(leaving)
        self.keep(staying)
        return taken

    def row(self, index: int) -> RowCaches:
        """A row's caches. They may be views: use them before the next pass, or take the row out of the batch first."""
        return [row_of(layer, index) for layer in self.layers]

    def pad(self, lengths: Sequence[int], width: int) -> None:
        """In the next pass, only the first `lengths[i]` of `width` tokens of row i are its own."""
        for layer in self.layers:
            layer.prepare(lengths=list(lengths), right_padding=[width - length for length in lengths])

    def unpad(self) -> None:
        for layer in self.layers:
            layer.finalize()

    def run(self, model: Any, token_ids: mx.array, lengths: Sequence[int]) -> mx.array:
        """Logits [rows, tokens, vocabulary] for `token_ids` [rows, tokens], right-padded beyond their `lengths`."""
        is_padded = min(lengths) < token_ids.shape[1]
        if is_padded:
            self.pad(lengths, token_ids.shape[1])
        logits: mx.array = model(token_ids, cache=self.layers)
        if is_padded:
            self.unpad()
        self._end_left_padding()
        return logits

    def _end_left_padding(self) -> None:
        """mlx-lm counts recurrent caches that were merged empty as padded, by no tokens, until they are finalised. With
        a mask, their layers would take the way for many tokens: on an H200 a 9B hybrid decoded at a third of its speed.
        """
        from pensieve.device.mlx_lm.caches import ArraysCache  # noqa: PLC0415 - half a second

        for part in self.parts:
            if isinstance(part, ArraysCache) and part.left_padding is not None:
                part.finalize()

    @property
    def parts(self) -> list[Any]:
        """All caches, with lists of caches replaced by their parts."""
        return leaves(self.layers)

    @property
    def can_be_cut(self) -> bool:
        return are_rows(self.parts)

    def cut(self, num_tokens: Sequence[int]) -> None:
        """Remove the last `num_tokens[i]` tokens of row i. Only if `can_be_cut`."""
        for part in self.parts:
            part.cut(num_tokens)

    def checkpoint(self) -> list[Callable[[], None]]:
        """What `restore` needs to undo the passes that follow.

        MLX arrays are handles, so a checkpoint takes no memory until a pass writes into one of its arrays. Recurrent
        states are replaced as a whole, windows are small, and a single row of keys and values is trimmed instead.
        """
        return [_undo(part) for part in self.parts]

    def restore(self, checkpoint: Sequence[Callable[[], None]]) -> None:
        for undo in checkpoint:
            undo()

    @property
    def state(self) -> list[Any]:
        return [part.state for part in self.parts]

    @property
    def nbytes(self) -> int:
        return sum(int(part.nbytes) for part in self.parts)


class MixedCaches(BatchCaches):
    """Batch caches of which some layers are rows, or windows. What is taken out for the store is of mlx-lm's kinds."""

    def row(self, index: int) -> RowCaches:
        return without_rows(super().row(index))


class SeparateCaches(BatchCaches):
    """`layers` are rows here: the caches of each request as they are. Each has a pass of its own.

    Some caches have no batch form (DeepSeek V4.1's), and some models compute different results with it.
    """

    @classmethod
    def of(cls, rows: Sequence[RowCaches]) -> SeparateCaches:
        return cls(rows)

    def extend(self, other: BatchCaches) -> None:
        self.layers += other.layers

    def keep(self, indices: Sequence[int]) -> None:
        self.layers = [self.layers[index] for index in indices]

    def split(self, leaving: Sequence[int], staying: Sequence[int]) -> SeparateCaches:
        taken = SeparateCaches([self.layers[index] for index in leaving])
        self.keep(staying)
        return taken

    def row(self, index: int) -> RowCaches:
        return list(self.layers[index])

    def run(self, model: Any, token_ids: mx.array, lengths: Sequence[int]) -> mx.array:
        width = max(lengths)
        rows = [
            mx.pad(model(token_ids[index : index + 1, :length], cache=caches), [(0, 0), (0, width - length), (0, 0)])
            for index, (caches, length) in enumerate(zip(self.layers, lengths, strict=True))
        ]
        return mx.concatenate(rows)

    @property
    def parts(self) -> list[Any]:
        return [leaf for caches in self.layers for leaf in leaves(caches)]


def row_of(cache: Any, index: int) -> Any:
    """A row of a batch cache, as the cache that a single request would have.

    mlx-lm returns a copy of the row. For rows of gigabytes that doubles the memory whenever a row is only read in order
    to be stored, so rows of plain caches are views. Drop a view before the next pass: until then MLX must keep the
    viewed array, and would copy the whole batch to go on writing.
    """
    from pensieve.device.mlx_lm.caches import BatchKVCache, KVCache  # noqa: PLC0415 - half a second

    if type(cache) is not BatchKVCache or cache.keys is None:
        return cache.extract(index)
    keys, values, _, left_padding, end = cache.state
    start = int(left_padding[index].item())
    row = KVCache()
    row.keys, row.values = (array[index : index + 1, :, start:end] for array in (keys, values))
    row.offset = end - start
    return row


def _undo(cache: Any) -> Callable[[], None]:
    """Brings a batch cache back to where it is now."""
    from pensieve.device.mlx_lm.caches import BatchKVCache, KVCache  # noqa: PLC0415 - half a second

    if isinstance(cache, RowBatch):
        lengths = cache.lengths
        return lambda: cache.cut([after - before for after, before in zip(cache.lengths, lengths, strict=True)])
    if type(cache) is KVCache or (type(cache) is BatchKVCache and cache.offset.size == 1):
        size = cache.size()
        return lambda: cache.trim(cache.size() - size) and None
    if not hasattr(cache, "from_state"):  # a class of a model's own, whose state may not be assigned
        names, values = list(vars(cache)), _handles(list(vars(cache).values()))
        return lambda: vars(cache).update(zip(names, _handles(values), strict=True))
    state = _handles(cache.state)

    def assign() -> None:
        cache.state = _handles(state)

    return assign


def _handles(value: Any) -> Any:
    """A cache's state with handles of its own: nested lists and tuples of arrays, numbers and None."""
    if isinstance(value, mx.array):
        return copy.copy(value)
    return type(value)(_handles(each) for each in value) if isinstance(value, (list, tuple)) else value
