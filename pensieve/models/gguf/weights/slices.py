"""Converting a tensor of a GGUF file a few rows at a time, since an embedding may take gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.models.gguf.file import GgufFile, GgufTensor
from pensieve.models.gguf.layout import TensorTarget
from pensieve.models.gguf.weights.affine import Bytes, Repacking
from pensieve.models.safetensors.file import DType, TensorSpec

DENSE: Final[dict[str, DType]] = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
"""The types without blocks: GGUF's names and those of safetensors."""
_SLICE_ELEMENTS: Final = 1 << 18
"""In f32, about what fits into the cache of one core."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a tensor that one parameter of the model takes, in the model's order."""

    gguf: GgufFile
    tensor: GgufTensor
    target: TensorTarget

    @property
    def shape(self) -> tuple[int, ...]:
        return self.target.shape

    def slices(self) -> Iterator[Bytes]:
        """Whole rows, since no block spans two. The file's pages are released after each slice."""
        is_vector = len(self.shape) == 1
        rows = self.gguf.rows(self.tensor)
        if is_vector:  # one row in the file, but one number for each row of the model
            rows = rows.reshape(self.tensor.shape[0], -1)
        first, num_rows = self.target.first_row, self.shape[0]
        order = self._order(num_rows)
        step = max(1, _SLICE_ELEMENTS * num_rows // int(np.prod(self.shape)))
        for start in range(0, num_rows, step):
            stop = min(start + step, num_rows)
            yield rows[first + start : first + stop] if order is None else rows[first + order[start:stop]]
            self.gguf.release(self.tensor)

    def _order(self, num_rows: int) -> npt.NDArray[np.int64] | None:
        heads = self.target.interleaved_heads
        return None if heads is None else np.arange(num_rows).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)


@dataclass(frozen=True, slots=True)
class DenseSlices:
    """A tensor without blocks, cast to the model's type."""

    rows: SourceRows
    dtype: DType

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(self.rows.target.name, self.dtype, self.rows.shape),)

    def slices(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        tensor, offset = self.rows.tensor, self.rows.target.offset
        for rows in self.rows.slices():
            yield (_cast(np.ascontiguousarray(rows), DENSE[tensor.type_name], self.dtype, offset, tensor.name),)


@dataclass(frozen=True, slots=True)
class PackedSlices:
    """A quantised matrix, converted to codes, scales and biases."""

    rows: SourceRows
    repacking: Repacking

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        num_rows, columns = self.rows.shape
        module = self.rows.target.module
        scale_dtype: DType = "F16" if self.repacking.scale_dtype == np.float16 else "F32"
        groups = (num_rows, columns // self.repacking.group_size)
        return (
            TensorSpec(f"{module}.weight", "U32", (num_rows, columns * self.repacking.bits // 32)),
            TensorSpec(f"{module}.scales", scale_dtype, groups),
            TensorSpec(f"{module}.biases", scale_dtype, groups),
        )

    def slices(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        return (self.repacking.repack(rows) for rows in self.rows.slices())


def _cast(rows: Bytes, source: DType, target: DType, offset: float, name: str) -> npt.NDArray[Any]:
    """Cast raw rows and add `offset`. A bfloat16 is the upper half of a float32, rounded to even.

    Raises:
        ValueError: a number is not finite in the target type.
    """
    if source == target and not offset:
        return rows
    if source == "BF16":
        values = (rows.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = rows.view("<f2" if source == "F16" else "<f4").astype(np.float32)
    values += np.float32(offset)
    with np.errstate(over="ignore"):
        cast = values.astype(np.float16 if target == "F16" else np.float32)
    if not np.isfinite(cast).all():
        raise ValueError(f"{name} holds a number that is not finite in {target}")
    if target == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return cast
