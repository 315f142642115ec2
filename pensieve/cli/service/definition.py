"""What the service runs, and the environment that it gets: that of the command which installs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pensieve.cli.settings.names import known_variables
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import Settings
from pensieve.cli.settings.settings_file import FILE_VARIABLE, read_settings_file
from pensieve.cli.settings.table import TABLE
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.library.user_path import user_path

SERVE: Final = (sys.executable, "-P", "-m", "pensieve", "serve")
"""-P: the current folder is the user's home, and no module is to be imported from there."""
_OF_OTHER_COMMANDS: Final = frozenset({"PENSIEVE_CLAUDE"})
_FILES: Final = (FILE_VARIABLE, HOME_VARIABLE, "HF_HOME", "HF_HUB_CACHE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_MODELS: Final = ("PENSIEVE_MODEL", "PENSIEVE_DRAFT_MODEL", "PENSIEVE_ALLOW_MODELS")
_OTHERS: Final = ("HF_ENDPOINT", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class ServiceError(Exception):
    """The service cannot be managed. The message says why and how to fix it."""


@dataclass(frozen=True, slots=True)
class Definition:
    """`variables` may hold keys, so what is written from it is for the user's eyes alone."""

    command: tuple[str, ...]
    variables: Mapping[str, str]
    settings: Settings


def define(environment: Mapping[str, str], folder: Path) -> Definition:
    """The service with the settings that `pensieve serve` would have in this environment and this folder.

    Raises:
        ServiceError: a service cannot have them.
        SettingsError: one is wrong.
    """
    variables = {name: _absolute(name, value, folder) for name, value in environment.items() if _is_kept(name, value)}
    settings = settings_of(variables)
    if not settings.port:
        raise ServiceError("port 0 would be another port at each start; set PENSIEVE_PORT to the one that clients use")
    return Definition(SERVE, variables, settings)


def settings_of(variables: Mapping[str, str]) -> Settings:
    """The settings of a service with these variables, and with the settings file that it reads at each start.

    Raises:
        SettingsError: one is wrong.
    """
    return read_settings(argparse.Namespace(), variables, read_settings_file(environment=variables))


def _is_kept(name: str, value: str) -> bool:
    is_ours = name in known_variables() and name not in _OF_OTHER_COMMANDS
    return bool(value) and (is_ours or name in _FILES or name.upper() in _OTHERS)


def _absolute(name: str, value: str, folder: Path) -> str:
    """The service runs in another folder, so paths that are relative to this one are completed."""
    if name in _FILES or name in _path_settings():
        return os.path.normpath(folder / user_path(value))
    if name in _MODELS:
        return ",".join(_absolute_model(model, folder) for model in value.split(","))
    return value


def _absolute_model(model: str, folder: Path) -> str:
    path = folder / user_path(model)
    return os.path.normpath(path) if os.sep in model and os.path.exists(path) else model


def _path_settings() -> set[str]:
    return {setting.variable for setting in TABLE if setting.is_path}
