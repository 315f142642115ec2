"""Puts attention by the rows of a batch, and models that pass rows to their layers, in the place of a model's own.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten

from pensieve.device.recast import recast
from pensieve.engine.kv.causal_attention import window_mask
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV

Found = list[tuple[str, Module]]
"""Layers to put in the place of a model's, by path. They share their weights."""
Attend = Callable[[Any, mx.array, RowsKV], mx.array]
"""What a layer computes of values [rows, tokens, size] with rows."""
Run = Callable[[Any, mx.array, Sequence[RowsKV]], mx.array]
"""What a model computes of token ids [rows, tokens] with the rows of its layers."""

_TOLERANCE: Final = 0.02
"""For half precision; another scale, sink or cap makes a larger difference."""
_NUM_TOKENS: Final = 3


def attending_layers(modules: Sequence[tuple[str, Any]], has_the_parts: Callable[[Any], bool], attend: Attend) -> Found:
    """Those of a model's layers that have the parts, if they compute the same with rows as without a cache."""
    found = [(path, module) for path, module in modules if has_the_parts(module)]
    kinds = {parent: _kind(parent, attend) for parent in {type(module) for _, module in found}}
    layers = [(path, module, recast(module, kinds[type(module)])) for path, module in found]
    return [(path, layer) for path, module, layer in layers if _agrees(layer, module)]


def running_models(modules: Sequence[tuple[str, Any]], has_the_parts: Callable[[Any], bool], run: Run) -> Found:
    """The models, or parts of models, that pass masks or positions to their layers in a way that rows do not allow."""
    return [(path, recast(each, _model_kind(type(each), run))) for path, each in modules if has_the_parts(each)]


def heads(layer: Any, projected: mx.array) -> mx.array:
    """[rows, tokens, heads * size] as [rows, heads, tokens, size]."""
    return projected.reshape(*projected.shape[:2], -1, layer.head_dim).swapaxes(1, 2)


def output(layer: Any, attended: mx.array) -> mx.array:
    """The layer's output of attention [rows, heads, tokens, size]."""
    num_rows, _, num_tokens, _ = attended.shape
    projected: mx.array = layer.o_proj(attended.swapaxes(1, 2).reshape(num_rows, num_tokens, -1))
    return projected


def _kind(parent: Any, attend: Attend) -> type[Module]:
    class AttendingLayer(parent):  # type: ignore[misc]  # MLX gives its layers no types
        def __call__(self, values: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
            """Values [rows, tokens, size]"""
            if isinstance(cache, RowsKV):
                return attend(self, values, cache)
            computed: mx.array = super().__call__(values, mask, cache)
            return computed

    return AttendingLayer


def _model_kind(parent: Any, run: Run) -> type[Module]:
    class RunningModel(parent):  # type: ignore[misc]  # MLX gives its layers no types
        def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
            """Token ids [rows, tokens]"""
            if cache is not None and all(isinstance(each, RowsKV) for each in cache):
                return run(self, inputs, cache)
            computed: mx.array = super().__call__(inputs, cache)
            return computed

    return RunningModel


def _agrees(layer: Any, module: Any) -> bool:
    try:
        size = int(module.o_proj.weight.shape[0])
        values = mx.random.normal((1, _NUM_TOKENS, size), key=mx.random.key(1)).astype(_dtype(module))
        expected = module(values, window_mask(_NUM_TOKENS, _NUM_TOKENS, _NUM_TOKENS))
        found = layer(values, cache=RowsKV([RowKV()]))
    except (AttributeError, TypeError, ValueError):  # a layer of another model with such parts
        return False
    return bool(mx.max(mx.abs(found - expected)) <= _TOLERANCE * mx.max(mx.abs(expected)))


def _dtype(module: Any) -> mx.Dtype:
    """What the layer computes in."""
    arrays: list[tuple[str, mx.array]] = tree_flatten(module.parameters())  # type: ignore[assignment]
    return next((array.dtype for _, array in arrays if mx.issubdtype(array.dtype, mx.floating)), mx.float32)
