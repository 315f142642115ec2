"""A family of models as tables: what its tensors are called in a GGUF file, and what in mlx-lm's model.

GGUF's names and what llama.cpp's converter does to the numbers: convert_hf_to_gguf.py, gguf-py's constants.py.
mlx-lm's names: its module of the same `model_type`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pensieve.models.gguf.file import GgufFile
from pensieve.models.gguf.metadata import ModelMetadata
from pensieve.models.gguf.place import Place

Size: TypeAlias = Literal["hidden", "inner", "gate and up", "queries", "keys", "queries and keys", "head", "vocabulary"]
"""A dimension by what it counts; "keys" counts the values too, "queries and keys" has all three."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The sizes that a file announces."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    """Numbers in a head."""
    vocabulary: int
    """As the embeddings have it: they may be padded over the tokenizer's, or cut to it."""

    def size(self, name: Size) -> int:
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        return {
            "hidden": self.hidden,
            "inner": self.inner,
            "gate and up": 2 * self.inner,
            "queries": queries,
            "keys": keys,
            "queries and keys": queries + 2 * keys,
            "head": self.head,
            "vocabulary": self.vocabulary,
        }[name]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a tensor: a module of mlx-lm's, and how many."""

    module: str
    rows: Size


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor, or with `bias` two: `name.weight` and `name.bias`. One part has it all, several have it by rows."""

    name: str
    parts: tuple[Part, ...]
    columns: Size | None = None
    """None for a vector."""
    bias: bool = False
    interleaved: Literal["queries", "keys"] | None = None
    added: float = 0.0

    def places(self, dimensions: Dimensions, there: str, here: str) -> Iterator[tuple[str, tuple[Place, ...]]]:
        columns = () if self.columns is None else (dimensions.size(self.columns),)
        yield f"{there}{self.name}.weight", tuple(self._places(dimensions, here, "weight", columns))
        if self.bias:
            yield f"{there}{self.name}.bias", tuple(self._places(dimensions, here, "bias", ()))

    def _places(
        self, dimensions: Dimensions, here: str, parameter: Literal["weight", "bias"], columns: tuple[int, ...]
    ) -> Iterator[Place]:
        heads = {"queries": dimensions.heads, "keys": dimensions.kv_heads, None: None}[self.interleaved]
        first_row = 0
        for part in self.parts:
            rows = dimensions.size(part.rows)
            yield Place(f"{here}{part.module}", (rows, *columns), heads, parameter, first_row, self.added)
            first_row += rows


def matrix(name: str, module: str, rows: Size, columns: Size, *, bias: bool = False) -> Tensor:
    return Tensor(name, (Part(module, rows),), columns, bias)


def vector(name: str, module: str, size: Size = "hidden", *, bias: bool = False, added: float = 0.0) -> Tensor:
    return Tensor(name, (Part(module, size),), bias=bias, added=added)


Config: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One of mlx-lm's models and the tables of its tensors."""

    model_type: str
    class_name: str
    """What the model is called in `architectures`."""
    top: tuple[Tensor, ...]
    layer: tuple[Tensor, ...]
    config: Callable[[ModelMetadata, Dimensions], Config]
    """The keys that are this family's own."""
    output: Literal["may be tied", "is tied", "is apart"] = "may be tied"
    output_bias: bool = False
    instead: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    """For a tensor of `layer`, by its name: what some files have in its place."""
    into_config: tuple[str, ...] = ()
    """Tensors that `config` reads, and that the model has no place for."""

    def places(self, dimensions: Dimensions, gguf: GgufFile) -> dict[str, tuple[Place, ...]]:
        """Each tensor that a file of these dimensions has, by its name."""
        places: dict[str, tuple[Place, ...]] = {}
        for tensor in self._top(gguf):
            places.update(tensor.places(dimensions, "", ""))
        for number in range(dimensions.layers):
            for tensor in self._layer(gguf, f"blk.{number}."):
                places.update(tensor.places(dimensions, f"blk.{number}.", f"model.layers.{number}."))
        return places

    def is_tied(self, gguf: GgufFile) -> bool:
        """Whether the embeddings are the output's weights too: so where the file has no others."""
        return self.output == "is tied" or (self.output == "may be tied" and "output.weight" not in gguf.tensors)

    def _top(self, gguf: GgufFile) -> Iterator[Tensor]:
        yield matrix("token_embd", "model.embed_tokens", "vocabulary", "hidden")
        yield from self.top
        if not self.is_tied(gguf):
            yield matrix("output", "lm_head", "vocabulary", "hidden", bias=self.output_bias)

    def _layer(self, gguf: GgufFile, there: str) -> Iterator[Tensor]:
        for tensor in self.layer:
            if tensor.name in self.instead and f"{there}{tensor.name}.weight" not in gguf.tensors:
                yield from self.instead[tensor.name]
            else:
                yield tensor
