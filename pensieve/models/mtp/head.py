"""The module of an MTP head: one more layer of the model, over what the model computed for a token and the next token.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.normalization import RMSNorm


class MtpHead(Module):  # type: ignore[misc]  # MLX gives its layers no types
    """`layer` is of the model's own class. The embeddings and the output layer are the model's."""

    def __init__(self, layer: Module, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.embedding_norm = RMSNorm(hidden_size, eps=eps)
        self.hidden_norm = RMSNorm(hidden_size, eps=eps)
        self.projection = Linear(2 * hidden_size, hidden_size, bias=False)
        self.layer = layer
        self.norm = RMSNorm(hidden_size, eps=eps)

    def __call__(self, embeddings: mx.array, hidden: mx.array, mask: Any, cache: Any) -> mx.array:
        """Hidden states [rows, tokens, size], from which the output layer computes the token after the next one.

        `hidden` are the model's last hidden states after its final norm, `embeddings` those of the tokens after them.
        """
        joined = mx.concatenate([self.embedding_norm(embeddings), self.hidden_norm(hidden)], axis=-1)
        output: mx.array = self.norm(self.layer(self.projection(joined), mask, cache))
        return output
