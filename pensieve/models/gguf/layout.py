"""Where the tensors of a GGUF file go in mlx-lm's model. The architectures create it and the conversion follows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class TensorTarget:
    """The parameter of mlx-lm's model that takes a tensor of the file, or a range of its rows."""

    module: str
    shape: tuple[int, ...]
    """Of the parameter: `shape[0]` rows of the tensor are taken, starting at `first_row`."""
    interleaved_heads: int | None = None
    """The number of heads, if llama.cpp's converter interleaved the rows within each; the conversion reverses it."""
    parameter: Literal["weight", "bias"] = "weight"
    first_row: int = 0
    offset: float = 0.0
    """Added to each number, for norms that mlx-lm stores relative to another zero. Only dense vectors have one."""

    @property
    def name(self) -> str:
        return f"{self.module}.{self.parameter}"


@dataclass(frozen=True, slots=True)
class ModelLayout:
    """A file's model as one of mlx-lm's models."""

    targets: Mapping[str, tuple[TensorTarget, ...]]
    """By tensor name in the file. Several targets split the tensor by rows."""
    config: Mapping[str, Any]
    """config.json, except for the keys that depend on the tensors' types."""
