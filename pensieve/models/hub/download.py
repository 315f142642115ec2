"""Downloads of large hub files that resume after an interruption, even one that killed the process.

huggingface_hub resumes only within one call, and its versions from 2.4 on delete partial files. So large files are
fetched here, with its HTTP download, into a partial file in its own cache; the file gets its final name once its
SHA-256 is right. huggingface_hub does everything else in the cache.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import Progress
from pensieve.models.hub.checksums import expected_sum, sum_of

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_LARGE_BYTES: Final = 1_000_000
_MAX_HTTP_BYTES: Final = 50 * 1000**3
"""The hub serves larger files only through its Xet protocol."""
_SPARE_BYTES: Final = 200_000_000
_MAX_FRUITLESS_TRIES: Final = 3


class HubFiles:
    """The wanted files of one commit, and where they belong in huggingface_hub's cache."""

    def __init__(self, name: str, commit: str, files: Iterable[RepoFile]) -> None:
        from huggingface_hub import constants  # noqa: PLC0415 - takes half a second to import
        from huggingface_hub.file_download import repo_folder_name  # noqa: PLC0415

        self.name, self.commit, self.files = name, commit, tuple(files)
        self._folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")

    @property
    def missing(self) -> list[RepoFile]:
        """The files whose content is not in the cache yet."""
        return [file for file in self.files if not self._blob(file).exists()]

    def _blob(self, file: RepoFile) -> Path:
        return self._folder / "blobs" / expected_sum(file)

    def _partial(self, file: RepoFile) -> Path:
        return self._blob(file).with_name(f"{expected_sum(file)}.pensieve.incomplete")

    def _fetched_bytes(self, file: RepoFile) -> int:
        with contextlib.suppress(OSError):
            return min(self._partial(file).stat().st_size, file.size)
        return 0

    def require_disk_space(self, source: str) -> None:
        """
        Raises:
            ModelLoadingError: the missing files do not fit on the disk; it gives the figures.
        """
        needed = sum(file.size - self._fetched_bytes(file) for file in self.missing)
        existing = next(folder for folder in (self._folder, *self._folder.parents) if folder.is_dir())
        free = shutil.disk_usage(existing).free
        if needed and free < needed + _SPARE_BYTES:
            raise ModelLoadingError(
                source,
                f"{needed / 1e9:.2f} GB must be fetched, and the disk of {self._folder.parent} has {free / 1e9:.2f} GB "
                f"free, of which {_SPARE_BYTES / 1e9:.1f} GB are kept free; make room with `pensieve models remove "
                "NAME`, or set HF_HOME to a folder on another disk",
            )

    def fetch_large(self, source: str, progress: Progress) -> set[str]:
        """Fetch the missing large files into the cache, and return their checksums.

        Raises:
            ModelLoadingError: a file's checksum is wrong; the file was deleted.
            Exception: from huggingface_hub; what has arrived is kept for the next try.
        """
        large = [file for file in self.missing if file.lfs is not None and _LARGE_BYTES <= file.size <= _MAX_HTTP_BYTES]
        if not large:
            return set()
        (self._folder / "blobs").mkdir(parents=True, exist_ok=True)
        fetched_bytes = sum(self._fetched_bytes(file) for file in large)
        if fetched_bytes:
            progress.print(f"Resuming an interrupted download: {fetched_bytes / 1e6:.0f} MB are here already.")
        with progress.track(f"Downloading {source}", sum(file.size for file in large)) as report:
            done = 0
            for file in large:
                self._fetch(file, source, lambda num_bytes, before=done: report(before + num_bytes))  # type: ignore[misc]
                done += file.size
                report(done)
        return {expected_sum(file) for file in large}

    def _fetch(self, file: RepoFile, source: str, report: Callable[[int], None]) -> None:
        partial = self._partial(file)
        with partial.open("ab") as opened:
            if opened.tell() > file.size:
                opened.truncate(0)
            self._complete(file, cast("BinaryIO", _ReportingFile(opened, report)))
        found = sum_of(partial, expected_sum(file))
        if found != expected_sum(file):
            partial.unlink()
            raise ModelLoadingError(
                source,
                f"{file.path} arrived with the wrong SHA-256 ({found}; on the hub it is {expected_sum(file)}) and was "
                "deleted; pull the model again. If the error stays, a proxy or mirror may be changing files",
            )
        partial.replace(self._blob(file))

    def _complete(self, file: RepoFile, partial: BinaryIO) -> None:
        """Fetch the rest of a file. Broken connections are retried until several tries in a row bring nothing."""
        from huggingface_hub import constants, hf_hub_url  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # noqa: PLC0415

        url = hf_hub_url(self.name, file.path, revision=self.commit, endpoint=constants.ENDPOINT)
        fruitless_tries = 0
        while True:
            before = partial.seek(0, 2)
            try:
                with without_bars():
                    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
                    http_get(url, partial, resume_size=before, headers=headers, expected_size=file.size)
            except OSError:  # the hub refused, the disk failed, or the size is wrong: trying again would not help
                raise
            except Exception:  # the HTTP library's errors for a broken connection
                fruitless_tries = 0 if partial.seek(0, 2) > before else fruitless_tries + 1
                if fruitless_tries >= _MAX_FRUITLESS_TRIES:
                    raise
            else:
                return


class _ReportingFile:
    """A file that reports its length after each write."""

    def __init__(self, file: BinaryIO, report: Callable[[int], None]) -> None:
        self._file, self._report = file, report

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self._report(self._file.tell())
        return written

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Turn off huggingface_hub's progress bars: one bar shows the whole download."""
    from huggingface_hub.utils.tqdm import (  # noqa: PLC0415
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
