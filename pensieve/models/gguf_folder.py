"""A GGUF file of the user's, converted once and kept by its content."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf_convert import convert_gguf
from pensieve.models.home import models_folder
from pensieve.models.made_folder import make_folder
from pensieve.models.progress import Progress


def gguf_folder(path: Path, progress: Progress) -> Path:
    """The folder made of a GGUF file; the same content is converted once, wherever it lies.

    Raises:
        ModelLoadingError: it cannot be read or converted, or the disk is full.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelLoadingError(str(path), f"the file cannot be read: {error.strerror}") from error
    folder = models_folder() / f"{path.stem}-{digest[:16]}"
    needed_bytes = path.stat().st_size + 10_000_000
    make_folder(folder, partial(convert_gguf, path), source=str(path), needed_bytes=needed_bytes, progress=progress)
    return folder
