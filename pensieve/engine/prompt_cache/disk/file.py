"""One file of the disk tier: some tokens of a prompt and the KV cache that a model computed for them (C2).

    magic, 8 bytes | length of the header, u64 little endian | SHA-256 of the header | header, JSON | arrays' bytes

The header holds the SHA-256 of the arrays' bytes. The file's name is its key: a hash of the model's fingerprint, of the
tokens, and of all tokens before them. A file is written under a temporary name, synced and renamed, so under its own
name it is complete; the checksums detect a disk that loses data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from pensieve.engine.kv.blocks import HostArray, KVBlock, key_of
from pensieve.models.files.atomic_file import atomic_file

SUFFIX: Final = ".kv"
TEMPORARY_PREFIX: Final = ".writing-"
_MAGIC: Final = b"PENSVKV1"
_FIXED_BYTES: Final = len(_MAGIC) + 8 + 32
_MAX_HEADER_BYTES: Final = 256 << 20


class DamagedFileError(Exception):
    """A file does not match its name: truncated, changed, or not written by this module."""


@dataclass(frozen=True, slots=True)
class Header:
    """`num_bytes` is the size of the whole file."""

    fingerprint: str
    parent: str
    token_ids: npt.NDArray[np.uint32]
    form: Any
    arrays: tuple[tuple[str, tuple[int, ...], int], ...]
    sha256: str
    num_bytes: int


def path_of(folder: Path, key: str) -> Path:
    return folder / f"{key}{SUFFIX}"


def packed_header(block: KVBlock) -> bytes:
    """Everything before the arrays' bytes."""
    digest = hashlib.sha256()
    for array in block.arrays:
        digest.update(array.data.data)
    header = json.dumps(
        {
            "fingerprint": block.fingerprint,
            "parent": block.parent,
            "tokens": base64.b64encode(block.token_ids.astype("<u4").tobytes()).decode(),
            "form": block.form,
            "arrays": [[array.dtype, array.shape, array.data.nbytes] for array in block.arrays],
            "sha256": digest.hexdigest(),
        },
        separators=(",", ":"),
    ).encode()
    return _MAGIC + len(header).to_bytes(8, "little") + hashlib.sha256(header).digest() + header


def write_block(folder: Path, block: KVBlock, header: bytes) -> Path:
    """Write a block with its packed header, completely or not at all. Return its path.

    Raises:
        OSError: the file cannot be written; no part of it is left.
    """
    path = path_of(folder, block.key)
    with atomic_file(path, prefix=TEMPORARY_PREFIX, durable=True) as file:
        file.write(header)
        for array in block.arrays:
            file.write(array.data.data)
    return path


def read_header(path: Path) -> Header:
    """Read a file's header and check it against the file's name and size. Does not read the arrays.

    Raises:
        DamagedFileError: the file does not match its name.
        OSError: the file is missing or cannot be read.
    """
    with path.open("rb") as file:
        return _header(file, path)


def read_block(path: Path) -> KVBlock:
    """Read a whole file and verify its checksums.

    Raises:
        DamagedFileError: the file does not match its name or its checksum.
        OSError: the file is missing or cannot be read.
    """
    with path.open("rb") as file:
        header = _header(file, path)
        content = np.fromfile(file, np.uint8)
    if hashlib.sha256(content.data).hexdigest() != header.sha256:
        raise DamagedFileError(f"{path.name}: its content has changed")
    arrays, start = [], 0
    for dtype, shape, num_bytes in header.arrays:
        arrays.append(HostArray(dtype, shape, content[start : start + num_bytes]))
        start += num_bytes
    return KVBlock(header.fingerprint, header.parent, header.token_ids, header.form, arrays)


def _header(file: BinaryIO, path: Path) -> Header:
    fixed = file.read(_FIXED_BYTES)
    length = int.from_bytes(fixed[8:16], "little")
    if len(fixed) < _FIXED_BYTES or fixed[:8] != _MAGIC or length > _MAX_HEADER_BYTES:
        raise DamagedFileError(f"{path.name}: not a file of this format")
    text = file.read(length)
    if hashlib.sha256(text).digest() != fixed[16:]:
        raise DamagedFileError(f"{path.name}: its header is truncated or has changed")
    header = _parsed(text, path, _FIXED_BYTES + length)
    if os.fstat(file.fileno()).st_size != header.num_bytes:
        raise DamagedFileError(f"{path.name}: its size is not the one in its header")
    if path_of(path.parent, key_of(header.parent, header.token_ids)) != path:
        raise DamagedFileError(f"{path.name}: its content belongs under another name")
    return header


def _parsed(text: bytes, path: Path, before_bytes: int) -> Header:
    try:
        value = json.loads(text)
        arrays = tuple((str(dtype), tuple(map(int, shape)), int(size)) for dtype, shape, size in value["arrays"])
        token_ids = np.frombuffer(base64.b64decode(value["tokens"], validate=True), "<u4").astype(np.uint32)
        bytes.fromhex(value["parent"])
        num_bytes = before_bytes + sum(size for _, _, size in arrays)
        return Header(
            str(value["fingerprint"]), value["parent"], token_ids, value["form"], arrays, value["sha256"], num_bytes
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DamagedFileError(f"{path.name}: its header is incomplete") from error
