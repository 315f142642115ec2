"""Writing a safetensors file tensor by tensor, so that no more than one is in memory.

The format: eight bytes of length, little endian; a JSON object of that length with each tensor's type, shape and place;
the tensors' bytes, one after another. mlx's own writer wants all of them at once, and the thread that owns MLX.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy.typing as npt

from pensieve.core.errors import ModelLoadingError

DType = Literal["U32", "F16", "BF16", "F32"]
_MAX_HEADER_BYTES: Final = 100_000_000  # the format's own bound
_ITEM_BYTES: Final = {"U32": 4, "F16": 2, "BF16": 2, "F32": 4}


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor that `make` yields when its turn comes, of the size that type and shape announce.

    NumPy has no bfloat16: such a tensor comes as uint16 with the same bits.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    make: Callable[[], npt.NDArray[Any]]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


def write_safetensors(path: Path, tensors: Sequence[PlannedTensor]) -> None:
    """Write a new file and see it onto the disk.

    Raises:
        OSError: as from writing any file.
        ValueError: a tensor came in another size than planned.
    """
    with path.open("xb") as file:
        file.write(_header(tensors))
        for tensor in tensors:
            data = tensor.make()
            if data.nbytes != tensor.num_bytes:
                raise ValueError(f"{tensor.name} has {data.nbytes} bytes where {tensor.num_bytes} were planned")
            data.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def _header(tensors: Sequence[PlannedTensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    position = 0
    for tensor in tensors:
        end = position + tensor.num_bytes
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors start aligned
    return len(text).to_bytes(8, "little") + text


def require_whole_safetensors(source: str, path: Path) -> None:
    """Refuse a file that is cut short or no safetensors file, without reading its tensors.

    Raises:
        ModelLoadingError: naming the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            fits = header_bytes <= min(size - 8, _MAX_HEADER_BYTES)
            entries = json.loads(file.read(header_bytes)) if fits else None
        if entries is None:
            raise ModelLoadingError(source, f"{path} is cut short, or no safetensors file")
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
    except OSError as error:
        raise ModelLoadingError(source, f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelLoadingError(source, f"{path} is no safetensors file: its header is damaged") from error
    expected = 8 + header_bytes + max(ends, default=0)
    if size != expected:
        raise ModelLoadingError(source, f"{path} has {size} bytes where {expected} belong; fetch it again")
