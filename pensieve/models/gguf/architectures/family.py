"""An architecture family as tables: which tensor of a GGUF file becomes which module of mlx-lm's model.

GGUF's names, and what llama.cpp's converter does to the weights: convert_hf_to_gguf.py and gguf-py's constants.py.
mlx-lm's names: its module of the same `model_type`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pensieve.models.gguf.file import GgufFile
from pensieve.models.gguf.layout import TensorTarget
from pensieve.models.gguf.metadata import GgufMetadata

Config: TypeAlias = dict[str, Any]
DimensionName: TypeAlias = Literal[
    "hidden", "intermediate", "gate and up", "queries", "keys", "queries and keys", "head", "vocabulary"
]
"""What a dimension counts. "keys" stands for keys or values, and "queries and keys" for queries, keys and values."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The sizes in a file's metadata."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocabulary_size: int
    """Rows of the embeddings, which may be padded beyond the tokenizer's vocabulary."""

    def size(self, name: DimensionName) -> int:
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return {
            "hidden": self.hidden_size,
            "intermediate": self.intermediate_size,
            "gate and up": 2 * self.intermediate_size,
            "queries": queries,
            "keys": keys,
            "queries and keys": queries + 2 * keys,
            "head": self.head_dim,
            "vocabulary": self.vocabulary_size,
        }[name]


@dataclass(frozen=True, slots=True)
class ModuleRows:
    """A module of mlx-lm's model, and the number of rows that it takes from a tensor."""

    module: str
    rows: DimensionName


@dataclass(frozen=True, slots=True)
class TensorMapping:
    """A tensor of the file, and the modules that share its rows, in order.

    With `bias` it covers two tensors: `name.weight` and `name.bias`.
    """

    name: str
    modules: tuple[ModuleRows, ...]
    columns: DimensionName | None = None
    """None for a vector."""
    bias: bool = False
    interleaved: Literal["queries", "keys"] | None = None
    """Whose heads llama.cpp's converter interleaved the rows of."""
    offset: float = 0.0

    def targets(
        self, dimensions: Dimensions, gguf_prefix: str, mlx_prefix: str
    ) -> Iterator[tuple[str, tuple[TensorTarget, ...]]]:
        columns = () if self.columns is None else (dimensions.size(self.columns),)
        yield f"{gguf_prefix}{self.name}.weight", tuple(self._targets(dimensions, mlx_prefix, "weight", columns))
        if self.bias:
            yield f"{gguf_prefix}{self.name}.bias", tuple(self._targets(dimensions, mlx_prefix, "bias", ()))

    def _targets(
        self, dimensions: Dimensions, mlx_prefix: str, parameter: Literal["weight", "bias"], columns: tuple[int, ...]
    ) -> Iterator[TensorTarget]:
        heads = {"queries": dimensions.num_heads, "keys": dimensions.num_kv_heads, None: None}[self.interleaved]
        first_row = 0
        for part in self.modules:
            num_rows = dimensions.size(part.rows)
            module = f"{mlx_prefix}{part.module}"
            yield TensorTarget(module, (num_rows, *columns), heads, parameter, first_row, self.offset)
            first_row += num_rows


def matrix(name: str, module: str, rows: DimensionName, columns: DimensionName, *, bias: bool = False) -> TensorMapping:
    return TensorMapping(name, (ModuleRows(module, rows),), columns, bias)


def vector(
    name: str, module: str, size: DimensionName = "hidden", *, bias: bool = False, offset: float = 0.0
) -> TensorMapping:
    return TensorMapping(name, (ModuleRows(module, size),), bias=bias, offset=offset)


@dataclass(frozen=True, slots=True)
class ArchitectureFamily:
    """One of mlx-lm's models, and the tables of its tensors."""

    model_type: str
    class_name: str
    """In `architectures` of config.json."""
    top: tuple[TensorMapping, ...]
    """Tensors outside the layers, except for embeddings and output."""
    layer: tuple[TensorMapping, ...]
    config: Callable[[GgufMetadata, Dimensions], Config]
    """The keys of config.json that only this family has."""
    output: Literal["tied if absent", "tied", "separate"] = "tied if absent"
    """Whether the output shares the weights of the embeddings."""
    output_bias: bool = False
    alternatives: Mapping[str, tuple[TensorMapping, ...]] = field(default_factory=dict)
    """By the name of a tensor in `layer`: the tensors that some files have in its place."""
    config_tensors: tuple[str, ...] = ()
    """Tensors that only `config` reads: the model has no parameter for them."""

    def targets(self, dimensions: Dimensions, gguf: GgufFile) -> dict[str, tuple[TensorTarget, ...]]:
        """By tensor name: every tensor that the file has to have."""
        targets: dict[str, tuple[TensorTarget, ...]] = {}
        for mapping in self._top(gguf):
            targets.update(mapping.targets(dimensions, "", ""))
        for layer in range(dimensions.num_layers):
            for mapping in self._layer(gguf, f"blk.{layer}."):
                targets.update(mapping.targets(dimensions, f"blk.{layer}.", f"model.layers.{layer}."))
        return targets

    def ties_embeddings(self, gguf: GgufFile) -> bool:
        return self.output == "tied" or (self.output == "tied if absent" and "output.weight" not in gguf.tensors)

    def _top(self, gguf: GgufFile) -> Iterator[TensorMapping]:
        yield matrix("token_embd", "model.embed_tokens", "vocabulary", "hidden")
        yield from self.top
        if not self.ties_embeddings(gguf):
            yield matrix("output", "lm_head", "vocabulary", "hidden", bias=self.output_bias)

    def _layer(self, gguf: GgufFile, gguf_prefix: str) -> Iterator[TensorMapping]:
        for mapping in self.layer:
            if mapping.name in self.alternatives and f"{gguf_prefix}{mapping.name}.weight" not in gguf.tensors:
                yield from self.alternatives[mapping.name]
            else:
                yield mapping


def require_full_width(metadata: GgufMetadata, dimensions: Dimensions) -> None:
    """For models in which mlx-lm derives the head size from the hidden size.

    Raises:
        ModelLoadingError: the file's heads do not add up to the hidden size.
    """
    if dimensions.head_dim * dimensions.num_heads != dimensions.hidden_size:
        heads = f"{dimensions.num_heads} heads of {dimensions.head_dim}"
        raise metadata.error(f"{heads} do not add up to the hidden size of {dimensions.hidden_size}")
