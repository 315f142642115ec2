"""Puts layers in the place of a loaded model's: those that are faster on this device, and those that take rows."""

from __future__ import annotations

from typing import Any

from mlx.utils import tree_unflatten

from pensieve.device.device import device_info
from pensieve.device.exponentials import powers_are_faster
from pensieve.engine.layers.flat_linear import flat_layers
from pensieve.engine.layers.gated_mlp import gated_mlps
from pensieve.engine.layers.latent_projection import latent_projections
from pensieve.engine.layers.rotation import rotation_layers
from pensieve.engine.layers.sink_attention import sink_attentions


def replace_layers(model: Any) -> None:
    """They share their weights. Each has been found to compute what the model's own layer does."""
    backend = device_info().backend
    modules = model.named_modules()
    model.update_modules(tree_unflatten(latent_projections(modules) + sink_attentions(modules)))
    modules = model.named_modules()
    layers = flat_layers(modules) if backend == "cuda" else []
    layers += rotation_layers(modules) if backend == "cpu" else []
    layers += gated_mlps(modules) if powers_are_faster() else []
    model.update_modules(tree_unflatten(layers))
