"""Everything that is wrong with the settings."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from pensieve.cli.settings.names import unknown_variables
from pensieve.cli.settings.read import find_values, read_settings
from pensieve.cli.settings.settings import SettingsError
from pensieve.cli.settings.settings_file import SettingsFile


def problems(arguments: argparse.Namespace, environment: Mapping[str, str], file: SettingsFile) -> tuple[str, ...]:
    """Sentences. Whether settings contradict each other can be seen only once each of them can be parsed."""
    found = find_values(arguments, environment, file).values()
    wrong = (*file.problems, *(each.problem for each in found if each.problem))
    return (*(wrong or _contradiction(arguments, environment, file)), *unknown_variables(environment))


def _contradiction(
    arguments: argparse.Namespace, environment: Mapping[str, str], file: SettingsFile
) -> tuple[str, ...]:
    try:
        read_settings(arguments, environment, file)
    except SettingsError as error:
        return (str(error),)
    return ()
