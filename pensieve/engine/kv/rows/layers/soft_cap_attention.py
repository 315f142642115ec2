"""Attention whose scores are capped (Gemma 2), by the rows of a batch.

mlx-lm's layer computes the scores as an array, with a mask that fits a single request only.

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


def soft_cap_attentions(modules: Sequence[tuple[str, Any]]) -> Found:
    return attending_layers(modules, _has_the_parts, _attended)


def _has_the_parts(module: Any) -> bool:
    return set(module.children()) >= _PARTS and hasattr(module, "attn_logit_softcapping") and hasattr(module, "scale")


def _attended(layer: Any, values: mx.array, cache: RowsKV) -> mx.array:
    queries, keys = (
        layer.rope(heads(layer, part(values)), offset=cache.offset) for part in (layer.q_proj, layer.k_proj)
    )
    cache.update_and_fetch(keys, heads(layer, layer.v_proj(values)))
    return output(layer, cache.attend_by(queries, Scoring(layer.scale, cap=layer.attn_logit_softcapping)))
