"""Reading memory-mapped GGUF files of versions 2 and 3 (format: ggml's docs/gguf.md).

A file holds the magic, the version, the numbers of tensors and metadata entries, the metadata, one record for each
tensor, and then, aligned, the tensors. The file may be truncated or malicious, so every size is checked against the
file's own before anything is read, allocated or looped over.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.core.errors import ModelLoadingError

MetadataValue = str | int | float | bool | list["MetadataValue"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
_MAX_NESTED_ARRAYS = 4  # the format has no limit, but Python's stack has
_MIN_STRING_BYTES = 8
_LENGTH: Final = struct.Struct("<Q")
_MIN_ENTRY_BYTES = _MIN_STRING_BYTES + 4 + 1
_MIN_TENSOR_RECORD_BYTES = _MIN_STRING_BYTES + 4 + 4 + 8

# The names of ggml_type, and for the types with a known layout, the elements and bytes of a block.
_TYPE_NAMES: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
_BLOCKS: Final = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22),
    "Q5_1": (32, 24), "Q8_0": (32, 34), "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176),
    "Q6_K": (256, 210), "Q8_K": (256, 292),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor's record. `shape` is in NumPy's order; blocks divide the last dimension."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    offset: int
    """Bytes from the start of the file; not checked if `row_bytes` is None."""
    row_bytes: int | None
    """None for a type whose layout is unknown."""

    @property
    def num_rows(self) -> int:
        return math.prod(self.shape[:-1])


class GgufFile:
    """An open file: its metadata and tensor records. Create it with `open_gguf`."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self._data = data
        cursor = _Cursor(path, data)
        num_tensors = cursor.header()
        self.metadata = cursor.metadata()
        self.tensors = cursor.tensors(num_tensors, self._alignment())

    def rows(self, tensor: GgufTensor) -> npt.NDArray[np.uint8]:
        """The tensor's bytes, uint8 [rows, row_bytes]: a view of the file, valid only while it is open.

        Raises:
            ModelLoadingError: the layout of the tensor's type is unknown.
        """
        if tensor.row_bytes is None:
            message = f"tensor {tensor.name!r:.80} has the type {tensor.type_name}, whose layout is unknown"
            raise ModelLoadingError(str(self.path), message)
        count = tensor.num_rows * tensor.row_bytes
        flat = np.frombuffer(self._data, np.uint8, count, tensor.offset)
        return flat.reshape(tensor.num_rows, tensor.row_bytes)

    def release(self, tensor: GgufTensor) -> None:
        """Drop a tensor's pages from the process's memory. They are read from the file again on the next access."""
        start = tensor.offset // mmap.PAGESIZE * mmap.PAGESIZE
        end = tensor.offset + tensor.num_rows * (tensor.row_bytes or 0)
        if end > start:
            self._data.madvise(mmap.MADV_DONTNEED, start, end - start)

    def _alignment(self) -> int:
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 8 <= alignment <= 65536 or alignment % 8:
            raise ModelLoadingError(
                str(self.path), f"general.alignment is {alignment!r:.40}; it must be a multiple of 8 up to 65536"
            )
        return alignment


