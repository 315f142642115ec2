"""The secret that keys the names of blocks, so that a list of the files does not confirm a guess of a prompt."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from pensieve.models.files.home import private_folder

log = logging.getLogger(__name__)

NAME: Final = ".secret"
_NUM_BYTES: Final = 32


def secret_of(folder: Path) -> bytes:
    """The folder's secret, made if it has none. If it can be neither read nor written, one for this process alone: then
    blocks stored before are not found.
    """
    path = folder / NAME
    try:
        if not path.exists():
            _make(path)
        secret = path.read_bytes()
    except OSError as error:
        log.debug("%s cannot be used: %s", path, error)
        return secrets.token_bytes(_NUM_BYTES)
    if len(secret) >= _NUM_BYTES:
        return secret
    log.warning("%s is damaged and is replaced: the prompts stored before are computed again", path)
    path.unlink(missing_ok=True)
    return secret_of(folder)


def _make(path: Path) -> None:
    """Whole, or not at all. Of two processes that do this at once, one makes it."""
    private_folder(path.parent)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=NAME) as file:  # mode 0600
        file.write(secrets.token_bytes(_NUM_BYTES))
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            log.debug("another process has made %s", path)
