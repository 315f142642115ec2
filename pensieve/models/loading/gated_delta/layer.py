"""A layer of mlx-lm with the gated delta rule, run chunk by chunk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import mlx.core as mx
from mlx import nn

from pensieve.device.backend import Backend
from pensieve.device.mlx_lm.layers import normalize_qk
from pensieve.models.loading.gated_delta.rule import DeltaInputs, chunked_gated_delta

_NORM_EPSILON: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Method:
    """What is fastest on a device."""

    chunk_tokens: int
    min_tokens: int
    """With fewer, mlx-lm's own steps are faster. Not with padding, which OLMo's steps mix in."""
    convolves_by_products: bool
    """Whether a convolution of a few tokens is faster as a sum of products than as MLX's operation."""


METHODS: Final[Mapping[Backend, Method]] = MappingProxyType(
    {
        "cpu": Method(chunk_tokens=32, min_tokens=2, convolves_by_products=True),
        "cuda": Method(chunk_tokens=64, min_tokens=8, convolves_by_products=False),
        "metal": Method(chunk_tokens=64, min_tokens=8, convolves_by_products=False),
    }
)
"""Measured on two Xeon cores and on an H200 (docs/performance.md); those for Metal are not measured."""


@dataclass(frozen=True, slots=True)
class Projected:
    """What a layer projects its input to."""

    streams: tuple[mx.array, ...]
    """What the convolutions mix, [B, T, channels] each: queries, keys and values, together or one by one."""
    decay_logits: mx.array
    """[B, T, Hv], or [B, T, H, Dk] for a decay per channel."""
    beta_logits: mx.array
    """[B, T, Hv]."""
    gate: mx.array
    """Of the output, in the form that `output` takes it."""


class ChunkedLayer(nn.Module, ABC):  # type: ignore[misc]  # MLX's layers have no types
    """Holds mlx-lm's layer and runs it by its own parameters, so that packed weights and adapters work as they are."""

    def __init__(self, layer: Any, method: Method) -> None:
        super().__init__()
        self.layer = layer
        self.method = method

    def __call__(self, x: mx.array, mask: mx.array | None = None, cache: Any | None = None) -> mx.array:
        if mask is None and x.shape[1] < self.method.min_tokens:
            unchanged: mx.array = self.layer(x, mask, cache)
            return unchanged
        projected = self.project(x)
        num_streams = len(projected.streams)
        mixed = [
            self._convolved(stream, convolution, mask, cache, slot)
            for slot, (stream, convolution) in enumerate(zip(projected.streams, self.convolutions(), strict=True))
        ]
        queries, keys, values = self._heads(mx.concatenate(mixed, axis=-1) if num_streams > 1 else mixed[0])
        log_decay, beta = self.log_decay(projected.decay_logits), self.beta(projected.beta_logits)
        outputs, state = chunked_gated_delta(
            DeltaInputs(queries, keys, values, log_decay, beta),
            cache[num_streams] if cache is not None else None,
            mask,
            chunk_tokens=self.method.chunk_tokens,
        )
        if cache is not None:
            cache[num_streams] = state
            cache.advance(x.shape[1])
        return self.output(outputs, projected.gate)

    def _convolved(
        self, stream: mx.array, convolution: nn.Conv1d, mask: mx.array | None, cache: Any | None, slot: int
    ) -> mx.array:
        """A causal convolution that starts from the cache's last inputs, and leaves its own there."""
        if mask is not None:
            stream = mx.where(mask[..., None], stream, 0)
        batch, num_tokens, channels = stream.shape
        num_kept = convolution.weight.shape[1] - 1
        before = cache[slot] if cache is not None else None
        if before is None:
            before = mx.zeros((batch, num_kept, channels), stream.dtype)
        stream = mx.concatenate([before, stream], axis=1)
        if cache is not None:
            cache[slot] = _last(stream, num_tokens, num_kept, cache.lengths)
        convolve = _sum_of_products if self.method.convolves_by_products else nn.Conv1d.__call__
        mixed: mx.array = nn.silu(convolve(convolution, stream))
        return mixed

    def _heads(self, mixed: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """Normalised queries and keys [B, T, Hk, Dk], and values [B, T, Hv, Dv]."""
        key_heads, key_size, value_heads, value_size = self.heads()
        ends = [key_heads * key_size, 2 * key_heads * key_size]
        queries, keys, values = mx.split(mixed, ends, axis=-1)
        queries, keys = (mx.unflatten(each, -1, (key_heads, key_size)) for each in (queries, keys))
        queries, keys = normalize_qk(queries, keys, inv_scale=key_size**-0.5, eps=_NORM_EPSILON)
        return queries, keys, mx.unflatten(values, -1, (value_heads, value_size))

    @abstractmethod
    def project(self, x: mx.array) -> Projected: ...

    @abstractmethod
    def convolutions(self) -> tuple[nn.Conv1d, ...]:
        """One for each stream."""

    @abstractmethod
    def heads(self) -> tuple[int, int, int, int]:
        """The number and size of key heads, and of value heads."""

    def log_decay(self, logits: mx.array) -> mx.array:
        """mlx-lm's `compute_g` before its exponential, which may underflow."""
        log_decay: mx.array = -mx.exp(self.layer.A_log.astype(mx.float32)) * nn.softplus(logits + self.layer.dt_bias)
        return log_decay

    def beta(self, logits: mx.array) -> mx.array:
        return mx.sigmoid(logits)

    @abstractmethod
    def output(self, outputs: mx.array, gate: mx.array) -> mx.array:
        """From [B, T, Hv, Dv] to what the layer returns."""


def _last(stream: mx.array, num_tokens: int, num_kept: int, lengths: mx.array | None) -> mx.array:
    """The last inputs of each row, some of which may end before the others."""
    if lengths is None:
        return mx.contiguous(stream[:, -num_kept:])
    ends = mx.clip(lengths, 0, num_tokens)
    return mx.take_along_axis(stream, (ends[:, None] + mx.arange(num_kept))[..., None], axis=1)


def _sum_of_products(convolution: nn.Conv1d, stream: mx.array) -> mx.array:
    """Of a convolution whose channels do not mix."""
    weights = mx.contiguous(convolution.weight[..., 0].T)
    num_tokens = stream.shape[1] - len(weights) + 1
    mixed = stream[:, :num_tokens] * weights[0]
    for tap in range(1, len(weights)):
        mixed = mixed + stream[:, tap : tap + num_tokens] * weights[tap]
    return mixed
