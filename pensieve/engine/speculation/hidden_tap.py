"""Keeps a pass's last hidden states, which a model's own call does not return.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module


class HiddenTap(Module):  # type: ignore[misc]  # MLX gives its layers no types
    """Stands for a model's final norm, and keeps what it computed last."""

    def __init__(self, inner: Module) -> None:
        super().__init__()
        self.inner = inner
        self._hidden: mx.array | None = None

    @classmethod
    def of(cls, text_model: Any) -> HiddenTap:
        """The tap of a model, put in place if it is not yet."""
        norm = text_model.model.norm
        tap = norm if isinstance(norm, cls) else cls(norm)
        text_model.model.norm = tap
        return tap

    def __call__(self, values: mx.array) -> mx.array:
        self._hidden = self.inner(values)
        return self._hidden

    def take(self) -> mx.array | None:
        """The hidden states [rows, tokens, size] of the last pass, once."""
        hidden, self._hidden = self._hidden, None
        return hidden
