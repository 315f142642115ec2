"""On which line of a TOML file each key is, which tomllib does not say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

_END: Final = re.compile("[]}]|\"\"\"|'''")
Path = tuple[str, ...]
"""A key below its tables: `("models", "small", "top_k")`."""


def line_numbers(text: str) -> Mapping[Path, int]:
    """The line, counted from 1, on which each key and each table of valid TOML begins."""
    lines: dict[Path, int] = {}
    table: Path = ()
    for first, statement, parsed in _statements(text):
        paths = list(_paths(parsed))
        if statement.lstrip().startswith("["):
            table = paths[-1]
        else:
            paths = [(*table, *path) for path in paths]
        for path in paths:
            lines.setdefault(path, first)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Each header, and each key with its value, is valid TOML by itself, and no part of it is. One of several lines
    ends with a bracket or with quotation marks: parsing at each of its lines would take minutes for long lists.
    """
    first, statement = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        is_inside = bool(statement)
        statement += line + "\n"
        if is_inside and not _END.search(line):
            continue
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        yield first, statement, parsed
        first, statement = number + 1, ""


def _paths(table: Mapping[str, Any]) -> Iterator[Path]:
    for key, value in table.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *path) for path in _paths(value))
