"""Where a GGUF file's tensors go in mlx-lm's model: what an architecture's layout says, and the conversion follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor of the file, or some of its rows, in mlx-lm's model.

    The rows from `first_row` on, as many as `shape` has, become `module.parameter`. `interleaved_heads`: llama.cpp's
    converter interleaved the rows within each of so many heads, which is undone. `added` is added to each number, for
    norms that mlx-lm counts from another zero; such a tensor is a dense vector.
    """

    module: str
    shape: tuple[int, ...]
    interleaved_heads: int | None = None
    parameter: Literal["weight", "bias"] = "weight"
    first_row: int = 0
    added: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.module}.{self.parameter}"


class Layout(Protocol):
    """What the metadata of a file announce, in the words of one of mlx-lm's models."""

    @property
    def places(self) -> Mapping[str, tuple[Place, ...]]:
        """Each tensor of the file that has a place in the model, by its name there; more than one is cut by rows.

        Raises:
            ModelLoadingError: a tensor is missing, of another shape than announced, or not part of the architecture.
        """

    def config(self) -> dict[str, Any]:
        """config.json, but for what depends on the tensors' types."""
