"""Text and marks as parts of a grammar in llguidance's Lark syntax.

Source: llguidance's documentation, "Lark syntax" (suffix, special tokens). A mark that is a token must be named by its
id: llguidance does not let text match an added token that is special or written between < and >.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from pensieve.core.dialects.marks import RANGE, Marks

ANYTHING: Final = r"/(.|\n)*/"
_META: Final = frozenset(r"\.+*?()|[]{}^$#&-~/")
_PIECES: Final = re.compile(f"[{RANGE}]|[^{RANGE}]+")


def quoted(text: str, marks: Marks) -> str:
    """The text as a sequence of strings and token ids; an empty string for empty text."""
    pieces = [marked(piece, marks) for piece in _PIECES.findall(text)]
    return " ".join(pieces) or '""'


def marked(piece: str, marks: Marks) -> str:
    is_token = re.fullmatch(f"[{RANGE}]", piece) is not None
    return f"<[{marks.token_id(piece)}]>" if is_token else json.dumps(piece, ensure_ascii=False)


def until(name: str, text: str, marks: Marks) -> dict[str, str]:
    """Rules for free text up to and including `text`; the first is called `name`.

    Free text ends at the first occurrence of `text`.
    """
    first, *rest = _PIECES.findall(text)
    if not rest and not re.match(f"[{RANGE}]", first):
        return {f"{name}[suffix={json.dumps(first, ensure_ascii=False)}]": ANYTHING}
    if re.match(f"[{RANGE}]", first):
        return {name: f"{name}_text {quoted(text, marks)}", f"{name}_text": ANYTHING}
    # The lexer matches greedily, so the text before the token must be part of the same expression.
    ending = _expression(first)
    return {name: f"{name}_text {quoted(''.join(rest), marks)}", f"{name}_text": rf"/(.|\n)*{ending}/"}


def not_beginning_with(beginnings: Iterable[str]) -> str:
    """An expression for text of any length that does not begin with any of `beginnings`."""
    excluded = " & ".join(rf"~(/\s*{_expression(beginning)}(.|\n)*/)" for beginning in beginnings)
    return f"{ANYTHING} & {excluded}"


def _expression(text: str) -> str:
    """Escape text for use inside /.../."""
    return "".join({"\n": r"\n", "\t": r"\t"}.get(each, f"\\{each}" if each in _META else each) for each in text)
