"""The `--model-settings` file: settings per model, for a server of several.

It is TOML, with a table per model like those below `[models]` in the settings file. A table is named as the model is
served, or by the id that clients use. Its keys are the names of the flags with underscores. Whatever a table omits
comes from the flags, then from the settings file, then from the model's own defaults.

    ["mlx-community/Qwen3-8B-4bit"]
    temperature = 0.6
    thinking = "off"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pensieve.cli.settings.file import FileError, FileValue, TomlFile
from pensieve.cli.settings.model_table import ModelTable, model_table
from pensieve.core.errors import ValidationError


def read_model_settings(path: Path) -> Mapping[str, ModelTable]:
    """The tables by model name.

    Raises:
        ValidationError: the file cannot be read, or has an unknown key or a wrong value; the message says where.
    """
    try:
        file = TomlFile.read(path)
        tables = as_tables(file.model_tables((), file.document))
        file.require_no_problem()
    except FileError as error:
        raise ValidationError("--model-settings", str(error)) from error
    return tables


def as_tables(tables: Mapping[str, Mapping[str, FileValue]]) -> Mapping[str, ModelTable]:
    return {name: model_table({key: each.value for key, each in table.items()}) for name, table in tables.items()}


def require_served(path: Path, names: Iterable[str], served: Iterable[str]) -> None:
    """
    Raises:
        ValidationError: a table names a model that is not served.
    """
    served = list(dict.fromkeys(served))
    if unknown := [name for name in names if name not in served]:
        raise ValidationError(
            "--model-settings",
            f"{path}: [{unknown[0]!r}] is not a model of this server, which serves {', '.join(served)}",
        )
