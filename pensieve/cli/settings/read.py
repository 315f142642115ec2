"""Where a setting comes from: a flag, else an environment variable, else the settings file, else the default (U5)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from pensieve.api.http.access import is_loopback
from pensieve.cli.settings.model_settings import as_tables
from pensieve.cli.settings.model_table import ModelTables, model_table
from pensieve.cli.settings.setting import Setting
from pensieve.cli.settings.settings import Settings, SettingsError
from pensieve.cli.settings.settings_file import SettingsFile, read_settings_file
from pensieve.cli.settings.table import TABLE


class Source(IntEnum):
    """The higher, the stronger."""

    DEFAULT = 0
    FILE = 1
    VARIABLE = 2
    FLAG = 3


@dataclass(frozen=True, slots=True)
class FoundValue:
    """`origin` is a flag, a variable, FILE:LINE or `default`, `text` the value as it is there, and `problem` what is
    wrong with it.
    """

    setting: Setting
    value: Any
    source: Source
    origin: str
    text: str
    problem: str | None = None


def find_values(
    arguments: argparse.Namespace, environment: Mapping[str, str], file: SettingsFile
) -> Mapping[str, FoundValue]:
    """The value of each setting by its name."""
    return {setting.name: _found(setting, arguments, environment, file) for setting in TABLE}


def read_settings(
    arguments: argparse.Namespace,
    environment: Mapping[str, str] = os.environ,
    file: SettingsFile = SettingsFile(),  # noqa: B008 - frozen
) -> Settings:
    """The settings from flags, environment variables, the file and defaults, in this order of precedence.

    Raises:
        SettingsError: a value cannot be parsed, two contradict each other, or a network address has no key (W19).
    """
    found = find_values(arguments, environment, file)
    problems = (*(each.problem for each in found.values() if each.problem), *file.problems)
    if problems:
        others = f" (`pensieve config check` names {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SettingsError(problems[0] + others)
    settings = Settings(**{name: each.value for name, each in found.items()}, models=_model_tables(found, file))
    return _checked(_without_weaker_draft(settings, found))


def configured_text(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """What the environment, else the settings file, has for a setting, for commands other than `serve`."""
    found = find_values(argparse.Namespace(), environment, read_settings_file())[name]
    return found.text if found.source is not Source.DEFAULT else None


def _found(
    setting: Setting, arguments: argparse.Namespace, environment: Mapping[str, str], file: SettingsFile
) -> FoundValue:
    flag: str | Sequence[str] | None = getattr(arguments, setting.name, None)
    if flag is not None:
        return _parsed(setting, flag if isinstance(flag, str) else ",".join(flag), Source.FLAG, setting.flag)
    if text := environment.get(setting.variable):
        return _parsed(setting, text, Source.VARIABLE, setting.variable)
    if (entry := file.values.get(setting.name)) is not None:
        return FoundValue(setting, entry.value, Source.FILE, entry.origin, entry.text)
    return FoundValue(setting, setting.default, Source.DEFAULT, "default", setting.default_text)


def _parsed(setting: Setting, text: str, source: Source, origin: str) -> FoundValue:
    if not text.strip():
        return FoundValue(setting, None, source, origin, text, f"{origin}: must not be empty; omit it for the default")
    try:
        return FoundValue(setting, setting.parse(text), source, origin, text)
    except ValueError as error:
        return FoundValue(setting, None, source, origin, text, f"{origin}: {error}")


def _model_tables(found: Mapping[str, FoundValue], file: SettingsFile) -> ModelTables:
    per_model = {name: each for name, each in found.items() if each.setting.per_model}
    return ModelTables(
        given=model_table({name: each.value for name, each in per_model.items() if each.source > Source.FILE}),
        of_file=as_tables(file.models),
        general=model_table({name: each.value for name, each in per_model.items() if each.source <= Source.FILE}),
    )


def _without_weaker_draft(settings: Settings, found: Mapping[str, FoundValue]) -> Settings:
    """`--no-speculation` overrides a draft model in the file."""
    is_weaker = found["draft_model"].source < found["no_speculation"].source
    return replace(settings, draft_model=None) if settings.no_speculation and is_weaker else settings


def _checked(settings: Settings) -> Settings:
    if not is_loopback(settings.host) and settings.api_key is None and settings.api_keys is None:
        raise SettingsError(
            f"--host {settings.host} is reachable from the network: set a key with PENSIEVE_API_KEY or --api-key, "
            "or several with --api-keys, or stay on 127.0.0.1"
        )
    if settings.script is not None and settings.model is None:
        _check_script_alone(settings)
    if settings.draft_model is not None and settings.no_speculation:
        raise SettingsError("--draft-model: needs speculation; remove --no-speculation or --draft-model")
    return settings


def _check_script_alone(settings: Settings) -> None:
    """A script without a model replaces all models."""
    given = {"--allow-model": settings.allow_models, "--draft-model": settings.draft_model}
    for flag, value in given.items():
        if value:
            raise SettingsError(f"{flag}: does not work with a --script that replaces the model; add --model")
