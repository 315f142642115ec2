"""Models that add an embedding of each token's position (StarCoder's GPT BigCode), by the rows of a batch.

mlx-lm's model takes the positions of a single request.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx

from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.attending import Found, running_models

_PARTS: Final = {"wte", "wpe", "h", "ln_f"}


def models_with_learned_positions(modules: Sequence[tuple[str, Any]]) -> Found:
    return running_models(modules, lambda module: set(module.children()) == _PARTS, _run)


def _run(model: Any, inputs: mx.array, cache: Sequence[RowsKV]) -> mx.array:
    positions = cache[0].offset[:, None] + mx.arange(inputs.shape[1])
    hidden = model.wte(inputs) + model.wpe(positions)
    for layer, rows in zip(model.h, cache, strict=True):
        hidden = layer(hidden, None, cache=rows)
    normed: mx.array = model.ln_f(hidden)
    return normed
