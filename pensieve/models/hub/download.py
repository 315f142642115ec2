"""Large files of the hub, resumed where an earlier download broke off, even that of a process that was killed.

huggingface_hub resumes only within one call, and deletes what it leaves behind (its 2.4 does). So what is large is
fetched here by its own HTTP download, beside the place in its cache where it belongs, and moved there when its
SHA-256 is right. Everything else of the cache is left to huggingface_hub.
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
"""The hub gives larger ones by its Xet protocol alone."""
_SPARE_BYTES: Final = 200_000_000
_FRUITLESS_TRIES: Final = 3


class HubFiles:
    """The files of one commit that are wanted, and the place in huggingface_hub's cache where they belong."""

    def __init__(self, name: str, commit: str, files: Iterable[RepoFile]) -> None:
        from huggingface_hub import constants  # noqa: PLC0415 - takes half a second to import
        from huggingface_hub.file_download import repo_folder_name  # noqa: PLC0415

        self.name, self.commit, self.files = name, commit, tuple(files)
        self._folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")

    @property
    def missing(self) -> list[RepoFile]:
        """Those whose content is not in the cache yet."""
        return [file for file in self.files if not self._blob(file).exists()]

    def _blob(self, file: RepoFile) -> Path:
        return self._folder / "blobs" / expected_sum(file)

    def _partial(self, file: RepoFile) -> Path:
        return self._blob(file).with_name(f"{expected_sum(file)}.pensieve.incomplete")

    def _bytes_there(self, file: RepoFile) -> int:
        with contextlib.suppress(OSError):
            return min(self._partial(file).stat().st_size, file.size)
        return 0

    def require_room(self, source: str) -> None:
        """
        Raises:
            ModelLoadingError: the disk has no room for what is missing; it gives the figures.
        """
        needed = sum(file.size - self._bytes_there(file) for file in self.missing)
        existing = next(folder for folder in (self._folder, *self._folder.parents) if folder.is_dir())
        free = shutil.disk_usage(existing).free
        if needed and free < needed + _SPARE_BYTES:
            raise ModelLoadingError(
                source,
                f"{needed / 1e9:.2f} GB are to be fetched, and the disk of {self._folder.parent} has "
                f"{free / 1e9:.2f} GB free, of which {_SPARE_BYTES / 1e9:.1f} GB are left alone; make room "
                "(`pensieve models remove NAME`), or set HF_HOME to a folder on another disk",
            )

    def fetch_large(self, source: str, progress: Progress) -> set[str]:
        """Have the large ones in the cache, whole and with the right sums; the sums of those that were fetched.

        Raises:
            ModelLoadingError: a file is not what the hub says it is; it was deleted.
            Exception: whatever huggingface_hub raises; what has arrived stays for the next try.
        """
        large = [file for file in self.missing if file.lfs is not None and _LARGE_BYTES <= file.size <= _MAX_HTTP_BYTES]
        if not large:
            return set()
        (self._folder / "blobs").mkdir(parents=True, exist_ok=True)
        there = sum(self._bytes_there(file) for file in large)
        if there:
            progress.print(f"Going on with a download that broke off: {there / 1e6:.0f} MB are there.")
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
            self._complete(file, cast("BinaryIO", _Counted(opened, report)))
        found = sum_of(partial, expected_sum(file))
        if found != expected_sum(file):
            partial.unlink()
            raise ModelLoadingError(
                source,
                f"{file.path} did not arrive as the hub has it (SHA-256 {found}, the hub's is {expected_sum(file)}), "
                "so it was deleted; pull it again. If it stays so, a proxy or a mirror may have changed it",
            )
        partial.replace(self._blob(file))

    def _complete(self, file: RepoFile, partial: BinaryIO) -> None:
        """Fetch what is missing of a file; tried again as long as every try brings something."""
        from huggingface_hub import constants, hf_hub_url  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # noqa: PLC0415

        url = hf_hub_url(self.name, file.path, revision=self.commit, endpoint=constants.ENDPOINT)
        fruitless = 0
        while True:
            before = partial.seek(0, 2)
            try:
                with without_bars():
                    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
                    http_get(url, partial, resume_size=before, headers=headers, expected_size=file.size)
            except OSError:  # the hub's refusals, the disk's, and a size that is not the announced one
                raise
            except Exception:  # what the HTTP library says of a connection that broke
                fruitless = 0 if partial.seek(0, 2) > before else fruitless + 1
                if fruitless >= _FRUITLESS_TRIES:
                    raise
            else:
                return


class _Counted:
    """A file that tells how long it has become."""

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
    """huggingface_hub draws none of its own bars: there is one for the whole download."""
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
