"""Gives a layer another class, such as one that computes the same faster."""

from __future__ import annotations

from typing import Any

from mlx.nn.layers.base import Module


def recast(module: Module, kind: type[Module]) -> Module:
    """A layer of this class with the same weights and settings, which are shared."""
    layer: Any = kind.__new__(kind)  # type: ignore[call-overload]  # MLX gives its layers no types
    vars(layer).update(vars(module))
    dict.update(layer, module)
    recast_layer: Module = layer
    return recast_layer
