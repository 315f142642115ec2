"""A tensor of a GGUF file as tensors of mlx-lm's model, some rows at a time, since an embedding may take gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.models.gguf.file import GgufFile, GgufTensor
from pensieve.models.gguf.place import Place
from pensieve.models.gguf.weights.affine import Bytes, Repacking
from pensieve.models.safetensors.file import DType, TensorSpec

DENSE: Final[dict[str, DType]] = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
"""The types that are no blocks, in GGUF's word and in safetensors'."""
_SLICE_ELEMENTS: Final = 1 << 18
"""About as many as a core's own cache holds in f32."""


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The rows of a tensor that one place of the model gets, in the model's order."""

    gguf: GgufFile
    tensor: GgufTensor
    place: Place

    @property
    def shape(self) -> tuple[int, ...]:
        return self.place.shape

    def slices(self) -> Iterator[Bytes]:
        """Blocks lie along a row, so whole rows can be moved. What was read is given back to the system each time."""
        is_vector = len(self.shape) == 1
        stored = self.gguf.rows(self.tensor)
        if is_vector:  # one row of the file, but one number to a row of the model
            stored = stored.reshape(self.tensor.shape[0], -1)
        first, num_rows = self.place.first_row, self.shape[0]
        order = self._order(num_rows)
        step = max(1, _SLICE_ELEMENTS * num_rows // int(np.prod(self.shape)))
        for start in range(0, num_rows, step):
            stop = min(start + step, num_rows)
            yield stored[first + start : first + stop] if order is None else stored[first + order[start:stop]]
            self.gguf.forget(self.tensor)

    def _order(self, num_rows: int) -> npt.NDArray[np.int64] | None:
        heads = self.place.interleaved_heads
        return None if heads is None else np.arange(num_rows).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)


@dataclass(frozen=True, slots=True)
class DenseSlices:
    """A tensor of plain numbers, in another type where the model's is another."""

    rows: StoredRows
    dtype: DType

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(self.rows.place.name, self.dtype, self.rows.shape),)

    def slices(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        tensor, added = self.rows.tensor, self.rows.place.added
        for rows in self.rows.slices():
            yield (_cast(np.ascontiguousarray(rows), DENSE[tensor.type_name], self.dtype, added, tensor.name),)


@dataclass(frozen=True, slots=True)
class PackedSlices:
    """A matrix in blocks, as codes with scales and biases."""

    rows: StoredRows
    repacking: Repacking

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        num_rows, columns = self.rows.shape
        module = self.rows.place.module
        parameters: DType = "F16" if self.repacking.parameters == np.float16 else "F32"
        groups = (num_rows, columns // self.repacking.group_size)
        return (
            TensorSpec(f"{module}.weight", "U32", (num_rows, columns * self.repacking.bits // 32)),
            TensorSpec(f"{module}.scales", parameters, groups),
            TensorSpec(f"{module}.biases", parameters, groups),
        )

    def slices(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        return (self.repacking.repack(rows) for rows in self.rows.slices())


def _cast(rows: Bytes, stored: DType, wanted: DType, added: float, name: str) -> npt.NDArray[Any]:
    """Raw rows of one dense type as another. bfloat16 is the upper half of a float32, rounded to even.

    Raises:
        ValueError: a number does not fit, or is none.
    """
    if stored == wanted and not added:
        return rows
    if stored == "BF16":
        values = (rows.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = rows.view("<f2" if stored == "F16" else "<f4").astype(np.float32)
    values += np.float32(added)
    with np.errstate(over="ignore"):
        cast = values.astype(np.float16 if wanted == "F16" else np.float32)
    if not np.isfinite(cast).all():
        raise ValueError(f"{name} holds what is no number of the type {wanted}")
    if wanted == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return cast
