"""Computes logits only where a token is sampled from them.

A prefill pass needs the logits of a prompt's last token alone, while mlx-lm's models compute them for every token of a
chunk: with a large vocabulary, a fifth of the pass and most of its memory. So the module that computes them, the last
one of a model, is replaced in the model's tree by one that first selects the positions.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedEmbedding, QuantizedLinear
from mlx.utils import tree_unflatten

_TOLERANCE: Final = 0.05
"""In half precision a product of one row may be computed by another kernel. Logits of another position differ by 1."""

_EMBEDDINGS = (Embedding, QuantizedEmbedding)
_LINEARS = (Linear, QuantizedLinear)


class OutputHead(Module):  # type: ignore[misc]  # MLX gives its layers no types
    """Stands for a linear output layer, or for embeddings that are also the output layer."""

    def __init__(self, inner: Module) -> None:
        super().__init__()
        self.inner = inner
        self._positions: mx.array | None = None
        self._rows: mx.array | None = None

    @classmethod
    def of(cls, model: Any) -> OutputHead | None:
        """The head of a model, put in place if it is not yet. None: the model computes other logits with it."""
        modules = model.named_modules()
        found = next((module for _, module in modules if isinstance(module, cls)), None)
        if found is not None:
            return found
        candidates = _candidates(modules)
        if len(candidates) != 1:
            return None
        ((path, module),) = candidates
        head = cls(module)
        model.update_modules(tree_unflatten([(path, head)]))
        if _agrees(model, head):
            return head
        model.update_modules(tree_unflatten([(path, module)]))
        return None

    def __call__(self, values: mx.array) -> mx.array:
        is_linear = isinstance(self.inner, _LINEARS)
        output: mx.array = self.inner(self._selected(values) if is_linear else values)
        return output

    def as_linear(self, hidden: mx.array) -> mx.array:
        output: mx.array = self.inner.as_linear(self._selected(hidden))
        return output

    def __getattr__(self, name: str) -> Any:
        """What a model reads of its embeddings or output layer, as before."""
        if name in self:
            return self[name]
        if "inner" not in self:
            raise AttributeError(name)
        return getattr(self["inner"], name)

    @contextmanager
    def only_at(self, positions: mx.array, rows: mx.array | None = None) -> Iterator[None]:
        """Within this context, logits are [rows, 1, vocabulary]: those at `positions`, int32 [rows], of all rows or of
        `rows`, int32 [rows].
        """
        self._positions, self._rows = positions, rows
        try:
            yield
        finally:
            self._positions = self._rows = None

    def _selected(self, hidden: mx.array) -> mx.array:
        """`hidden` [rows, tokens, size], or the selected positions of it."""
        if self._positions is None or hidden.ndim != 3:
            return hidden
        rows = mx.arange(hidden.shape[0]) if self._rows is None else self._rows
        return hidden[rows, self._positions][:, None]


def _agrees(model: Any, head: OutputHead) -> bool:
    """Whether the logits at one position are the same with and without the others.

    The tokens are from within the vocabulary: the first and last ones may be unused, and of a token whose embedding is
    zero, all logits are zero.
    """
    size = int(head.inner.weight.shape[0])
    token_ids = mx.array([[size // 2, size // 3, size // 2]])
    expected = model(token_ids)[:, 1]
    with head.only_at(mx.array([1])):
        selected = model(token_ids)
    if selected.shape[1] != 1:
        return False
    difference = mx.max(mx.abs(selected[:, 0] - expected)) / mx.max(mx.abs(expected))
    return bool(difference <= _TOLERANCE)


def _candidates(modules: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The linear layers as wide as the vocabulary; without any, the embeddings themselves."""
    embeddings = [(path, module) for path, module in modules if isinstance(module, _EMBEDDINGS)]
    vocabulary_size = max((int(module.weight.shape[0]) for _, module in embeddings), default=0)
    linear = [
        (path, module)
        for path, module in modules
        if isinstance(module, _LINEARS) and module.weight.shape[0] == vocabulary_size
    ]
    return linear or [each for each in embeddings if each[1].weight.shape[0] == vocabulary_size]
