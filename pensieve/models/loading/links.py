"""A model's folder without the files of weights that are not part of it, for mlx-lm, which reads all that it finds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pensieve.models.safetensors.shards import stray_weight_files


@contextmanager
def without_strays(folder: Path) -> Iterator[Path]:
    """The folder itself; where stray files of weights lie in it, a temporary one of links to all others.

    What was opened through a link stays readable after the links are gone.
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
