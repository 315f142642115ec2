"""Attention with sinks (gpt-oss), by the rows of a batch.

A sink is a score for each head that takes a share of the attention and has no value. mlx-lm refuses sinks for caches
that attend by themselves, so this layer gives them to the rows.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module

from pensieve.device.recast import recast
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV

_PARTS: Final = {"q_proj", "k_proj", "v_proj", "o_proj", "rope"}
_TOLERANCE: Final = 0.02
"""For half precision; another scale or sink makes a larger difference."""
_NUM_TOKENS: Final = 3


def sink_attentions(modules: Sequence[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Layers to put in the place of a model's attention, by path: those that compute the same. They share weights."""
    found = [(path, module) for path, module in modules if _has_the_parts(module)]
    kinds = {parent: _kind(parent) for parent in {type(module) for _, module in found}}
    layers = [(path, module, recast(module, kinds[type(module)])) for path, module in found]
    return [(path, layer) for path, module, layer in layers if _agrees(layer, module)]


def _kind(parent: Any) -> type[Module]:
    class SinkAttention(parent):  # type: ignore[misc]  # MLX gives its layers no types
        def __call__(self, values: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
            """Values [rows, tokens, size]"""
            if isinstance(cache, RowsKV):
                return _attended(self, values, cache)
            output: mx.array = super().__call__(values, mask, cache)
            return output

    return SinkAttention


def _attended(layer: Any, values: mx.array, cache: RowsKV) -> mx.array:
    def heads(projected: mx.array) -> mx.array:
        return projected.reshape(*projected.shape[:2], -1, layer.head_dim).swapaxes(1, 2)

    queries, keys = (layer.rope(heads(part(values)), offset=cache.offset) for part in (layer.q_proj, layer.k_proj))
    cache.update_and_fetch(keys, heads(layer.v_proj(values)))
    attended = cache.attend(queries, layer.sm_scale, sinks=layer.sinks)
    output: mx.array = layer.o_proj(attended.swapaxes(1, 2).reshape(*values.shape[:2], -1))
    return output


def _has_the_parts(module: Any) -> bool:
    return "sinks" in module and set(module.children()) >= _PARTS and hasattr(module, "sm_scale")


def _agrees(layer: Any, module: Any) -> bool:
    """Whether the layer computes the same with rows as the model's own does without a cache."""
    size = int(module.o_proj.bias.shape[0])
    values = mx.random.normal((1, _NUM_TOKENS, size), key=mx.random.key(1)).astype(module.sinks.dtype)
    try:
        expected, found = module(values, "causal"), layer(values, cache=RowsKV([RowKV()]))
    except (AttributeError, TypeError, ValueError):  # a layer of another model with such parts
        return False
    return bool(mx.max(mx.abs(found - expected)) <= _TOLERANCE * mx.max(mx.abs(expected)))
