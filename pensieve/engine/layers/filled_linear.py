"""Multiplies seven to fifteen tokens as sixteen, on CPUs whose BLAS is faster at those.

MKL 2026.2 reads the weights once for every three tokens, up to fifteen, and only then in tiles: 49152 x 512 weights by
1, 4, 7, 13 and 16 tokens took 8, 21, 30, 54 and 20 ms of CPU time (a Xeon with AMX). So a decode step with thirteen
rows took half as long again as one with sixteen.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear

from pensieve.device.blas import preload, set_threads
from pensieve.device.device import device_info
from pensieve.device.recast import recast

FILLED_UP: Final = range(7, 16)
"""The numbers of tokens that take as long as sixteen, or longer."""
MIN_WEIGHTS: Final = 2**20
"""The products of smaller layers are as fast as filling up."""
_MIN_RATIO: Final = 1.2
_TIMED_SHAPE: Final = (2048, 512)
_TIMES: Final = 9


@cache
def sixteen_are_faster() -> bool:
    """Whether sixteen tokens clearly take less time than fifteen on this machine. The first call times both: 15 ms.

    By CPU time, with one thread, and each in its shortest time: other work must not change the last bits of answers.
    """
    if device_info().backend != "cpu":
        return False
    weights, tokens = mx.full(_TIMED_SHAPE, 0.5), mx.full((FILLED_UP.stop, _TIMED_SHAPE[1]), 0.5)
    mx.eval(weights, tokens)
    set_threads(1)
    times = [(_seconds(tokens[:-1], weights), _seconds(tokens, weights)) for _ in range(_TIMES)]
    set_threads(preload().threads or 1)
    return min(fifteen for fifteen, _ in times) > _MIN_RATIO * min(sixteen for _, sixteen in times)


def _seconds(tokens: mx.array, weights: mx.array) -> float:
    began = time.process_time()
    mx.eval(tokens @ weights.T)
    return time.process_time() - began


def filled(multiply: Callable[[mx.array], mx.array], values: mx.array) -> mx.array:
    """Apply `multiply` to values [..., size], filled up with zeros where that is faster."""
    *shape, size = values.shape
    num_tokens = values.size // size
    if num_tokens not in FILLED_UP:
        return multiply(values)
    lines = mx.pad(values.reshape(num_tokens, size), [(0, FILLED_UP.stop - num_tokens), (0, 0)])
    return multiply(lines)[:num_tokens].reshape(*shape, -1)


class FilledLinear(Linear):  # type: ignore[misc]  # MLX gives its layers no types
    def __call__(self, values: mx.array) -> mx.array:
        return filled(super().__call__, values)


class FilledEmbedding(Embedding):  # type: ignore[misc]  # MLX gives its layers no types
    def as_linear(self, values: mx.array) -> mx.array:
        return filled(super().as_linear, values)


_FILLED: Final = {Linear: FilledLinear, Embedding: FilledEmbedding}


def filled_layers(modules: Sequence[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Layers to put in the place of a model's large ones, by path. They share their weights."""
    large = [each for each in modules if type(each[1]) in _FILLED and _is_large(each[1].weight)]
    return [(path, recast(module, _FILLED[type(module)])) for path, module in large]


def _is_large(weight: mx.array) -> bool:
    return weight.dtype == mx.float32 and weight.size >= MIN_WEIGHTS
