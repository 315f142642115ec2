"""How each of mlx-lm's layers with the gated delta rule projects its inputs and its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import mlx.core as mx
from mlx import nn

from pensieve.models.loading.gated_delta.layer import ChunkedLayer, Projected


class _GatedDeltaNet(ChunkedLayer):
    """What Qwen's layers and OLMo's share."""

    def heads(self) -> tuple[int, int, int, int]:
        layer = self.layer
        return layer.num_k_heads, layer.head_k_dim, layer.num_v_heads, layer.head_v_dim


class Qwen35(_GatedDeltaNet):
    def project(self, x: mx.array) -> Projected:
        layer = self.layer
        gate = mx.unflatten(layer.in_proj_z(x), -1, (layer.num_v_heads, layer.head_v_dim))
        return Projected((layer.in_proj_qkv(x),), layer.in_proj_a(x), layer.in_proj_b(x), gate)

    def convolutions(self) -> tuple[nn.Conv1d, ...]:
        return (self.layer.conv1d,)

    def output(self, outputs: mx.array, gate: mx.array) -> mx.array:
        projected: mx.array = self.layer.out_proj(self.layer.norm(outputs, gate).flatten(-2))
        return projected


class Qwen3Next(Qwen35):
    def project(self, x: mx.array) -> Projected:
        layer = self.layer
        *qkv, gate, beta, decay = layer.fix_query_key_value_ordering(layer.in_proj_qkvz(x), layer.in_proj_ba(x))
        return Projected((mx.concatenate([each.flatten(2) for each in qkv], axis=-1),), decay, beta, gate)


class OlmoHybrid(_GatedDeltaNet):
    def project(self, x: mx.array) -> Projected:
        layer = self.layer
        gate = mx.unflatten(layer.g_proj(x), -1, (layer.num_v_heads, layer.head_v_dim))
        return Projected((layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)), layer.a_proj(x), layer.b_proj(x), gate)

    def convolutions(self) -> tuple[nn.Conv1d, ...]:
        return self.layer.q_conv1d, self.layer.k_conv1d, self.layer.v_conv1d

    def beta(self, logits: mx.array) -> mx.array:
        beta = mx.sigmoid(logits)
        return beta * 2 if self.layer.allow_neg_eigval else beta

    def output(self, outputs: mx.array, gate: mx.array) -> mx.array:
        projected: mx.array = self.layer.o_proj(self.layer.o_norm(outputs, gate).flatten(-2))
        return projected


class _DeltaAttention(ChunkedLayer):
    """Kimi's rule: each channel of a head's keys has a decay of its own."""

    def heads(self) -> tuple[int, int, int, int]:
        return (self.layer.num_heads, self.layer.head_dim) * 2

    def convolutions(self) -> tuple[nn.Conv1d, ...]:
        layer = self.layer
        return layer.q_conv.conv, layer.k_conv.conv, layer.v_conv.conv

    def log_decay(self, logits: mx.array) -> mx.array:
        layer = self.layer
        logits = logits + self._by_head(layer.dt_bias)
        log_decay: mx.array = -mx.exp(layer.A_log.reshape(-1, 1).astype(mx.float32)) * nn.softplus(logits)
        return log_decay

    def output(self, outputs: mx.array, gate: mx.array) -> mx.array:
        projected: mx.array = self.layer.o_proj((self.layer.o_norm(outputs) * mx.sigmoid(gate)).flatten(-2))
        return projected

    def _by_head(self, array: mx.array) -> mx.array:
        return mx.unflatten(array, -1, (self.layer.num_heads, self.layer.head_dim))


class KimiLinear(_DeltaAttention):
    def project(self, x: mx.array) -> Projected:
        layer = self.layer
        streams = layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)
        decay, gate = layer.f_b_proj(layer.f_a_proj(x)), layer.g_b_proj(layer.g_a_proj(x))
        return Projected(streams, self._by_head(decay), layer.b_proj(x), self._by_head(gate))


class _BoundedDecay(_DeltaAttention):
    """A decay of at least exp(`lower_bound`), where the layer has one."""

    def log_decay(self, logits: mx.array) -> mx.array:
        layer = self.layer
        if layer.lower_bound is None:
            return super().log_decay(logits)
        logits = logits.astype(mx.float32) + self._by_head(layer.dt_bias)
        log_decay: mx.array = layer.lower_bound * mx.sigmoid(
            mx.exp(layer.A_log.reshape(-1, 1).astype(mx.float32)) * logits
        )
        return log_decay


class KimiK3(_BoundedDecay):
    def project(self, x: mx.array) -> Projected:
        layer = self.layer
        decay = layer.f_b_proj(layer.f_a_proj(x))
        gate = layer.g_proj(x) if layer.use_full_rank_gate else layer.g_b_proj(layer.g_a_proj(x))
        return Projected((layer.qkv_proj(x),), self._by_head(decay), layer.b_proj(x), self._by_head(gate))

    def convolutions(self) -> tuple[nn.Conv1d, ...]:
        return (self.layer.qkv_conv.conv,)


class BailingV3(_BoundedDecay):
    def project(self, x: mx.array) -> Projected:
        layer = self.layer
        streams = layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)
        beta = layer.b_proj(x).astype(mx.float32)
        return Projected(streams, self._by_head(layer.f_proj(x)), beta, self._by_head(layer.g_proj(x)))

    def convolutions(self) -> tuple[nn.Conv1d, ...]:
        return self.layer.q_conv1d, self.layer.k_conv1d, self.layer.v_conv1d

    def output(self, outputs: mx.array, gate: mx.array) -> mx.array:
        opened = mx.sigmoid(gate.astype(mx.float32)).astype(outputs.dtype)
        projected: mx.array = self.layer.o_proj((self.layer.o_norm(outputs) * opened).flatten(-2))
        return projected


FAMILIES: Final[Mapping[str, type[ChunkedLayer]]] = MappingProxyType(
    {
        "qwen3_5.GatedDeltaNet": Qwen35,
        "qwen3_next.Qwen3NextGatedDeltaNet": Qwen3Next,
        "olmo_hybrid.GatedDeltaNet": OlmoHybrid,
        "kimi_linear.KimiDeltaAttention": KimiLinear,
        "kimi_k3.KimiK3DeltaAttention": KimiK3,
        "bailing_moe_v3.BailingKDA": BailingV3,
    }
)
"""By the class of mlx-lm's layer, as `module.Class` under `mlx_lm.models`."""


def family_of(layer: Any) -> type[ChunkedLayer] | None:
    of = type(layer)
    return FAMILIES.get(f"{of.__module__.removeprefix('mlx_lm.models.')}.{of.__qualname__}")
