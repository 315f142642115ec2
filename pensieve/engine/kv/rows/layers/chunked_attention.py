"""Llama 4: attention within chunks of the text, and everywhere in each fourth layer, by the rows of a batch.

mlx-lm's model computes masks and temperatures from the position of a single request.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx

from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.attending import Found, attending_layers, heads, output, running_models

_ATTENTION: Final = ("attn_temperature_tuning", "floor_scale", "attn_scale", "use_rope", "use_qk_norm", "scale")
_MODEL: Final = {"embed_tokens", "layers", "norm"}
_QK_NORM_EPS: Final = 1e-6


def chunked_attentions(modules: Sequence[tuple[str, Any]]) -> Found:
    return attending_layers(modules, lambda module: all(hasattr(module, name) for name in _ATTENTION), _attended)


def chunked_models(modules: Sequence[tuple[str, Any]]) -> Found:
    return running_models(modules, _passes_masks, _run)


def _passes_masks(module: Any) -> bool:
    return hasattr(module, "attention_chunk_size") and set(module.children()) >= _MODEL


def _run(model: Any, inputs: mx.array, cache: Sequence[RowsKV]) -> mx.array:
    """Without masks: rows need none."""
    hidden = model.embed_tokens(inputs)
    for layer, rows in zip(model.layers, cache, strict=True):
        hidden = layer(hidden, None, cache=rows)
    normed: mx.array = model.norm(hidden)
    return normed


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
