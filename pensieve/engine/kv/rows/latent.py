"""Rows of multi-head latent attention (MLA): one latent vector and one rotated key for each token, for all heads.

mlx-lm's models compute the scores of the rotated keys as an array, add to it the scores of the latents, and project the
whole context's latents to keys and values whenever a pass has more than one token. `LatentRows` leads them another way:
in the place of the rotated keys it returns the identity, so that the model hands over its rotated queries as the mask,
and in the place of the latents itself. With few tokens, queries are projected to latents instead, as mlx-lm does it for
a single one: a pass that verifies eight drafted tokens after 4,096 projects eight tokens for each head, not 4,104.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import mlx.core as mx

from pensieve.device.exponentials import LOG2_E, powers_are_faster, weighted_sums
from pensieve.device.mlx_lm.attention import AttendingCache, AttendingKeys, quantized_attention
from pensieve.engine.kv.causal_attention import MIN_SCORES, window_mask
from pensieve.engine.kv.rows.batch import RowBatch, joined
from pensieve.engine.kv.rows.row import BATCHES, RowKV

Project = Callable[..., mx.array]
"""A layer [heads, latent, size]: from latents to a head's keys or values, or with `transpose=False` the other way."""


class LatentRows(RowBatch, AttendingCache):
    """Rows whose keys are latents [1, 1, tokens, rank] and whose values are rotated keys [1, 1, tokens, size]."""

    def __init__(self, rows: Sequence[RowKV]) -> None:
        quantized_attention()  # makes models attend to caches of this class
        super().__init__(rows)

    def update_and_fetch(self, latents: mx.array, rotated: mx.array) -> tuple[LatentRows, mx.array]:
        """
        Raises:
            NotImplementedError: these are keys and values of heads, not latents.
        """
        if latents.shape[1] != 1 or rotated.shape[1] != 1:
            raise NotImplementedError("rows of latents have one head")
        self.append(latents, rotated)
        return self, _identity(int(rotated.shape[3]), rotated.dtype)

    def projected(self, layer: Project) -> ProjectedLatents:
        """Keys or values that are projected from the latents as far as that is needed."""
        return ProjectedLatents(self, layer)

    def attend(self, queries: mx.array, scale: float, *, mask: Any = None, values: Any = None) -> mx.array:  # noqa: ARG002
        """Latents [rows, heads, tokens, rank] that the tokens added last attend to. Padding gets zeros.

        queries: projected to latents; mask: the rotated queries [rows, heads, tokens, size], scaled.
        """
        parts = zip(self.rows, self.split_rows(queries * scale), self.split_rows(mask), strict=True)
        return joined([_attended(*part) for part in parts], int(queries.shape[2]))

    def make_mask(self, num_tokens: int, *, return_array: bool = False, window_size: int | None = None) -> None:  # noqa: ARG002
        """None: each row applies causal attention itself."""
        self.require_window(window_size)


@dataclass(frozen=True, slots=True)
class ProjectedLatents(AttendingKeys):
    """The keys or values of a pass of several tokens, not projected yet."""

    rows: LatentRows
    layer: Project

    def attend(self, queries: mx.array, scale: float, *, mask: Any = None, values: Any = None) -> mx.array:
        """Attention [rows, heads, tokens, value size] of queries [rows, heads, tokens, size]; mask: as above."""
        if self._projects_queries(queries):
            latents: mx.array = self.rows.attend(self.layer(queries), scale, mask=mask)
            output: mx.array = values.layer(latents)
            return output
        parts = zip(self.rows.rows, self.rows.split_rows(queries), self.rows.split_rows(mask), strict=True)
        outputs = [self._expanded(*part, scale, values.layer) for part in parts]
        num_values = max(int(each.shape[3]) for each in outputs)
        outputs = [each if each.shape[2] else each[..., :0, :num_values] for each in outputs]
        return joined(outputs, int(queries.shape[2]))

    def _projects_queries(self, queries: mx.array) -> bool:
        """Whether that takes fewer operations than projecting all latents, per token of the context and per head."""
        _, _, num_tokens, size = queries.shape
        rank = int(self.rows.rows[0].arrays[0].shape[3]) if self.rows.rows[0].bits is None else 4 * size
        return num_tokens * (rank - size) < rank * size

    def _expanded(
        self, row: RowKV, queries: mx.array, rotated_queries: mx.array, scale: float, to_values: Project
    ) -> mx.array:
        num_tokens = int(queries.shape[2])
        if not num_tokens:
            return queries
        latents, rotated = row.visible(num_tokens, queries.dtype)
        scores = rotated_queries @ rotated.swapaxes(-1, -2)
        seen = window_mask(num_tokens, int(latents.shape[2]), int(latents.shape[2]))
        mask = mx.where(seen, scores, mx.array(mx.finfo(scores.dtype).min, scores.dtype))
        keys, values = self.layer(latents, transpose=False), to_values(latents)
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)


def _attended(row: RowKV, queries: mx.array, rotated_queries: mx.array) -> mx.array:
    """Queries [1, heads, tokens, rank], scaled. All heads share their keys, and are multiplied with them at once."""
    _, num_heads, num_tokens, rank = queries.shape
    if not num_tokens:
        return queries
    latents, rotated = row.visible(num_tokens, queries.dtype)
    scores = queries.reshape(1, 1, -1, rank) @ latents.swapaxes(-1, -2)
    scores = scores + rotated_queries.reshape(1, 1, num_heads * num_tokens, -1) @ rotated.swapaxes(-1, -2)
    if num_tokens > 1:
        num_keys = int(latents.shape[2])
        by_token = scores.reshape(1, num_heads, num_tokens, num_keys)
        seen = window_mask(num_tokens, num_keys, num_keys)
        scores = mx.where(seen, by_token, mx.finfo(scores.dtype).min).reshape(scores.shape)
    if scores.size >= MIN_SCORES and powers_are_faster():
        return weighted_sums(scores * LOG2_E, latents).reshape(queries.shape)
    return (mx.softmax(scores, axis=-1, precise=True) @ latents).reshape(queries.shape)


@cache
def _identity(size: int, dtype: mx.Dtype) -> mx.array:
    return mx.eye(size, dtype=dtype)[None, None]


BATCHES["latent"] = LatentRows
