"""Lets the projections of latent attention take a batch's rows in the place of its latents (`kv.rows.latent`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlx.nn.layers.base import Module

from pensieve.device.recast import recast
from pensieve.engine.kv.rows.latent import LatentRows


def latent_projections(modules: Sequence[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Layers to put in the place of a model's, by path. They share their weights, and compute the same of arrays."""
    from pensieve.device.mlx_lm.layers import MultiLinear, QuantizedMultiLinear  # noqa: PLC0415 - half a second

    kinds = {parent: _kind(parent) for parent in (MultiLinear, QuantizedMultiLinear)}
    return [(path, recast(module, kinds[type(module)])) for path, module in modules if type(module) in kinds]


def _kind(parent: Any) -> type[Module]:
    class LatentProjection(parent):  # type: ignore[misc]  # MLX gives its layers no types
        def __call__(self, latents: Any, transpose: bool = True) -> Any:  # noqa: FBT001, FBT002 - mlx-lm's signature
            if isinstance(latents, LatentRows):
                return latents.projected(self)
            return super().__call__(latents, transpose)

    return LatentProjection
