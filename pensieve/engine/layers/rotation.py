"""Rotates the queries and keys of a decoding step with one matrix product each, on CPUs.

There, rotary embeddings are a dozen operations on a few numbers each (mlx 0.32), for queries and for keys, in every
layer: a fifth of a small model's step. But a rotation is linear, and all layers rotate by the same positions. So the
first layer rotates the unit vectors, which gives a matrix for each row, and all layers multiply by it.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import mlx.core as mx
from mlx.nn.layers.base import Module

from pensieve.device.mlx_lm.positions import POSITIONS, Lengths

MAX_TOKENS: Final = 16
"""Tokens of all rows. For more, rotating them directly is cheap enough."""
_CHECKED_POSITIONS: Final = (3, 1234)
_CHECKED_SHAPE: Final = (2, 3, 2, 512)
_TOLERANCE: Final = 1e-4
_NAMES: Final = ("rope", "rotary_emb")


class _Step(NamedTuple):
    lengths: Lengths
    num_tokens: int
    size: int
    dtype: mx.Dtype


class Rotation:
    """The matrices of the current step, for layers that rotate alike."""

    def __init__(self, rope: Any) -> None:
        self.rope = rope
        self._step: _Step | None = None
        self._matrices = mx.array([])

    def matrices(self, step: _Step) -> mx.array:
        """[rows, tokens, size, size]"""
        if step != self._step:
            num_rows = len(step.lengths)
            units = mx.eye(step.size, dtype=step.dtype)[None, :, None]
            units = mx.broadcast_to(units, (num_rows, step.size, step.num_tokens, step.size))
            self._matrices = self.rope(units, offset=POSITIONS.array(step.lengths)).transpose(0, 2, 1, 3)
            self._step = step
        return self._matrices

    def agrees_with(self, rope: Any) -> bool:
        """Whether a layer's rotary embedding is linear, and does the same."""
        vectors = mx.random.normal(_CHECKED_SHAPE, key=mx.random.key(1))
        positions = POSITIONS.array(_CHECKED_POSITIONS)
        try:
            expected = rope(vectors, offset=positions)
            rotated = RotationLayer(self)(vectors, positions)
        except (TypeError, ValueError):  # it supports no positions by row
            return False
        return bool(mx.allclose(rotated, expected, atol=_TOLERANCE))


class RotationLayer(Module):  # type: ignore[misc]  # MLX gives its layers no types
    """Stands for a rotary embedding."""

    def __init__(self, rotation: Rotation) -> None:
        super().__init__()
        self.rotation = rotation

    def __call__(self, vectors: mx.array, offset: int | mx.array = 0, **options: Any) -> mx.array:
        """Vectors [rows, heads, tokens, size]; `offset` is the position of the first token, or int32 [rows]."""
        step = _step(vectors, offset) if not options else None
        if step is None:
            rotated: mx.array = self.rotation.rope(vectors, offset=offset, **options)
            return rotated
        return (vectors.transpose(0, 2, 1, 3) @ self.rotation.matrices(step)).transpose(0, 2, 1, 3)


def _step(vectors: mx.array, offset: int | mx.array) -> _Step | None:
    """None: many tokens, or positions that may have changed since the matrices were made."""
    if vectors.ndim != 4 or vectors.shape[0] * vectors.shape[2] > MAX_TOKENS:
        return None
    num_rows, _, num_tokens, size = vectors.shape
    lengths = POSITIONS.lengths(offset) if isinstance(offset, mx.array) else (offset,) * num_rows
    return _Step(lengths, num_tokens, size, vectors.dtype) if lengths is not None else None


def rotation_layers(modules: Sequence[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Layers to put in the place of a model's rotary embeddings, by path: those that are linear."""
    rotations: list[Rotation] = []
    layers: list[tuple[str, Module]] = []
    for path, module in modules:
        if path.rpartition(".")[2] not in _NAMES or not callable(module):
            continue
        rotation = next((each for each in (*rotations, Rotation(module)) if each.agrees_with(module)), None)
        if rotation is None:
            continue
        if rotation not in rotations:
            rotations.append(rotation)
        layers.append((path, RotationLayer(rotation)))
    return layers
