"""Passes of an MTP head over several rows.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import mlx.core as mx
from mlx.utils import tree_flatten

from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.sizes import KVSizes, LayerKV
from pensieve.engine.speculation.mtp_row import MAX_PENDING, MtpRow

_TOLERANCE: Final = 0.05
"""Of the largest number, between one row alone and beside another. In half precision, kernels differ."""


class HeadPasses:
    """`text` is the model, whose embeddings and output layer are those of the head as well."""

    def __init__(self, text: Any, head: Any) -> None:
        self._text, self._head = text, head
        self._in_rows = self._can_run_in_rows()
        self.sizes = self._measured_sizes()

    @property
    def weights_bytes(self) -> int:
        """Bytes that a pass reads."""
        arrays = [*tree_flatten(self._head.parameters()), *tree_flatten(self._output_layer.parameters())]
        return sum(array.nbytes for _, array in cast("list[tuple[str, mx.array]]", arrays))

    def new_cache(self) -> Any:
        from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

        return RowKV() if self._in_rows else KVCache()

    def after(self, rows: Sequence[MtpRow], token_ids: Sequence[Sequence[int]]) -> mx.array:
        """Compute what is pending of each row, before `token_ids`. Returns the last hidden states [rows, 1, size]."""
        lengths = [len(each) for each in token_ids]
        width = max(lengths)
        hidden = [_padded(row.take(length), width) for row, length in zip(rows, lengths, strict=True)]
        following = mx.array([[*each, *[0] * (width - len(each))] for each in token_ids])
        output = self.run(following, mx.stack(hidden), rows, lengths)
        return output[mx.arange(len(rows)), mx.array(lengths) - 1][:, None]

    def run(
        self, token_ids: mx.array, hidden: mx.array, rows: Sequence[MtpRow], lengths: Sequence[int] | None = None
    ) -> mx.array:
        """A pass over `hidden` [rows, tokens, size] and the tokens that follow each; right-padded beyond `lengths`."""
        embeddings = self._text.model.embed_tokens(token_ids)
        return self._run(embeddings, hidden, [row.cache for row in rows], lengths)

    def likeliest(self, hidden: mx.array) -> mx.array:
        """The most likely token for each row's hidden states [rows, 1, size]."""
        layer = self._output_layer
        logits = layer(hidden) if "lm_head" in self._text else layer.as_linear(hidden)
        return mx.argmax(logits[:, 0], axis=-1)

    @property
    def _output_layer(self) -> Any:
        return self._text.lm_head if "lm_head" in self._text else self._text.model.embed_tokens

    def _run(
        self, embeddings: mx.array, hidden: mx.array, caches: Sequence[Any], lengths: Sequence[int] | None
    ) -> mx.array:
        width = int(hidden.shape[1])
        lengths = lengths or [width] * len(caches)
        if all(isinstance(cache, RowKV) for cache in caches):
            rows = RowsKV(caches)
            if min(lengths) < width:
                rows.prepare(lengths=lengths, right_padding=[width - length for length in lengths])
            output: mx.array = self._head(embeddings, hidden, None, rows)
            return output
        outputs = [
            self._run_alone(embeddings[index, :length], hidden[index, :length], cache)
            for index, (cache, length) in enumerate(zip(caches, lengths, strict=True))
        ]
        return mx.stack([_padded(each, width) for each in outputs])

    def _run_alone(self, embeddings: mx.array, hidden: mx.array, cache: Any) -> mx.array:
        """One row [tokens, size], with mlx-lm's cache."""
        from pensieve.device.mlx_lm.layers import create_attention_mask  # noqa: PLC0415 - half a second

        mask = create_attention_mask(hidden[None], cache, return_array=True)
        output: mx.array = self._head(embeddings[None], hidden[None], mask, cache)[0]
        return output

    def _can_run_in_rows(self) -> bool:
        """Whether two rows beside each other compute what each does with mlx-lm's cache."""
        from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

        embeddings = self._text.model.embed_tokens(mx.array([[1, 2, 3, 4], [5, 6, 7, 8]]))
        hidden, lengths = embeddings[::-1], [3, 2]
        last = [slice(length, length + 1) for length in lengths]
        alone = []
        for index, length in enumerate(lengths):
            cache = KVCache()
            self._run_alone(embeddings[index, :length], hidden[index, :length], cache)
            alone.append(self._run_alone(embeddings[index, last[index]], hidden[index, last[index]], cache))
        expected = mx.concatenate(alone)
        rows = [RowKV(), RowKV()]
        try:
            self._run(embeddings[:, :3], hidden[:, :3], rows, lengths)
            next_embeddings, next_hidden = (
                mx.stack([each[index, last[index]] for index in range(2)]) for each in (embeddings, hidden)
            )
            together = self._run(next_embeddings, next_hidden, rows, None)[:, 0]
            difference = mx.max(mx.abs(together - expected))
        except Exception:  # a layer that uses its cache in another way may fail with any error
            return False
        return bool(difference <= _TOLERANCE * mx.max(mx.abs(expected)))

    def _measured_sizes(self) -> KVSizes:
        from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

        cache = KVCache()
        embedding = self._text.model.embed_tokens(mx.array([0]))
        mx.eval(self._run_alone(embedding, embedding, cache))
        bytes_per_token = int(cache.keys.nbytes + cache.values.nbytes) // int(cache.keys.shape[2])
        return KVSizes((LayerKV(bytes_per_token, None, MAX_PENDING * embedding.nbytes, in_row=True),), in_rows=True)


def _padded(array: mx.array, num_tokens: int) -> mx.array:
    """[tokens, size], with zeros up to `num_tokens`."""
    missing = num_tokens - int(array.shape[0])
    return mx.pad(array, [(0, missing), (0, 0)]) if missing else array
