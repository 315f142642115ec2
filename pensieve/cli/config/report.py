"""The output of `pensieve config show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pensieve.cli.settings.file import MODELS
from pensieve.cli.settings.read import FoundValue, Source
from pensieve.cli.settings.settings_file import SettingsFile, settings_path
from pensieve.cli.tables import table, terminal_width

_HEADER: Final = ("SETTING", "VALUE", "FROM")


def print_settings(values: Mapping[str, FoundValue], file: SettingsFile) -> None:
    path = settings_path()
    remark = "" if path.exists() else " (there is none; `pensieve config edit` makes it)"
    rows = [*map(_row, values.values()), *_model_rows(file)]
    print(f"settings file: {path}{remark}\n", *table(_HEADER, rows, width=terminal_width()), sep="\n")


def _row(value: FoundValue) -> tuple[str, ...]:
    is_hidden = value.setting.is_secret and value.source is not Source.DEFAULT
    return value.setting.name, "(hidden)" if is_hidden else value.text, _short(value.origin)


def _model_rows(file: SettingsFile) -> Iterator[tuple[str, ...]]:
    for model, settings in file.models.items():
        yield (f'[{MODELS}."{model}"]', "", "")
        yield from ((f"  {name}", value.text, _short(value.origin)) for name, value in settings.items())


def _short(origin: str) -> str:
    """`config.toml:3` of a whole path, which is printed once above."""
    return Path(origin).name
