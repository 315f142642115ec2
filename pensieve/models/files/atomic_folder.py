"""Folders that exist complete or not at all, even if the process is killed or several processes create one at once.

A folder is filled under a temporary name beside its final place and renamed when it is complete, with a manifest of
its files. The process that fills it holds a lock, which the operating system releases when the process dies. So a
temporary folder found while holding the lock was left by a process that died, and is deleted.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.checksums import sha256_of
from pensieve.models.files.json_file import read_json
from pensieve.models.files.lock import exclusive
from pensieve.models.files.progress import Progress

MANIFEST: Final = "pensieve-manifest.json"
_MANIFEST_FORMAT: Final = 1
"""Increase it when folders get another layout: older folders are then created again."""


def make_folder(
    folder: Path, make: Callable[[Path], None], *, source: str, needed_bytes: int, progress: Progress
) -> None:
    """Create `folder` unless it is complete. `make` fills an empty folder; it may leave work files in its parent.

    Raises:
        ModelLoadingError: the disk is full or the folder cannot be written. Errors of `make` pass through.
    """
    if is_complete(folder):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(folder.with_name(f".{folder.name}.lock"), f"preparing {source}", progress):
            if not is_complete(folder):
                _make(folder, make, needed_bytes, progress)
    except OSError as error:
        raise ModelLoadingError(source, _explanation(error, folder, needed_bytes)) from error


def is_complete(folder: Path) -> bool:
    """Whether the folder has a manifest and every file in it still has its recorded size."""
    try:
        manifest: dict[str, Any] = read_json(folder / MANIFEST)
        files = manifest["files"].items()
        return manifest["format"] == _MANIFEST_FORMAT and all(
            (folder / name).stat().st_size == entry["size"] and isinstance(entry["sha256"], str)
            for name, entry in files
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def recorded_sha256(folder: Path) -> dict[str, str]:
    """The checksums of a complete folder's files, by name."""
    manifest = read_json(folder / MANIFEST)
    return {name: entry["sha256"] for name, entry in manifest["files"].items()}


def _make(folder: Path, make: Callable[[Path], None], needed_bytes: int, progress: Progress) -> None:
    prefix = f".making-{folder.name}-"
    for leftover in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if shutil.disk_usage(folder.parent).free < needed_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent, ignore_cleanup_errors=True) as work:
        new = Path(work, folder.name)
        new.mkdir()
        make(new)
        _write_manifest(new, progress)
        if folder.exists():
            folder.rename(Path(work, "damaged"))
        new.rename(folder)


def _write_manifest(folder: Path, progress: Progress) -> None:
    files, num_bytes = {}, 0
    sizes = {path: path.stat().st_size for path in sorted(folder.iterdir())}
    with progress.track(f"Checksums of {folder.name}", sum(sizes.values())) as report:
        for path, size in sizes.items():
            digest = sha256_of(path, lambda read_bytes, before=num_bytes: report(before + read_bytes))  # type: ignore[misc]
            files[path.name] = {"size": size, "sha256": digest}
            num_bytes += size
    manifest = {"format": _MANIFEST_FORMAT, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _explanation(error: OSError, folder: Path, needed_bytes: int) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"the disk of {folder.parent} is full: {needed_bytes / 1e6:.0f} MB are needed; "
            "free some space, or set PENSIEVE_HOME to a folder on another disk"
        )
    return f"{folder.parent} cannot be written ({error}); set PENSIEVE_HOME to a folder that can"
