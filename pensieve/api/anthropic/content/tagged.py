"""Fields of a block as text that a model reads: each between tags with the field's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pensieve.api.anthropic.content.placeholders import ENCRYPTED, NO_CONTENT

_NOT_TEXT = {"type", "cache_control", "citations"}

TextOfBlock = Callable[[dict[str, Any]], str | None]
"""The text of a JSON object that is a content block; None if it is none."""


def tagged(name: str, value: str) -> str:
    return f"<{name}>{value}</{name}>"


def fields_as_text(value: object, text_of_block: TextOfBlock) -> str:
    """Any JSON value. Fields are sorted, because clients may reorder them between turns (C1).

    `encrypted_content` and its like are named, but not written out: they are long, and mean nothing to a model.
    """
    return "\n".join(_lines(value, "item", text_of_block)) or NO_CONTENT


def _lines(value: object, name: str, text_of_block: TextOfBlock) -> Iterator[str]:
    """`name` is that of the field. A block's text stands without a tag, since it has one where it needs one."""
    if isinstance(value, dict):
        text = text_of_block(value)
        yield from _fields(value, text_of_block) if text is None else [text]
    elif isinstance(value, list):
        for item in value:
            yield _item(item, name.removesuffix("s"), text_of_block)
    elif value is not None and value != "":
        yield value if isinstance(value, str) else json.dumps(value)


def _item(item: object, name: str, text_of_block: TextOfBlock) -> str:
    """Objects in a list are kept apart by tags with their type, or with the name of the list."""
    if not isinstance(item, dict):
        return "\n".join(_lines(item, name, text_of_block))
    text = text_of_block(item)
    if text is not None:
        return text
    kind = item.get("type")
    return _between(kind if isinstance(kind, str) else name, _fields(item, text_of_block))


def _fields(value: dict[str, Any], text_of_block: TextOfBlock) -> Iterator[str]:
    for name in sorted(value.keys() - _NOT_TEXT):
        part = value[name]
        lines = list(_lines(part, name, text_of_block))
        if name.startswith("encrypted_") and part:
            yield tagged(name, ENCRYPTED)
        elif lines:
            yield _between(name, lines) if isinstance(part, dict | list) else tagged(name, lines[0])


def _between(name: str, lines: Iterable[str]) -> str:
    return tagged(name, "\n".join(["", *lines, ""]))
