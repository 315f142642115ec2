"""A view of a model's folder without stray weight files, as mlx-lm reads every weight file that it finds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pensieve.models.safetensors.shards import stray_weight_files


@contextmanager
def without_strays(folder: Path) -> Iterator[Path]:
    """The folder itself; if it has stray weight files, a temporary folder of links to all other files.

    Files that were opened through a link stay readable after the links are removed.
    """
    strays = set(stray_weight_files(folder))
    if not strays:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pensieve-") as links:
        for path in folder.iterdir():
            if path not in strays:
                Path(links, path.name).symlink_to(path.resolve())
        yield Path(links)
