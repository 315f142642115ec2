"""Whether a file is the one on the hub: by SHA-256 for files in Git LFS (weights), by git's SHA-1 for others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pensieve.core.errors import ModelLoadingError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_CHUNK_BYTES = 1 << 20
_SHA256_DIGITS = 64


def expected_sum(file: RepoFile) -> str:
    """The checksum that the hub lists: a SHA-256 of 64 digits, or the SHA-1 of a git blob, of 40."""
    return file.lfs.sha256 if file.lfs is not None else file.blob_id


def sum_of(path: Path, like: str) -> str:
    """The file's checksum, of the same kind as `like`.

    Raises:
        OSError: it cannot be read.
    """
    if len(like) == _SHA256_DIGITS:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def require_published(source: str, snapshot: Path, files: Iterable[RepoFile]) -> None:
    """Compare a snapshot's files with the hub's checksums. Files that differ are deleted, so that the next pull fetches
    them again.

    Raises:
        ModelLoadingError: it names the files that differ.
    """
    different = []
    for file in files:
        path = snapshot / file.path
        found = sum_of(path, expected_sum(file))
        if found != expected_sum(file):
            different.append(f"{file.path} (checksum {found[:16]}…, on the hub {expected_sum(file)[:16]}…)")
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    if different:
        raise ModelLoadingError(
            source,
            f"files differ from the hub's and were deleted: {', '.join(different)}. Pull the model again; if the error "
            "stays, a proxy or mirror may be changing files, or the disk is failing",
        )
