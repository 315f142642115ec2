"""Fields of a block as text that a model reads: each between tags with the field's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from pensieve.api.anthropic.content.placeholders import ENCRYPTED, NO_CONTENT

MAX_TYPED: Final = 8
"""More objects with a type around it, and an object is not read as a block: whether one is, shows only at its end, and
what is in it is read again if it is not, so that nesting would take quadratic time.
"""

_NOT_TEXT = {"type", "cache_control", "citations"}

TextOfBlock = Callable[[dict[str, Any]], str | None]
"""The text of a JSON object that is a content block; None if it is none."""


def tagged(name: str, value: str) -> str:
    return f"<{name}>{value}</{name}>"


def fields_as_text(value: object, text_of_block: TextOfBlock) -> str:
    """Any JSON value. Fields are sorted, because clients may reorder them between turns (C1).

    `encrypted_content` and its like are named, but not written out: they are long, and mean nothing to a model.
    """
    return "\n".join(_FieldWriter(text_of_block).lines(value, "item")) or NO_CONTENT


@dataclass(frozen=True, slots=True)
class _FieldWriter:
    """`num_typed` are the objects around with a type, none of which is a block."""

    text_of_block: TextOfBlock
    num_typed: int = 0

    def lines(self, value: object, name: str) -> Iterator[str]:
        """`name` is that of the field. A block's text stands without a tag, since it has one where it needs one."""
        if isinstance(value, dict):
            text = self._text(value)
            yield from self._fields(value) if text is None else [text]
        elif isinstance(value, list):
            for item in value:
                yield self._item(item, name.removesuffix("s"))
        elif value is not None and value != "":
            yield value if isinstance(value, str) else json.dumps(value)

    def _text(self, value: dict[str, Any]) -> str | None:
        return self.text_of_block(value) if self.num_typed < MAX_TYPED else None

    def _item(self, item: object, name: str) -> str:
        """Objects in a list are kept apart by tags with their type, or with the name of the list."""
        if not isinstance(item, dict):
            return "\n".join(self.lines(item, name))
        text = self._text(item)
        if text is not None:
            return text
        kind = item.get("type")
        return _between(kind if isinstance(kind, str) else name, self._fields(item))

    def _fields(self, value: dict[str, Any]) -> Iterator[str]:
        inner = replace(self, num_typed=self.num_typed + 1) if "type" in value else self
        for name in sorted(value.keys() - _NOT_TEXT):
            part = value[name]
            lines = list(inner.lines(part, name))
            if name.startswith("encrypted_") and part:
                yield tagged(name, ENCRYPTED)
            elif lines:
                yield _between(name, lines) if isinstance(part, dict | list) else tagged(name, lines[0])


def _between(name: str, lines: Iterable[str]) -> str:
    return tagged(name, "\n".join(["", *lines, ""]))
