"""Lets a loaded model's layers take rows where they would refuse them."""

from __future__ import annotations

from typing import Any, Final

from mlx.utils import tree_unflatten

from pensieve.engine.kv.rows.layers.chunked_attention import chunked_attentions, chunked_models
from pensieve.engine.kv.rows.layers.latent_projection import latent_projections
from pensieve.engine.kv.rows.layers.learned_positions import models_with_learned_positions
from pensieve.engine.kv.rows.layers.reused_keys import models_that_reuse_keys
from pensieve.engine.kv.rows.layers.sink_attention import sink_attentions
from pensieve.engine.kv.rows.layers.soft_cap_attention import soft_cap_attentions

_FINDERS: Final = (
    latent_projections,
    sink_attentions,
    soft_cap_attentions,
    chunked_attentions,
    chunked_models,
    models_with_learned_positions,
    models_that_reuse_keys,
)
"""Layers before the models that they are part of."""


def let_layers_take_rows(model: Any) -> None:
    """Put layers in the place of the model's own. They share their weights, and compute the same of everything else."""
    for find in _FINDERS:
        model.update_modules(tree_unflatten(find(model.named_modules())))