@contextmanager
def open_gguf(path: Path) -> Iterator[GgufFile]:
    """Map a file and read its header: everything before the tensors.

    Raises:
        ModelLoadingError: the file cannot be read, is not a GGUF file of version 2 or 3, or is truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelLoadingError(str(path), f"the file cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # mmap rejects empty files
        raise ModelLoadingError(str(path), "the file is empty") from error
    try:
        yield GgufFile(path, data)
    finally:
        try:
            data.close()
        except BufferError:
            # A view of the file is still alive, for example in a traceback; the map is closed when that is released.
            del data


class _Cursor:
    """Reads a file's header from start to end, with every read checked against the size of the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._size = len(data)
        self._position = 0

    def header(self) -> int:
        """Check magic and version, and return the number of tensors."""
        magic, version = self._unpack("4sI", "header")
        if magic != _MAGIC:
            raise self._error(f"this is not a GGUF file: it starts with {magic!r}")
        if version not in _VERSIONS:
            if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
                raise self._error("big-endian GGUF files are not supported")
            raise self._error(f"GGUF version {version} is not supported; only 2 and 3 are")
        num_tensors, self._num_entries = self._unpack("QQ", "header")
        self._require(num_tensors * _MIN_TENSOR_RECORD_BYTES, f"{num_tensors} tensor records")
        return int(num_tensors)

    def metadata(self) -> dict[str, MetadataValue]:
        self._require(self._num_entries * _MIN_ENTRY_BYTES, f"{self._num_entries} metadata entries")
        entries: dict[str, MetadataValue] = {}
        for _ in range(self._num_entries):
            key = self._string("a metadata key")
            (type_id,) = self._unpack("I", key)
            entries[key] = self._value(type_id, key, depth=0)
        return entries

    def tensors(self, num_tensors: int, alignment: int) -> dict[str, GgufTensor]:
        records = [self._tensor_record() for _ in range(num_tensors)]
        start = -(-self._position // alignment) * alignment
        tensors: dict[str, GgufTensor] = {}
        for name, type_id, shape, offset in records:
            if name in tensors:
                raise self._error(f"tensor {name!r:.80} is defined twice")
            tensors[name] = self._locate(name, type_id, shape, start + offset)
        return tensors

    def _tensor_record(self) -> tuple[str, int, tuple[int, ...], int]:
        name = self._string("a tensor's name")
        (num_dimensions,) = self._unpack("I", name)
        if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
            raise self._error(f"tensor {name!r:.80} has {num_dimensions} dimensions, not 1 to {_MAX_DIMENSIONS}")
        dimensions = self._unpack(f"{num_dimensions}Q", name)
        type_id, offset = self._unpack("IQ", name)
        return name, type_id, dimensions[::-1], offset

    def _locate(self, name: str, type_id: int, shape: tuple[int, ...], offset: int) -> GgufTensor:
        type_name = _TYPE_NAMES.get(type_id, f"number {type_id}")
        if type_name not in _BLOCKS:
            return GgufTensor(name, type_name, shape, offset, None)
        block_elements, block_bytes = _BLOCKS[type_name]
        if 0 in shape or shape[-1] % block_elements:
            raise self._error(f"tensor {name!r:.80} of type {type_name} cannot have the shape {shape}")
        tensor = GgufTensor(name, type_name, shape, offset, shape[-1] // block_elements * block_bytes)
        end = offset + tensor.num_rows * (tensor.row_bytes or 0)
        if end > self._size:
            raise self._error(f"the file is truncated: tensor {name!r:.80} ends at byte {end} of {self._size}")
        return tensor

    def _value(self, type_id: int, key: str, *, depth: int) -> MetadataValue:
        if type_id == _STRING:
            return self._string(key)
        if type_id == _ARRAY:
            return self._array(key, depth=depth + 1)
        if type_id not in _SCALARS:
            raise self._error(f"metadata {key!r:.80} has the unknown type {type_id}")
        value: MetadataValue = self._unpack(_SCALARS[type_id], key)[0]
        return value

    def _array(self, key: str, *, depth: int) -> list[MetadataValue]:
        type_id, count = self._unpack("IQ", key)
        if depth > _MAX_NESTED_ARRAYS:
            raise self._error(f"metadata {key!r:.80} nests arrays more than {_MAX_NESTED_ARRAYS} levels deep")
        if type_id in _SCALARS:
            code = _SCALARS[type_id]
            self._require(count * struct.calcsize(code), f"metadata {key!r:.80} with {count} items")
            return list(self._unpack(f"{count}{code}", key))
        self._require(count * _MIN_STRING_BYTES, f"metadata {key!r:.80} with {count} items")
        if type_id == _STRING:
            return self._strings(count, key)
        return [self._value(type_id, key, depth=depth) for _ in range(count)]

    def _string(self, what: str) -> str:
        (length,) = self._unpack("Q", what)
        self._require(length, f"{what!r:.80} of {length} bytes")
        start, self._position = self._position, self._position + length
        return self._data[start : self._position].decode("utf-8", "replace")

    def _strings(self, count: int, what: str) -> list[MetadataValue]:
        """In a loop of its own, since a vocabulary has half a million of them."""
        data, texts, end, last = self._data, list[MetadataValue](), self._position, self._size - _LENGTH.size
        for _ in range(count):
            start = end + _LENGTH.size
            if end > last or (end := start + _LENGTH.unpack_from(data, end)[0]) > self._size:
                self._position = start - _LENGTH.size
                self._string(what)  # raises
            texts.append(str(data[start:end], "utf-8", "replace"))
        self._position = end
        return texts

    def _unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        layout = "<" + layout
        size = struct.calcsize(layout)
        self._require(size, what)
        values = struct.unpack_from(layout, self._data, self._position)
        self._position += size
        return values

    def _require(self, num_bytes: int, what: str) -> None:
        if num_bytes > self._size - self._position:
            raise self._error(f"the file is truncated or damaged: {what} at byte {self._position} of {self._size}")

    def _error(self, message: str) -> ModelLoadingError:
        return ModelLoadingError(str(self._path), message)
