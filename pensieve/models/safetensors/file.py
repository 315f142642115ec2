"""Writing a safetensors file slice by slice, so that only one slice is in memory.

The format: eight bytes of length, little endian; a JSON object of that length with each tensor's type, shape and
offsets; the tensors' bytes. MLX's own writer needs all tensors at once, and the thread that owns MLX.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

DType = Literal["U32", "F16", "BF16", "F32"]
_ITEM_BYTES: Final = {"U32": 4, "F16": 2, "BF16": 2, "F32": 4}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's header entry. NumPy has no bfloat16: such tensors are arrays of uint16 with the same bits."""

    name: str
    dtype: DType
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


class PlannedTensors(Protocol):
    """Tensors that are computed together when they are written."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """In the order of the file."""

    def slices(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """The next rows of each tensor, until all are complete."""


@dataclass(frozen=True, slots=True)
class PlannedTensor(TensorSpec):
    """A tensor that `make` returns in one piece."""

    make: Callable[[], npt.NDArray[Any]]

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        return (self,)

    def slices(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        yield (self.make(),)


def write_safetensors(
    path: Path, planned: Sequence[PlannedTensors], report: Callable[[int], None] = lambda _: None
) -> None:
    """Write a new file and flush it to the disk. `report` gets the number of tensor bytes written so far.

    Raises:
        OSError: as from writing any file.
        ValueError: a tensor has another size than planned.
    """
    with path.open("xb") as file:
        file.write(_header([spec for part in planned for spec in part.specs]))
        start = file.tell()
        done = 0
        for part in planned:
            for num_bytes in _write_slices(file, part, start + done):
                done += num_bytes
                report(done)
        file.flush()
        os.fsync(file.fileno())


def _write_slices(file: BinaryIO, part: PlannedTensors, start: int) -> Iterator[int]:
    """Write each slice at its tensor's current position, and yield the number of bytes of each round."""
    written = [0] * len(part.specs)
    starts = [start + sum(spec.num_bytes for spec in part.specs[:index]) for index in range(len(part.specs))]
    for arrays in part.slices():
        for index, (spec, array) in enumerate(zip(part.specs, arrays, strict=True)):
            if written[index] + array.nbytes > spec.num_bytes:
                raise _size_error(spec, written[index] + array.nbytes)
            file.seek(starts[index] + written[index])
            file.write(np.ascontiguousarray(array).data)
            written[index] += array.nbytes
        yield sum(array.nbytes for array in arrays)
    for spec, num_bytes in zip(part.specs, written, strict=True):
        if num_bytes != spec.num_bytes:
            raise _size_error(spec, num_bytes)


def _size_error(spec: TensorSpec, num_bytes: int) -> ValueError:
    return ValueError(f"{spec.name} has {num_bytes} bytes where {spec.num_bytes} were planned")


def _header(specs: Sequence[TensorSpec]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    position = 0
    for spec in specs:
        end = position + spec.num_bytes
        entries[spec.name] = {"dtype": spec.dtype, "shape": spec.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors start aligned
    return len(text).to_bytes(8, "little") + text
