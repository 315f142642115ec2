"""The output of `pensieve config show`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pensieve.cli.settings.file import MODELS
from pensieve.cli.settings.read import FoundValue, Source
from pensieve.cli.settings.settings_file import SettingsFile, settings_path

_SECRET: Final = "api_key"


def print_settings(values: Mapping[str, FoundValue], file: SettingsFile) -> None:
    path = settings_path()
    print(f"settings file: {path}" + ("" if path.exists() else " (there is none; `pensieve config edit` makes it)") + "\n")
    table = Table("SETTING", "VALUE", "FROM", box=None, pad_edge=False, header_style="")
    for name, each in values.items():
        style = "dim" if each.source is Source.DEFAULT else ""
        table.add_row(name, Text("(hidden)" if _is_hidden(name, each) else each.text), _short(each.origin), style=style)
    for model, settings in file.models.items():
        table.add_section()
        table.add_row(Text(f'[{MODELS}."{model}"]'), "", "")
        for name, value in settings.items():
            table.add_row(f"  {name}", Text(value.text), _short(value.origin))
    Console(highlight=False).print(table)


def _is_hidden(name: str, value: FoundValue) -> bool:
    return name == _SECRET and value.source is not Source.DEFAULT


def _short(origin: str) -> str:
    """`config.toml:3` of a whole path, which is printed once above."""
    return Path(origin).name
