"""Models that add an embedding of each token's position (StarCoder's GPT BigCode), by the rows of a batch.

mlx-lm's model takes the positions of a single request.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module

from pensieve.device.recast import recast
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.attending import Found

_PARTS: Final = {"wte", "wpe", "h", "ln_f"}


def models_with_learned_positions(modules: Sequence[tuple[str, Any]]) -> Found:
    return [(path, recast(module, _kind(type(module)))) for path, module in modules if set(module.children()) == _PARTS]


def _kind(parent: Any) -> type[Module]:
    class PositionedModel(parent):  # type: ignore[misc]  # MLX gives its layers no types
        def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
            """Token ids [rows, tokens]"""
            if cache is None or not all(isinstance(each, RowsKV) for each in cache):
                output: mx.array = super().__call__(inputs, cache)
                return output
            positions = cache[0].offset[:, None] + mx.arange(inputs.shape[1])
            hidden = self.wte(inputs) + self.wpe(positions)
            for layer, rows in zip(self.h, cache, strict=True):
                hidden = layer(hidden, None, cache=rows)
            normed: mx.array = self.ln_f(hidden)
            return normed

    return PositionedModel
