"""The settings file: where it is, and what it sets (U5)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from pensieve.cli.settings.file import FileError, FileValue, TomlFile
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.library.user_path import user_path

FILE_VARIABLE: Final = "PENSIEVE_CONFIG"
FILE_NAME: Final = "config.toml"


def settings_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The file that PENSIEVE_CONFIG names, else one in PENSIEVE_HOME where that is set, else in the user's folder for
    settings. It may not exist.
    """
    if chosen := environment.get(FILE_VARIABLE):
        return user_path(chosen)
    kept = environment.get(HOME_VARIABLE)
    folder = user_path(kept) if kept else platformdirs.user_config_path("pensieve")
    return folder / FILE_NAME


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """`values` are by setting, `models` by model and setting. `problems` are sentences."""

    values: Mapping[str, FileValue] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, FileValue]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_settings_file(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> SettingsFile:
    """By default, that at `settings_path`. Empty if there is none and none was chosen."""
    path = path or settings_path(environment)
    if not path.exists() and not environment.get(FILE_VARIABLE):
        return SettingsFile()
    try:
        file = TomlFile.read(path)
    except FileError as error:
        return SettingsFile(problems=(str(error),))
    values, models = file.server_values(), file.models()
    return SettingsFile(values, models, tuple(file.problems))
