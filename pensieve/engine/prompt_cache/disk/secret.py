"""The secret that keys the names of blocks, so that a list of the files does not confirm a guess of a prompt."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Final

from pensieve.engine.prompt_cache.disk.folder import KVFolder
from pensieve.models.files.atomic_file import atomic_file

log = logging.getLogger(__name__)

NAME: Final = ".secret"
_NUM_BYTES: Final = 32


def secret_of(folder: KVFolder) -> bytes:
    """The folder's secret, made if it has none. If it can be neither read nor written, one for this process alone: then
    blocks that were stored with another are not found.
    """
    path = folder.path / NAME
    try:
        if not _is_whole(path):
            with folder.locked():
                _make(path)
        return path.read_bytes()
    except OSError as error:
        log.debug("%s cannot be used: %s", path, error)
        return secrets.token_bytes(_NUM_BYTES)


def _is_whole(path: Path) -> bool:
    return path.exists() and path.stat().st_size == _NUM_BYTES


def _make(path: Path) -> None:
    """The caller holds the folder's lock: another process may just have made it."""
    if _is_whole(path):
        return
    if path.exists():
        log.warning("%s is damaged and is replaced: the prompts stored before are computed again", path)
    with atomic_file(path, durable=True) as file:  # mode 0600
        file.write(secrets.token_bytes(_NUM_BYTES))
