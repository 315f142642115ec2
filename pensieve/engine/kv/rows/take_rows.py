"""Lets a loaded model's layers take rows where they would refuse them."""

from __future__ import annotations

from typing import Any

from mlx.utils import tree_unflatten

from pensieve.engine.kv.rows.latent_projection import latent_projections
from pensieve.engine.kv.rows.sink_attention import sink_attentions


def let_layers_take_rows(model: Any) -> None:
    """Put layers in the place of the model's own. They share their weights, and compute the same of everything else."""
    modules = model.named_modules()
    model.update_modules(tree_unflatten(latent_projections(modules) + sink_attentions(modules)))
