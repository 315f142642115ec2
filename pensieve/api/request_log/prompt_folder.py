"""Writes prompts and answers to a folder, for debugging, where a user asks for it (U7).

Each request gets two files: `TIME-ID.request.json` with its body as it came, and `TIME-ID.answer.txt` with the answer's
body as it was sent. ID is the request id of the log. Headers, and so keys, are in neither.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Final

from pensieve.core.errors import ValidationError

log = logging.getLogger(__name__)

MAX_FOLDER_BYTES: Final = 1000**3
"""Or half of what is free on the disk, if that is less. The oldest files are removed when there are more bytes."""
MAX_FILES: Final = 10_000
"""Beyond them the oldest are removed as well: small files take more of a disk than their bytes, and listing many of
them would delay all requests.
"""
_KEPT_SHARE: Final = 0.9
"""When files are removed, so that it is not done for each request."""
_PATTERN: Final = "*-req_*.*"


class PromptFolder:
    def __init__(self, path: Path, max_bytes: int = MAX_FOLDER_BYTES, max_files: int = MAX_FILES) -> None:
        """
        Raises:
            ValidationError: the folder cannot be written, or others can read it.
        """
        self.path = path
        self._max_bytes, self._max_files = max_bytes, max_files
        self._num_bytes = self._num_files = 0
        self._has_failed = False
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.stat().st_mode & 0o077:
                raise ValidationError(
                    "--log-prompts", f"others can read {path}: run chmod 700 {path}, or name a new folder"
                )
            self._remove_oldest()
            self._max_bytes = min(max_bytes, self._num_bytes + shutil.disk_usage(path).free // 2)
        except OSError as error:
            raise ValidationError("--log-prompts", f"{path} cannot be written: {error.strerror or error}") from error

    @staticmethod
    def name_of(request_id: str) -> str:
        return f"{time.strftime('%Y%m%d-%H%M%S')}-{request_id}"

    def append(self, name: str, data: bytes) -> None:
        """A file that cannot be written costs one warning, and never an answer."""
        try:
            fd = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            with open(fd, "ab", buffering=0) as file:
                self._num_files += file.tell() == 0
                file.write(data)
            self._num_bytes += len(data)
            if not self._fits(1.0):
                self._remove_oldest()
        except OSError as error:
            if not self._has_failed:
                log.warning("prompts and answers cannot be written to %s: %s", self.path, error)
            self._has_failed = True

    def _remove_oldest(self) -> None:
        files = sorted(self.path.glob(_PATTERN))
        sizes = {file: file.stat().st_size for file in files if file.is_file()}
        self._num_bytes, self._num_files = sum(sizes.values()), len(sizes)
        share = 1.0 if self._fits(1.0) else _KEPT_SHARE
        for file, size in sizes.items():
            if self._fits(share):
                return
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
            self._num_bytes -= size
            self._num_files -= 1

    def _fits(self, share: float) -> bool:
        return self._num_bytes <= share * self._max_bytes and self._num_files <= share * self._max_files
