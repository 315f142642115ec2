"""Attention with sinks (gpt-oss), by the rows of a batch.

A sink is a score for each head that takes a share of the attention and has no value. mlx-lm refuses sinks for caches
that attend by themselves, so this layer gives them to the rows.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx

from pensieve.engine.kv.causal_attention import Scoring
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.attending import Found, attending_layers, heads, output

_PARTS: Final = {"q_proj", "k_proj", "v_proj", "o_proj", "rope"}


def sink_attentions(modules: Sequence[tuple[str, Any]]) -> Found:
    return attending_layers(modules, _has_the_parts, _attended)


def _has_the_parts(module: Any) -> bool:
    return "sinks" in module and set(module.children()) >= _PARTS and hasattr(module, "sm_scale")


def _attended(layer: Any, values: mx.array, cache: RowsKV) -> mx.array:
    queries, keys = (
        layer.rope(heads(layer, part(values)), offset=cache.offset) for part in (layer.q_proj, layer.k_proj)
    )
    cache.update_and_fetch(keys, heads(layer, layer.v_proj(values)))
    return output(layer, cache.attend_by(queries, Scoring(layer.sm_scale, layer.sinks)))
