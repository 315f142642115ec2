"""The patterns in which a dialect's data writes its calls: text with `{name}`, `{arguments}` and the like in it.

    <tool_call>
    {"name": "{name}", "arguments": {arguments}}
    </tool_call>

The same pattern is filled in for a prompt, becomes the grammar that a call is decoded by, and the expression that reads
it. Other braces are text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pensieve.core.dialects.marks import RANGE

_PLACEHOLDER: Final = re.compile(r"\{(name|arguments|id|index|parameters|key|value|type)\}")
KEY: Final = rf"[^\n>\"{RANGE}]+"
"""The names of tagged arguments that can be read."""
_GROUPS: Final = {
    "name": r"(?P<name>[\w.:/-]+?)(?![\w.-])",
    "id": rf"(?P<id>[^\s\"{RANGE}]*?)",
    "index": r"(?P<index>\d+)",
    "key": rf"(?P<key>{KEY}?)",
    "type": r"(?P<type>\w+)",
}


@lru_cache(maxsize=1024)
def parts_of(pattern: str) -> tuple[tuple[str, str | None], ...]:
    """The pattern as pairs of text and the placeholder behind it; the last pair has none."""
    pieces = _PLACEHOLDER.split(pattern)
    return tuple(zip(pieces[0::2], [*pieces[1::2], None], strict=True))


def filled(pattern: str, **values: str) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], pattern)


@lru_cache(maxsize=1024)
def split_at(pattern: str, placeholder: str) -> tuple[str, str]:
    """What stands before the placeholder, and behind it."""
    before, _, after = pattern.partition(f"{{{placeholder}}}")
    return before, after


@lru_cache(maxsize=1024)
def expression(pattern: str) -> str:
    """A regular expression for text of the pattern, which may have other white space, and a group for each placeholder.

    Not for `{arguments}`, `{parameters}` and `{value}`, which take more than an expression.
    """
    return "".join(_loose(text) + (_GROUPS[name] if name else "") for text, name in parts_of(pattern))


@lru_cache(maxsize=1024)
def reader(pattern: str) -> re.Pattern[str]:
    """`expression`, compiled; white space before it is passed over."""
    return re.compile(rf"\s*{expression(pattern)}", re.DOTALL)


def _loose(text: str) -> str:
    """Models write JSON with and without spaces, and may leave out or add a line's end between two tags."""
    loose = "".join(
        r"\s*" if part.isspace() else rf"\s*{re.escape(part)}\s*" if part in "{}[]:," else re.escape(part)
        for part in re.findall(r"\s+|.", text, re.DOTALL)
    )
    return re.sub(r"(?:\\s\*)+", lambda _: r"\s*", loose)
