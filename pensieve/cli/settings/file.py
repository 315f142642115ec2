"""TOML files of settings: their values with the line of each, and what is wrong in them."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pensieve.cli.settings import toml_lines
from pensieve.cli.settings import values as parsers
from pensieve.cli.settings.names import likely_name
from pensieve.cli.settings.setting import Setting
from pensieve.cli.settings.table import MODEL_TABLE, TABLE

MODELS: Final = "models"
"""The table of the settings file that holds a table for each model."""
_SERVER: Final = {setting.name: setting for setting in TABLE}
_MODEL: Final = {setting.name: setting for setting in MODEL_TABLE}
_MAX_BYTES: Final = 1_000_000
_MAX_CHARACTERS: Final = 600
"""Of a sentence about a key or a value, which may have thousands itself."""
_OTHERS: Final = 0o077
"""The permissions of a file's group and of all other users."""


class FileError(ValueError):
    """The file cannot be used. The message names it, and the line where there is one."""


@dataclass(frozen=True, slots=True)
class FileValue:
    """`origin` is `FILE:LINE`, and `text` the value as a person would write it."""

    value: Any
    origin: str
    text: str


@dataclass
class TomlFile:
    """`problems` are sentences. Reading goes on after one, so that all are known."""

    path: Path
    text: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> TomlFile:
        """
        Raises:
            FileError: it cannot be read, or is not TOML.
        """
        try:
            text = _text_of(path)
            return cls(path, text, tomllib.loads(text))
        except (OSError, ValueError, RecursionError) as error:
            raise FileError(f"{path}: {error}") from error

    @cached_property
    def lines(self) -> Mapping[toml_lines.Path, int]:
        return toml_lines.line_numbers(self.text)

    def server_values(self) -> Mapping[str, FileValue]:
        """The values outside tables, by the names of their settings."""
        document = {key: value for key, value in self.document.items() if key != MODELS}
        if "api_key" in _names(document) and stat.S_IMODE(self.path.stat().st_mode) & _OTHERS:
            self.add_problem(("api_key",), f"other users can read the key; run: chmod 600 {self.path}")
        return self._values((), document, _SERVER)

    def models(self) -> Mapping[str, Mapping[str, FileValue]]:
        """The values of each model's table below `[models]`."""
        tables = self.document.get(MODELS, {})
        if not isinstance(tables, dict):
            self.add_problem((MODELS,), f'put each model into a table such as [{MODELS}."organisation/name"]')
            return {}
        return self.model_tables((MODELS,), tables)

    def model_tables(self, above: toml_lines.Path, tables: Mapping[str, Any]) -> Mapping[str, Mapping[str, FileValue]]:
        """The values of each table, by model name. `above` is the path of `tables`."""
        found: dict[str, Mapping[str, FileValue]] = {}
        for name, table in tables.items():
            if isinstance(table, dict):
                found[name] = self._values((*above, name), table, _MODEL)
            else:
                header = _header((*above, "organisation/name"))
                self.add_problem((*above, name), f"is outside a table: put it under a model name, such as {header}")
        self._check_aliases(above, found)
        return found

    def _check_aliases(self, above: toml_lines.Path, tables: Mapping[str, Mapping[str, FileValue]]) -> None:
        taken = dict.fromkeys(tables, "a table of that name")
        for name, values in tables.items():
            alias = values["alias"].value if "alias" in values else None
            if alias in taken and alias != name:
                self.add_problem((*above, name, "alias"), f"{alias!r} is already {taken[alias]}; choose another")
            elif alias is not None:
                taken[alias] = f"the alias of {name}"

    def _values(
        self, above: toml_lines.Path, table: Mapping[str, Any], settings: Mapping[str, Setting]
    ) -> Mapping[str, FileValue]:
        found: dict[str, FileValue] = {}
        for key, value in table.items():
            path, name = (*above, key), key.replace("-", "_")
            if (setting := settings.get(name)) is None or name == "model_settings":
                self.add_problem(path, _unknown(name, value, above, settings))
            elif name in found:
                self.add_problem(path, f"is set twice, at {found[name].origin} too; keep one of the lines")
            else:
                try:
                    found[name] = self._value(setting, value, path)
                except ValueError as error:
                    self.add_problem(path, str(error))
        return found

    def _value(self, setting: Setting, value: Any, path: toml_lines.Path) -> FileValue:
        """A relative path is below the folder of the file."""
        if setting.is_path and isinstance(value, str) and value:
            value = str(self.path.parent / parsers.path(value))
        return FileValue(setting.from_toml(value), f"{self.path}:{self.lines.get(path, 1)}", as_text(value))

    def add_problem(self, path: toml_lines.Path, sentence: str) -> None:
        *tables, key = path
        where = f"{_header(tables)} " if tables else ""
        text = f"{where}{key}: {sentence}"
        text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
        self.problems.append(f"{self.path}, line {self.lines.get(tuple(path), 1)}: {text}")

    def require_no_problem(self) -> None:
        """
        Raises:
            FileError: the first problem, and how many more there are.
        """
        if self.problems:
            first, *others = self.problems
            raise FileError(first + (f" (and {len(others)} more)" if others else ""))


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"is larger than {_MAX_BYTES:,} bytes")
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def as_text(value: Any) -> str:
    """A value of a TOML file, without quotation marks and brackets around it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(as_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} = {as_text(each)}" for key, each in value.items())
    return str(value)


def _names(document: Iterable[str]) -> set[str]:
    return {key.replace("-", "_") for key in document}


def _header(tables: Iterable[str]) -> str:
    """`[models."organisation/name"]`"""
    return "[" + ".".join(name if name.isidentifier() else f'"{name}"' for name in tables) + "]"


def _unknown(name: str, value: Any, above: toml_lines.Path, settings: Mapping[str, Setting]) -> str:
    if name == "model_settings":
        return f'belongs to the command line: write its tables into this file, as [{MODELS}."organisation/name"]'
    if name in _SERVER:
        return "is a setting of the server, not of a model: move the line above the first table"
    if name in _MODEL:
        return f'is a setting of a model: move it into a table such as [{MODELS}."organisation/name"]'
    if isinstance(value, dict) and above:
        whole = _header((*above[:-1], f"{above[-1]}.{name}"))
        return f"is not a setting; a name with dots needs quotation marks: {whole}"
    if isinstance(value, dict):
        return f"is not a table of this file; the table of a model is {_header((MODELS, name))}"
    likely = likely_name(name, settings)
    meant = f"did you mean {likely}?" if likely else f"a table may have {', '.join(settings)}" if above else ""
    return "unknown setting; " + (meant or "`pensieve config show` lists them all")
