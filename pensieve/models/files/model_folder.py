"""A model's folder: what every source that a user names comes down to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's files in mlx-lm's form. `created_at` is an RFC 3339 time; `revision` the hub's commit, if it is one;
    `adapter` the folder of an adapter that is to be put onto it.
    """

    path: Path
    id: str
    display_name: str
    created_at: str
    revision: str | None = None
    adapter: Path | None = None
