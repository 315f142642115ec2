"""Where Pensieve keeps its files: $PENSIEVE_HOME, or the user's cache folder."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import platformdirs

from pensieve.core.errors import ValidationError

HOME_VARIABLE = "PENSIEVE_HOME"
_FIX = f"set {HOME_VARIABLE} to a folder that can be written"
_PRIVATE = 0o700


def home() -> Path:
    """The folder may not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("pensieve")


def home_problem() -> str | None:
    """Why the folder can never exist, as a sentence with the fix."""
    try:
        folder = home()
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        is_possible = folder.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: `~name` of an unknown user
        return f"{HOME_VARIABLE} cannot be used ({error}); {_FIX}"
    return None if is_possible else f"{folder} is a file, not a folder; {_FIX}"


def writable_home() -> Path:
    """The folder, created if necessary.

    Raises:
        ValidationError: it cannot be created or written.
    """
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValidationError(HOME_VARIABLE, f"cannot create {folder} ({error.strerror}); {_FIX}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValidationError(HOME_VARIABLE, f"{folder} cannot be written; {_FIX}")
    return folder


def private_folder(path: Path) -> Path:
    """The folder, created if necessary, and closed to other users even if an earlier version left it open.

    Raises:
        OSError: it cannot be created.
    """
    path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # it belongs to another user
        if stat.S_IMODE(path.stat().st_mode) != _PRIVATE:
            path.chmod(_PRIVATE)
    return path


def models_folder() -> Path:
    """The parent of converted and copied models, one folder each."""
    return home() / "models"
