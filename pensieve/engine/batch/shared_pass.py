"""One pass for the chunks of prompts and for the next tokens of the rows that decode.

In passes of their own, both would read all the weights, and a stream would wait for both. In one, it waits less.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import mlx.core as mx

from pensieve.device.device import device_info
from pensieve.engine.batch.prefilling_rows import PrefilledChunk, PrefillingRows
from pensieve.engine.decoding.decoding_rows import DecodingRows
from pensieve.engine.decoding.row import Sampled
from pensieve.engine.kv.rows.flat import FlatRows
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.layers.output_head import OutputHead


def may_share_passes(caches: Sequence[Any]) -> bool:
    """Whether a model with these caches of one request computes each token of a pass as if it were alone.

    Only on CPUs: elsewhere, products of many rows of one token each are not those of one row of many tokens.
    """
    attend = all(isinstance(each, RowKV) and each.form == "attending" for each in caches)
    return attend and device_info().backend == "cpu"


class SharedPass:
    """For models that `may_share_passes`."""

    def __init__(self, prefilling: PrefillingRows, decoding: DecodingRows, head: OutputHead) -> None:
        self._prefilling = prefilling
        self._decoding = decoding
        self._head = head

    @property
    def is_possible(self) -> bool:
        """Whether rows decode, and need a pass for it."""
        decoding = self._decoding
        return bool(decoding.rows) and not (decoding.has_new_rows or decoding.all_end)

    def run(self, num_tokens: Mapping[int, int]) -> tuple[list[Sampled], list[PrefilledChunk]]:
        """Prefill the next `num_tokens[uid]` tokens of each prompt, and decode a token of each other row."""
        chunks = self._prefilling.next_chunks(num_tokens)
        logits = self._logits(chunks)
        sampled = self._decoding.decode(logits[len(chunks) :])
        return sampled, self._prefilling.finish(chunks, logits[: len(chunks)])

    def _logits(self, chunks: Sequence[list[int]]) -> mx.array:
        """Start the pass. Returns the logits after each chunk's last token, then after each row's next token."""
        ends = list(accumulate(len(chunk) for chunk in chunks))
        of_chunks = mx.array([each for chunk in chunks for each in chunk], mx.uint32)
        token_ids = mx.concatenate([of_chunks, self._decoding.next_tokens])
        sampled_at = mx.array([*(end - 1 for end in ends), *range(ends[-1], token_ids.size)])
        with self._head.only_at(mx.zeros_like(sampled_at), sampled_at):
            logits: mx.array = self._prefilling.model(token_ids[:, None], cache=self._layers(chunks))
        return logits[:, 0]

    def _layers(self, chunks: Sequence[list[int]]) -> list[FlatRows]:
        lengths = [len(chunk) for chunk in chunks]
        layers = zip(self._prefilling.caches.layers, self._decoding.caches.layers, strict=True)
        return [FlatRows(list(zip(own.rows, lengths, strict=True)), decoding) for own, decoding in layers]
