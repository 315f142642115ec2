"""The gated delta rule, chunk by chunk, in plain MLX operations.

For one head with state S [Dv, Dk], decay g in (0, 1] and beta, the rule is

    S_t = g_t S_{t-1} + beta_t (v_t - g_t S_{t-1} k_t) k_t^T        y_t = S_t q_t

Let G_i be the product of a chunk's decays up to i, and S0 the state before the chunk. What its tokens add to the state,
u_i k_i^T, follows from a triangular system: (I + L) U = beta (V - G K S0^T), L_ij = beta_i (G_i / G_j) k_i.k_j, j < i.
Then

    y_i = G_i S0 q_i + sum over j <= i of (G_i / G_j) (q_i.k_j) u_j        S = G_C S0 + sum of (G_C / G_j) u_j k_j^T

The inverse of I + L does not depend on S0, so it is computed for all chunks at once; only S goes from one to the next.
From Yang et al., "Gated Delta Networks" (arXiv 2412.06464); a decay per channel is "Kimi Linear" (arXiv 2510.26692).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import mlx.core as mx

from pensieve.models.loading.gated_delta.triangle import decayed_scores, triangle, unit_lower_inverse


@dataclass(frozen=True, slots=True)
class DeltaInputs:
    """Of T tokens, with one head of keys for one or more heads of values."""

    queries: mx.array
    """[B, T, Hk, Dk]."""
    keys: mx.array
    """[B, T, Hk, Dk]."""
    values: mx.array
    """[B, T, Hv, Dv]."""
    log_decay: mx.array
    """[B, T, Hv], or [B, T, Hv, Dk] for a decay per channel."""
    beta: mx.array
    """[B, T, Hv]."""

    def masked(self, mask: mx.array) -> DeltaInputs:
        """Tokens for which `mask` [B, T] is False leave the state as it is. Their outputs are of no use."""
        decay_mask = mx.expand_dims(mask, tuple(range(2, self.log_decay.ndim)))
        return replace(
            self,
            log_decay=mx.where(decay_mask, self.log_decay, 0),
            beta=mx.where(mask[..., None], self.beta, 0),
        )

    def by_head(self) -> Iterator[mx.array]:
        """All five, [B, T, Hv, D] each."""
        repeats = self.values.shape[2] // self.keys.shape[2]
        for each in (self.queries, self.keys):
            yield mx.repeat(each, repeats, axis=2) if repeats > 1 else each
        yield self.values
        yield self.log_decay if self.log_decay.ndim == 4 else self.log_decay[..., None]
        yield self.beta[..., None]


def chunked_gated_delta(
    inputs: DeltaInputs, state: mx.array | None, mask: mx.array | None = None, *, chunk_tokens: int
) -> tuple[mx.array, mx.array]:
    """The outputs [B, T, Hv, Dv] in the type of the queries, and the state after them [B, Hv, Dv, Dk] in f32."""
    num_tokens = inputs.keys.shape[1]
    num_chunks = -(-num_tokens // chunk_tokens)
    length = -(-num_tokens // num_chunks)
    masked = inputs if mask is None else inputs.masked(mask)
    chunks = DeltaInputs(*(_cut(each, num_chunks, length) for each in masked.by_head()))
    outputs, state = _run(chunks, state)
    joined = mx.concatenate(outputs, axis=2)[:, :, :num_tokens]
    return joined.transpose(0, 2, 1, 3).astype(inputs.queries.dtype), state


def _cut(array: mx.array, num_chunks: int, length: int) -> mx.array:
    """[B, T, H, D] to [B, H, chunks, length, D] in f32. What is added at the end is zero, which changes no state."""
    batch, num_tokens, heads, size = array.shape
    array = array.astype(mx.float32)
    if missing := num_chunks * length - num_tokens:
        array = mx.pad(array, [(0, 0), (0, missing), (0, 0), (0, 0)])
    return mx.contiguous(array.reshape(batch, num_chunks, length, heads, size).transpose(0, 3, 1, 2, 4))


def _run(chunks: DeltaInputs, state: mx.array | None) -> tuple[list[mx.array], mx.array]:
    """The outputs of each chunk [B, H, length, Dv], and the last state."""
    queries, keys, values, beta = chunks.queries, chunks.keys, chunks.values, chunks.beta
    batch, heads, num_chunks, length, _ = keys.shape
    since_start = mx.exp(mx.cumsum(chunks.log_decay, axis=-2))
    to_end = mx.exp(mx.cumsum(chunks.log_decay, axis=-2, reverse=True, inclusive=False))
    scores = decayed_scores(mx.concatenate([keys, queries], axis=-2), keys, chunks.log_decay)
    inverse = unit_lower_inverse(mx.where(triangle(length).before, beta * scores[..., :length, :], 0))
    attention = mx.where(triangle(length).until, scores[..., length:, :], 0)
    new = inverse @ (beta * values)
    reads = mx.concatenate([inverse @ (beta * since_start * keys), since_start * queries], axis=-2)
    written, kept = to_end * keys, since_start[..., -1:, :]
    if state is None:
        state = mx.zeros((batch, heads, values.shape[-1], keys.shape[-1]), mx.float32)
    state, outputs = state.astype(mx.float32), []
    for chunk in range(num_chunks):
        read = reads[:, :, chunk] @ state.swapaxes(-1, -2)
        update = new[:, :, chunk] - read[..., :length, :]
        outputs.append(mx.addmm(read[..., length:, :], attention[:, :, chunk], update))
        state = mx.addmm(kept[:, :, chunk] * state, update.swapaxes(-1, -2), written[:, :, chunk])
    return outputs, state
