"""Patterns: the text of a call in a dialect, with placeholders such as `{name}` and `{arguments}`.

    <tool_call>
    {"name": "{name}", "arguments": {arguments}}
    </tool_call>

The same pattern is filled in for a prompt, becomes the grammar that constrains a call, and becomes the regular
expression that reads it. Other braces are text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pensieve.core.dialects.marks import RANGE

SPACE: Final = r"\s*"
"""Two of them in a row would take quadratic time where a model writes nothing but spaces."""
_PLACEHOLDER: Final = re.compile(r"\{(name|arguments|id|index|parameters|key|value|type)\}")
KEY: Final = rf"[^\n>\"{RANGE}]+"
"""The names of tagged arguments that can be parsed."""
_GROUPS: Final = {
    "name": r"(?P<name>[\w.:/-]+?)(?![\w.-])",
    "id": rf"(?P<id>[^\s\"{RANGE}]*?)",
    "index": r"(?P<index>\d+)",
    "key": rf"(?P<key>{KEY}?)",
    "type": r"(?P<type>\w+)",
}


@lru_cache(maxsize=1024)
def parts_of(pattern: str) -> tuple[tuple[str, str | None], ...]:
    """The pattern as pairs of text and the placeholder after it, which is None in the last pair."""
    pieces = _PLACEHOLDER.split(pattern)
    return tuple(zip(pieces[0::2], [*pieces[1::2], None], strict=True))


def filled(pattern: str, **values: str) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], pattern)


@lru_cache(maxsize=1024)
def split_at(pattern: str, placeholder: str) -> tuple[str, str]:
    """The text before the placeholder, and the text after it."""
    before, _, after = pattern.partition(f"{{{placeholder}}}")
    return before, after


@lru_cache(maxsize=1024)
def expression(pattern: str) -> str:
    """A regular expression for the pattern with flexible white space and a group for each placeholder.

    Not for `{arguments}`, `{parameters}` and `{value}`, which a regular expression cannot match.
    """
    return "".join(_loose(text) + (_GROUPS[name] if name else "") for text, name in parts_of(pattern))


@lru_cache(maxsize=1024)
def reader(pattern: str) -> re.Pattern[str]:
    """Compiled `expression`, with any white space before it."""
    return re.compile(rf"{SPACE}{expression(pattern).removeprefix(SPACE)}", re.DOTALL)


def _loose(text: str) -> str:
    """Make white space flexible: models vary the spaces in JSON, and line ends between tags."""
    loose = "".join(
        r"\s*" if part.isspace() else rf"\s*{re.escape(part)}\s*" if part in "{}[]:," else re.escape(part)
        for part in re.findall(r"\s+|.", text, re.DOTALL)
    )
    return re.sub(r"(?:\\s\*)+", lambda _: r"\s*", loose)
