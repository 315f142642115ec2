"""Llama 4: attention within chunks of the text, and everywhere in each fourth layer, by the rows of a batch.

mlx-lm's model computes masks and temperatures from the position of a single request.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module

from pensieve.device.recast import recast
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.attending import Found, attending_layers, heads, output

_ATTENTION: Final = ("attn_temperature_tuning", "floor_scale", "attn_scale", "use_rope", "use_qk_norm", "scale")
_MODEL: Final = {"embed_tokens", "layers", "norm"}
_QK_NORM_EPS: Final = 1e-6


def chunked_attentions(modules: Sequence[tuple[str, Any]]) -> Found:
    return attending_layers(modules, lambda module: all(hasattr(module, name) for name in _ATTENTION), _attended)


def chunked_models(modules: Sequence[tuple[str, Any]]) -> Found:
    """The parts that pass masks to their layers. Rows need none."""
    return [
        (path, recast(module, _kind(type(module))))
        for path, module in modules
        if hasattr(module, "attention_chunk_size") and set(module.children()) >= _MODEL
    ]


def _kind(parent: Any) -> type[Module]:
    class ChunkedModel(parent):  # type: ignore[misc]  # MLX gives its layers no types
        def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
            """Token ids [rows, tokens]"""
            if cache is None or not all(isinstance(each, RowsKV) for each in cache):
                output: mx.array = super().__call__(inputs, cache)
                return output
            hidden = self.embed_tokens(inputs)
            for layer, rows in zip(self.layers, cache, strict=True):
                hidden = layer(hidden, None, cache=rows)
            normed: mx.array = self.norm(hidden)
            return normed

    return ChunkedModel


def _attended(layer: Any, values: mx.array, cache: RowsKV) -> mx.array:
    queries, keys = (heads(layer, part(values)) for part in (layer.q_proj, layer.k_proj))
    if layer.use_rope:
        queries, keys = (layer.rope(each, offset=cache.offset) for each in (queries, keys))
    if layer.use_qk_norm:
        queries, keys = (mx.fast.rms_norm(each, weight=None, eps=_QK_NORM_EPS) for each in (queries, keys))
    if layer.attn_temperature_tuning and not layer.use_rope:
        queries = (queries * _temperatures(layer, cache, queries.shape[2])).astype(queries.dtype)
    cache.update_and_fetch(keys, heads(layer, layer.v_proj(values)))
    return output(layer, cache.attend(queries, layer.scale))


def _temperatures(layer: Any, cache: RowsKV, num_tokens: int) -> mx.array:
    """[rows, 1, tokens, 1]: they grow with the position."""
    positions = cache.offset[:, None] + mx.arange(1, num_tokens + 1)
    scales: mx.array = mx.log(mx.floor(positions / layer.floor_scale) + 1.0) * layer.attn_scale + 1.0
    return scales[:, None, :, None]
