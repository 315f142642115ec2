"""Computes the activation of gated MLPs by powers of two, on CPUs where that is faster than exponentials.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear

from pensieve.device.exponentials import silu

_PARTS: Final = {"gate_proj", "up_proj", "down_proj"}
_TOLERANCE: Final = 1e-4


class GatedMLP(Module):  # type: ignore[misc]  # MLX gives its layers no types
    """Stands for a model's MLP, with the same parts under the same names."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = mlp.gate_proj, mlp.up_proj, mlp.down_proj

    def __call__(self, values: mx.array) -> mx.array:
        output: mx.array = self.down_proj(silu(self.gate_proj(values)) * self.up_proj(values))
        return output


def gated_mlps(modules: Sequence[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Layers to put in the place of a model's MLPs, by path: those that compute the same."""
    return [(path, GatedMLP(module)) for path, module in modules if _has_the_parts(module) and _agrees(module)]


def _has_the_parts(module: Any) -> bool:
    parts = module.children()
    return set(parts) == _PARTS and all(isinstance(part, Linear) for part in parts.values())


def _agrees(mlp: Any) -> bool:
    weight = mlp.gate_proj.weight
    if weight.dtype != mx.float32:
        return False
    values = 2 * mx.random.normal((1, 2, weight.shape[1]), key=mx.random.key(1))
    expected = mlp(values)
    difference = mx.max(mx.abs(GatedMLP(mlp)(values) - expected))
    return bool(difference <= _TOLERANCE * mx.max(mx.abs(expected)))
