"""Whether the weights are still the bytes of their first load.

A file that was changed on purpose has another modification time: it counts as a new file, with KV of its own in the
prompt cache. Other bytes under the same name, size, time and inode are damage.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_folder import is_complete, recorded_sha256
from pensieve.models.files.checksums import recomputed_sha256

_NUM_THREADS: Final = 4
"""One reads two gigabytes in a second, which is slower than an SSD."""


def require_unchanged(source: str, folder: Path, weights: list[Path]) -> None:
    """Read the files and compare their checksums with those of the first load, or record them if this is the first.

    Raises:
        ModelLoadingError: a byte has changed; it names the file. Or a file cannot be read.
    """
    recorded: Mapping[str, str] = recorded_sha256(folder) if is_complete(folder) else {}
    try:
        with ThreadPoolExecutor(_NUM_THREADS, "pensieve-checksum") as pool:
            found = list(pool.map(recomputed_sha256, weights))
    except OSError as error:
        raise ModelLoadingError(source, f"{error.filename} cannot be read: {error.strerror}") from error
    for path, (digest, earlier) in zip(weights, found, strict=True):
        if digest != recorded.get(path.name, earlier or digest):
            raise ModelLoadingError(
                source,
                f"{path} is damaged: its bytes differ from those of its first load, although its size and time do not; "
                f"fetch it again, or run `touch {path}` if you changed it on purpose",
            )
