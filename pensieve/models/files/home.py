"""Where Pensieve keeps its files: $PENSIEVE_HOME, or the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "PENSIEVE_HOME"


def home() -> Path:
    """The folder may not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("pensieve")


def models_folder() -> Path:
    """The parent of converted and copied models, one folder each."""
    return home() / "models"
