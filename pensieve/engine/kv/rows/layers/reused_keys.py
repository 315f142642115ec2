"""Models whose last layers attend to the keys of the last layer before them (Apple's AFM), by the rows of a batch.

mlx-lm's model takes the position of those layers' queries from the length of the keys, which is that of one request.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx

from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.attending import Found, running_models

_PARTS: Final = {"embedding", "layers", "kv_reuse_layers", "output_norm"}


def models_that_reuse_keys(modules: Sequence[tuple[str, Any]]) -> Found:
    return running_models(modules, lambda module: set(module.children()) == _PARTS, _run)


def _run(model: Any, inputs: mx.array, cache: Sequence[RowsKV]) -> mx.array:
    positions, hidden = cache[-1].offset, model.embedding(inputs)
    for layer, rows in zip(model.layers, cache, strict=True):
        hidden = layer(hidden, None, cache=rows)
    for layer in model.kv_reuse_layers:
        attended = _attended(layer.self_attn, layer.input_layernorm(hidden), positions, cache[-1])
        hidden = hidden + attended
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    normed: mx.array = model.output_norm(hidden)
    return normed


def _attended(layer: Any, values: mx.array, positions: mx.array, rows: RowsKV) -> mx.array:
    """Of values [rows, tokens, size], whose keys are in the rows already."""
    num_rows, num_tokens, _ = values.shape
    projected = layer.q_proj(values).reshape(num_rows, num_tokens, layer.n_heads, -1).swapaxes(1, 2)
    queries = layer.q_norm(layer.rope(projected, offset=positions))
    attended = rows.attend(queries, layer.scale).swapaxes(1, 2).reshape(num_rows, num_tokens, -1)
    computed: mx.array = layer.out_proj(attended)
    return computed
