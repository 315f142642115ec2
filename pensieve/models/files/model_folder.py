"""A model's folder: the result of resolving any name for a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's files in MLX format. `created_at` is an RFC 3339 time, `revision` the commit of a hub model, and
    `adapter` the folder of an adapter to apply to it.
    """

    path: Path
    id: str
    display_name: str
    created_at: str
    revision: str | None = None
    adapter: Path | None = None
