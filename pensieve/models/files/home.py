"""Where models are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "PENSIEVE_HOME"


def home() -> Path:
    """The folder of everything Pensieve keeps: $PENSIEVE_HOME, else the user's cache folder. It may not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("pensieve")


def models_folder() -> Path:
    """The folder that holds one folder for each model made here."""
    return home() / "models"
