"""Folders that are made here, once: whole or not at all, whoever is killed and however many start together.

A folder is made under another name beside its place and renamed when it is complete, with a manifest that says what
belongs to it. Who makes it holds a lock that the operating system takes back from the dead; so whatever lies half made
while the lock is held was left by somebody who died.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.checksums import sha256_of
from pensieve.models.files.progress import Progress

MANIFEST: Final = "pensieve-manifest.json"
_MANIFEST_FORMAT: Final = 1
"""Raised when folders are made differently: those of an older form are then made anew."""


def make_folder(
    folder: Path, make: Callable[[Path], None], *, source: str, needed_bytes: int, progress: Progress
) -> None:
    """See to it that `folder` is there and whole. `make` fills an empty folder, and may leave work files in its parent.

    Raises:
        ModelLoadingError: the disk is full, or the place cannot be written; and whatever `make` raises.
    """
    if is_complete(folder):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder, source, progress):
            if not is_complete(folder):
                _make(folder, make, needed_bytes, progress)
    except OSError as error:
        raise ModelLoadingError(source, _say(error, folder, needed_bytes)) from error


def is_complete(folder: Path) -> bool:
    """Whether a folder was made to the end, and its files still have the sizes they had then."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"].items()
        return manifest["format"] == _MANIFEST_FORMAT and all(
            (folder / name).stat().st_size == entry["size"] for name, entry in files
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def _locked(folder: Path, source: str, progress: Progress) -> Iterator[None]:
    """The right to make a folder; says so when somebody else has it."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.print(f"Another process is preparing {source}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(folder: Path, make: Callable[[Path], None], needed_bytes: int, progress: Progress) -> None:
    prefix = f".making-{folder.name}-"
    for leftover in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if shutil.disk_usage(folder.parent).free < needed_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent, ignore_cleanup_errors=True) as work:
        made = Path(work, folder.name)
        made.mkdir()
        make(made)
        _write_manifest(made, progress)
        if folder.exists():
            folder.rename(Path(work, "damaged"))
        made.rename(folder)


def _write_manifest(folder: Path, progress: Progress) -> None:
    files, done = {}, 0
    sizes = {path: path.stat().st_size for path in sorted(folder.iterdir())}
    with progress.track(f"Checksums of {folder.name}", sum(sizes.values())) as report:
        for path, size in sizes.items():
            digest = sha256_of(path, lambda num_bytes, before=done: report(before + num_bytes))  # type: ignore[misc]
            files[path.name] = {"size": size, "sha256": digest}
            done += size
    manifest = {"format": _MANIFEST_FORMAT, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _say(error: OSError, folder: Path, needed_bytes: int) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"the disk of {folder.parent} is full: {needed_bytes / 1e6:.0f} MB are needed; "
            "make room, or set PENSIEVE_HOME to a folder on another disk"
        )
    return f"{folder.parent} cannot be written ({error}); set PENSIEVE_HOME to a folder that can"
