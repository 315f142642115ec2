"""Blocks: the tokens of a stretch of prompt, and the bytes of what a model computed for them, outside MLX (C2).

A block's key is a hash of everything that its numbers depend on: the fingerprint, its own tokens, and all tokens before
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


def root_key(fingerprint: str) -> str:
    """The parent of whatever starts a prompt."""
    return hashlib.sha256(fingerprint.encode()).hexdigest()


def key_of(parent: str, token_ids: npt.NDArray[np.uint32]) -> str:
    """The name of the file that holds `token_ids` after all that leads to `parent`."""
    return hashlib.sha256(bytes.fromhex(parent) + token_ids.astype("<u4").tobytes()).hexdigest()


def keys_of_prefixes(
    parent: str, token_ids: npt.NDArray[np.uint32], lengths: Iterable[int]
) -> Iterator[tuple[int, str]]:
    """`key_of` for the first so many tokens, for each of the ascending lengths that there are; read once."""
    digest, start = hashlib.sha256(bytes.fromhex(parent)), 0
    for length in lengths:
        if length <= len(token_ids):
            digest.update(token_ids[start:length].astype("<u4").tobytes())
            start = length
            yield length, digest.hexdigest()


@dataclass(frozen=True, slots=True)
class HostArray:
    """An array's bytes in row-major order. `dtype` is MLX's name of the type: NumPy has no bfloat16."""

    dtype: str
    shape: tuple[int, ...]
    data: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class KVBlock:
    """What one file holds. `form` is a JSON value that says how the arrays belong together."""

    fingerprint: str
    parent: str
    token_ids: npt.NDArray[np.uint32]
    form: Any
    arrays: Sequence[HostArray]
    is_state: bool = False
    """Whether it is all that there is after these tokens, not a block among others. Not written: `form` tells it."""

    @property
    def key(self) -> str:
        return key_of(self.parent, self.token_ids)

    @property
    def num_bytes(self) -> int:
        """Of the arrays."""
        return sum(array.data.nbytes for array in self.arrays)
