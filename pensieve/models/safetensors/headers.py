"""What the heads of safetensors files say: each tensor's name, type and shape. No tensor is read."""

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
"""Of the types wider than a byte. The narrow ones have 8, or 4 where they say so."""
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
    """Of the files that hold the model's weights.

    Raises:
        ModelLoadingError: there are none, or one is cut short or damaged; it is named.
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
            raise ModelLoadingError(source, f"{path} is no safetensors file: its header is damaged") from error
    return headers


def headers_of(entries: Mapping[str, Any]) -> Iterable[TensorHeader]:
    """From a file's JSON.

    Raises:
        KeyError, TypeError, ValueError: it is not of the format.
    """
    return [
        TensorHeader(name, str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))
        for name, entry in entries.items()
        if name != "__metadata__"
    ]
