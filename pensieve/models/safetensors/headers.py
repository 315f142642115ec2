"""The headers of safetensors files: each tensor's name, type and shape, read without the tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.safetensors.shards import weight_files
from pensieve.models.safetensors.validation import BITS, safetensors_entries

FLOATING: Final = frozenset(("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"))


@dataclass(frozen=True, slots=True)
class TensorHeader:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.num_elements * BITS.get(self.dtype, 8) // 8

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def parameter(self) -> str:
        return self.name.rpartition(".")[2]


def folder_headers(source: str, folder: Path) -> list[TensorHeader]:
    """The headers in all files of the model's weights.

    Raises:
        ModelLoadingError: there are no such files, or one is truncated or damaged; it is named.
    """
    files = weight_files(folder)
    if not files:
        raise ModelLoadingError(source, f"{folder} has no model*.safetensors")
    return [header for path in files for header in headers_of(safetensors_entries(source, path))]


def headers_of(entries: Mapping[str, Any]) -> Iterable[TensorHeader]:
    """From the JSON object of a file's header.

    Raises:
        KeyError, TypeError, ValueError: an entry is invalid.
    """
    return [
        TensorHeader(name, str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))
        for name, entry in entries.items()
        if name != "__metadata__"
    ]
