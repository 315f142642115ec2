"""The headers of safetensors files: each tensor's name, type and shape, read without the tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.safetensors.file import validate_safetensors
from pensieve.models.safetensors.shards import weight_files

_BITS: Final = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16}
"""For types wider than a byte. The others have 8 bits, or 4 if their name starts with F4."""
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
        bits = _BITS.get(self.dtype, 4 if self.dtype.startswith("F4") else 8)
        return self.num_elements * bits // 8

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
    headers: list[TensorHeader] = []
    for path in files:
        validate_safetensors(source, path)
        with path.open("rb") as file:
            entries = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        try:
            headers += headers_of(entries)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelLoadingError(source, f"{path} is not a safetensors file: its header is damaged") from error
    return headers


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
