"""Puts the layers that are faster on this device in the place of a loaded model's."""

from __future__ import annotations

from typing import Any

from mlx.utils import tree_unflatten

from pensieve.device.device import device_info
from pensieve.device.exponentials import powers_are_faster
from pensieve.engine.layers.filled_linear import filled_layers, sixteen_are_faster
from pensieve.engine.layers.flat_linear import flat_layers
from pensieve.engine.layers.gated_mlp import gated_mlps
from pensieve.engine.layers.rotation import rotation_layers


def replace_layers(model: Any) -> None:
    """They share their weights. Each has been found to compute what the model's own layer does."""
    backend = device_info().backend
    modules = model.named_modules()
    layers = flat_layers(modules) if backend == "cuda" else []
    layers += rotation_layers(modules) if backend == "cpu" else []
    layers += gated_mlps(modules) if powers_are_faster() else []
    model.update_modules(tree_unflatten(layers))
    if filled := filled_layers(model.named_modules()):  # parts of the MLPs that were just put in place
        model.update_modules(tree_unflatten(filled if sixteen_are_faster() else []))
