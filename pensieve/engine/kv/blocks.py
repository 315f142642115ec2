"""Blocks: a span of prompt tokens with the bytes of their keys and values, held outside MLX (C2).

A block's key is a hash of all that its numbers depend on: the fingerprint, its own tokens and all tokens before them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

STATE_LAYOUTS: Final = frozenset({"whole", "state"})
"""The layouts, in a block's form, of complete states: alone, or after segments of the layers that can be cut."""


def root_key(fingerprint: str, secret: bytes = b"", namespace: str = "") -> str:
    """The parent key of blocks that start a prompt: without a `secret`, that of versions before there was one.

    All other keys follow from it. So with a secret, no guess of a prompt can be checked against the names of files.
    """
    if not secret:
        return hashlib.sha256(fingerprint.encode()).hexdigest()
    return hmac.new(secret, f"{fingerprint}\n{namespace}".encode(), hashlib.sha256).hexdigest()


def key_of(parent: str, token_ids: npt.NDArray[np.uint32]) -> str:
    """The key of the block that holds `token_ids`, following the blocks up to `parent`."""
    return hashlib.sha256(bytes.fromhex(parent) + token_ids.astype("<u4").tobytes()).hexdigest()


def keys_of_prefixes(
    parent: str, token_ids: npt.NDArray[np.uint32], lengths: Iterable[int]
) -> Iterator[tuple[int, str]]:
    """Pairs (length, `key_of` the first `length` tokens), for the ascending `lengths` that fit, in one pass."""
    digest, start = hashlib.sha256(bytes.fromhex(parent)), 0
    for length in lengths:
        if length <= len(token_ids):
            digest.update(token_ids[start:length].astype("<u4").tobytes())
            start = length
            yield length, digest.hexdigest()


def is_state(form: object) -> bool:
    """Whether a block of this form completes the state after its tokens; otherwise it is a segment."""
    return isinstance(form, dict) and form.get("layout") in STATE_LAYOUTS


@dataclass(frozen=True, slots=True)
class HostArray:
    """An array's bytes in row-major order. `dtype` is MLX's name for the type, since NumPy has no bfloat16."""

    dtype: str
    shape: tuple[int, ...]
    data: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class KVBlock:
    """The contents of one file. `form` is a JSON value that describes how the arrays belong together."""

    fingerprint: str
    parent: str
    token_ids: npt.NDArray[np.uint32]
    form: Any
    arrays: Sequence[HostArray]

    @property
    def key(self) -> str:
        return key_of(self.parent, self.token_ids)

    @property
    def is_state(self) -> bool:
        return is_state(self.form)

    @property
    def num_bytes(self) -> int:
        return sum(array.data.nbytes for array in self.arrays)
