"""The SHA-256 of files that may be gigabytes: with progress reports, and cached until the file changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from pensieve.models.files.memo import Memo
from pensieve.models.files.progress import Progress

_MEMO_FILE: Final = "file-sums.json"
_CHUNK_BYTES: Final = 1 << 22
_adding: Final = Lock()


def sha256_of(path: Path, report: Callable[[int], None]) -> str:
    """In hexadecimal. `report` gets the number of bytes read so far.

    Raises:
        OSError: the file cannot be read.
    """
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
            report(num_bytes)
    return digest.hexdigest()


def cached_sha256(paths: Iterable[Path], progress: Progress) -> list[str]:
    """The SHA-256 of each file, in hexadecimal. A file is read again only if its path, size, modification time or
    inode has changed.

    Raises:
        OSError: a file cannot be read.
    """
    memo = Memo(_MEMO_FILE)
    cached, computed, digests = memo.read(), dict[str, str](), []
    for path in paths:
        key = _key(path)
        digest = cached.get(key)
        if not isinstance(digest, str):
            with progress.track(f"Reading {path.name}", path.stat().st_size) as report:
                digest = computed[key] = sha256_of(path, report)
        digests.append(digest)
    if computed:
        memo.add(computed)
    return digests


def recomputed_sha256(path: Path) -> tuple[str, str | None]:
    """The SHA-256 of a file that is read in any case, and that which was cached for it. It is cached if none was.

    Raises:
        OSError: the file cannot be read.
    """
    memo = Memo(_MEMO_FILE)
    key = _key(path)
    digest, earlier = sha256_of(path, lambda _: None), memo.read().get(key)
    if not isinstance(earlier, str):
        with _adding:
            memo.add({key: digest})
        return digest, None
    return digest, earlier


def _key(path: Path) -> str:
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
