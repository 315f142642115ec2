"""The header of a safetensors file, checked entry by entry against the file's size before anything is read by it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError

_MAX_HEADER_BYTES: Final = 100_000_000  # the format's own limit
_MAX_DIMENSIONS: Final = 32
"""Models have up to five. The product of thousands of sizes takes time by the square of their number."""
_METADATA: Final = "__metadata__"
LFS_POINTER: Final = b"version https://git-lfs"
"""The start of a file that Git LFS has not fetched (its specification, "The Pointer")."""
BITS: Final[Mapping[str, int]] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip
"""Of a number, by the format's name for its type. Complex numbers are left out: no model has them."""


def validate_safetensors(source: str, path: Path) -> None:
    """Refuse a file that is truncated or damaged, without reading its tensors.

    Raises:
        ModelLoadingError: it names the file.
    """
    safetensors_entries(source, path)


def safetensors_entries(source: str, path: Path) -> dict[str, Any]:
    """The entries of the header. Each has a known `dtype`, a `shape`, and `data_offsets` of its own within the file.

    Raises:
        ModelLoadingError: the file is truncated or damaged; it is named.
    """
    try:
        size = path.stat().st_size
        header = _header(source, path, size)
    except OSError as error:
        raise ModelLoadingError(source, f"{path} cannot be read: {error.strerror}") from error
    try:
        entries = json.loads(header, object_pairs_hook=_without_duplicates)
        entries.pop(_METADATA, None)
        end = _end_of_tensors(entries)
    except _DamagedHeaderError as error:
        raise ModelLoadingError(source, f"{path} is damaged: {error}; fetch it again") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelLoadingError(source, f"{path} is not a safetensors file: its header is damaged") from error
    expected = 8 + len(header) + end
    if size != expected:
        raise ModelLoadingError(source, f"{path} has {size} bytes instead of {expected}; fetch it again")
    return dict(entries)


class _DamagedHeaderError(Exception):
    """The message says what is wrong with which tensor."""


def _header(source: str, path: Path, size: int) -> bytes:
    if not size:
        raise ModelLoadingError(source, f"{path} is empty: fetch it again")
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ModelLoadingError(source, f"{path} is a Git LFS pointer: run `git lfs pull` in its folder")
        file.seek(0)
        num_bytes = int.from_bytes(file.read(8), "little")
        if num_bytes > min(size - 8, _MAX_HEADER_BYTES):
            raise ModelLoadingError(source, f"{path} is truncated, or not a safetensors file; fetch it again")
        return file.read(num_bytes)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Raises:
        _DamagedHeaderError: a name occurs twice, and readers differ in which of the two they take.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        double = next(name for name, number in Counter(name for name, _ in pairs).items() if number > 1)
        raise _DamagedHeaderError(f"its header has {_shown(double)} twice")
    return found


def _end_of_tensors(entries: Mapping[str, Mapping[str, Any]]) -> int:
    """The number of bytes of all tensors, each of which follows another one directly."""
    spans = sorted(_span(name, entry) for name, entry in entries.items())
    end = 0
    for start, next_end, name in spans:
        if start != end:
            raise _DamagedHeaderError(f"{_shown(name)} begins at {start}, but the tensor before it ends at {end}")
        end = next_end
    return end


def _span(name: str, entry: Mapping[str, Any]) -> tuple[int, int, str]:
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in BITS:
        raise _DamagedHeaderError(f"{_shown(name)} has the unknown type {_shown(dtype)}")
    if len(shape) > _MAX_DIMENSIONS:
        raise _DamagedHeaderError(f"{_shown(name)} has {len(shape)} dimensions, more than {_MAX_DIMENSIONS}")
    if not _are_sizes(shape) or not _are_sizes((start, end)):
        raise _DamagedHeaderError(f"{_shown(name)} has a size that is not a whole number")
    num_bytes = math.prod(shape) * BITS[dtype] // 8
    if end - start != num_bytes:
        raise _DamagedHeaderError(f"{_shown(name)} has {end - start} bytes instead of the {num_bytes} of its shape")
    return start, end, name


def _are_sizes(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _shown(name: object) -> str:
    return repr(str(name)[:80])
