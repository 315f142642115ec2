"""Writing a file so that readers see its old content or its new content, never a part of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: Path, *, prefix: str | None = None, durable: bool = False) -> Iterator[BinaryIO]:
    """A temporary file beside `path` that replaces it once the block ends without an error.

    With `durable`, content and name are on the disk when the block ends, so they survive a power cut. `prefix` is the
    start of the temporary file's name.

    Raises:
        OSError: as from writing any file; the temporary file is removed.
    """
    handle, name = tempfile.mkstemp(prefix=prefix or f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
