"""Puts layers that run chunk by chunk in the place of mlx-lm's, where mlx-lm has no kernel for the rule."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

import mlx.core as mx
from mlx import nn

from pensieve.device.backend import Backend
from pensieve.models.loading.gated_delta.families import family_of
from pensieve.models.loading.gated_delta.layer import METHODS, ChunkedLayer, Method

log = logging.getLogger(__name__)

_CHECKED_TOKENS: Final = 70
"""More than a chunk."""
_MAX_DIFFERENCE: Final = {mx.float32: 1e-3, mx.float16: 2e-2, mx.bfloat16: 6e-2}
"""Of two ways to round, relative to the largest output. A layer that computes something else differs by about 1."""
_CHANGED: Final = (
    "%s computes something other than expected in this version of mlx-lm: prompts are prefilled in mlx-lm's own way, "
    "which is slower"
)


def has_kernel(backend: Backend) -> bool:
    """Whether mlx-lm has a kernel for the rule. Whether chunks are faster than it has not been measured."""
    return backend == "metal"


def run_by_chunks(model: nn.Module, backend: Backend) -> int:
    """Replace the model's layers with the gated delta rule, and return how many.

    A layer that is not known stays as it is, and all do if the results differ from what mlx-lm computes.
    """
    found = list(_replacements(model, METHODS[backend]))
    for parent, _, replacement in found[:1]:
        if not agrees(replacement.layer, replacement, parent.input_layernorm.weight):
            log.warning(_CHANGED, type(replacement.layer).__qualname__)
            return 0
    for parent, name, replacement in found:
        setattr(parent, name, replacement)
    return len(found)


def _replacements(model: nn.Module, method: Method) -> Iterator[tuple[nn.Module, str, ChunkedLayer]]:
    """The parent of each known layer, the layer's name in it, and what takes its place."""
    for parent in model.modules():
        if isinstance(parent, ChunkedLayer):
            continue
        for name, child in parent.children().items():
            family = family_of(child)
            if family is not None:
                yield parent, name, family(child, method)


def agrees(layer: Any, chunked: ChunkedLayer, like: mx.array) -> bool:
    """Whether both compute the same for one input. `like` has its width and its type."""
    x = mx.random.normal((1, _CHECKED_TOKENS, like.shape[-1]), key=mx.random.key(0)).astype(like.dtype)
    expected = layer(x).astype(mx.float32)
    try:
        actual = chunked(x).astype(mx.float32)
    except (AttributeError, TypeError, ValueError):  # the layer has changed
        log.debug("%s cannot be run by chunks", type(layer), exc_info=True)
        return False
    difference = mx.abs(actual - expected).max() / mx.abs(expected).max()
    return bool(difference <= _MAX_DIFFERENCE[like.dtype])
