"""The converted form of a user's GGUF file: created once, and found again by the file's content."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_folder import is_complete, make_folder
from pensieve.models.files.checksums import cached_sha256
from pensieve.models.files.home import models_folder
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.convert import convert_gguf, planned_model
from pensieve.models.gguf.file import open_gguf

_MAX_TOKENIZER_BYTES = 50_000_000
"""The files beside the weights. Those of the largest vocabularies take 30 MB."""


def gguf_folder(path: Path, progress: Progress) -> Path:
    """The folder in MLX format that a GGUF file converts to. The same content is converted once, whatever its path.

    The file is read at the first call only: its checksum is cached until its size, modification time or inode changes.

    Raises:
        ModelLoadingError: the file cannot be read or converted, or the disk is full.
    """
    try:
        (digest,) = cached_sha256([path], progress)
    except OSError as error:
        raise ModelLoadingError(str(path), f"the file cannot be read: {error.strerror}") from error
    folder = models_folder() / f"{path.stem}-{digest[:16]}"
    if not is_complete(folder):
        convert = partial(convert_gguf, path, progress=progress)
        make_folder(folder, convert, source=str(path), needed_bytes=_needed_bytes(path), progress=progress)
    return folder


def _needed_bytes(path: Path) -> int:
    with open_gguf(path) as gguf:
        _, specs = planned_model(gguf)
    return sum(spec.num_bytes for spec in specs) + _MAX_TOKENIZER_BYTES
