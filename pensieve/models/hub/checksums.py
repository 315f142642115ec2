"""Whether a file is what the hub has: SHA-256 of what it keeps beside git (weights), git's SHA-1 of the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pensieve.core.errors import ModelLoadingError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_CHUNK_BYTES = 1 << 20


def expected_sum(file: RepoFile) -> str:
    """What the hub says of the file: a SHA-256, of 64 digits, or git's SHA-1 of a blob, of 40."""
    return file.lfs.sha256 if file.lfs is not None else file.blob_id


def sum_of(path: Path, like: str) -> str:
    """The file's sum, of the same kind as `like`.

    Raises:
        OSError: it cannot be read.
    """
    if len(like) == 64:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def require_published(source: str, snapshot: Path, files: Iterable[RepoFile]) -> None:
    """Compare files of a snapshot with what the hub says of them; those that differ are deleted, so that the next pull
    fetches them anew.

    Raises:
        ModelLoadingError: a file differs; it is named.
    """
    different = []
    for file in files:
        path = snapshot / file.path
        found = sum_of(path, expected_sum(file))
        if found != expected_sum(file):
            different.append(f"{file.path} (sum {found[:16]}…, the hub's is {expected_sum(file)[:16]}…)")
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    if different:
        raise ModelLoadingError(
            source,
            f"not what the hub has, and deleted: {', '.join(different)}. Pull it again; if it stays so, a proxy or a "
            "mirror may have changed it, or the disk is failing",
        )
