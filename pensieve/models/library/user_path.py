"""Paths that a user wrote, in an argument, a setting or names.json: they may be ones that no file can have."""

from __future__ import annotations

import os
from pathlib import Path


def user_path(text: str) -> Path:
    """With `~` as a home folder. `~name` without such a user stays as it is, as in a shell."""
    return Path(os.path.expanduser(text))


def is_folder(path: Path) -> bool:
    """Also False where the name is too long, has a null character, or lies where this user may not look."""
    return os.path.isdir(path)


def is_file(path: Path) -> bool:
    """As `is_folder`."""
    return os.path.isfile(path)
