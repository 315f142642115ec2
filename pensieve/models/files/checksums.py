"""The SHA-256 of files that may be gigabytes, with news of it, and remembered for as long as a file stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pensieve.models.files.home import home
from pensieve.models.files.memo import remember, remembered
from pensieve.models.files.progress import Progress

_MEMORY: Final = "file-sums.json"
_CHUNK_BYTES: Final = 1 << 22


def sha256_of(path: Path, report: Callable[[int], None]) -> str:
    """The sum in hexadecimal; `report` gets the bytes that are read.

    Raises:
        OSError: the file cannot be read.
    """
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            report(done)
    return digest.hexdigest()


def remembered_sha256(path: Path, progress: Progress) -> str:
    """The sum in hexadecimal. The file is read the first time, and when place, size, time of change or inode differ.

    Raises:
        OSError: the file cannot be read.
    """
    memory, status = home() / _MEMORY, path.stat()
    at = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
    known = remembered(memory).get(at)
    if isinstance(known, str):
        return known
    with progress.track(f"Reading {path.name}", status.st_size) as report:
        digest = sha256_of(path, report)
    remember(memory, {at: digest})
    return digest
