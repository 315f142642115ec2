"""The notations for the arguments of a call, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.dialects.arguments import gemma, json_object, nested_xml, python
from pensieve.core.dialects.marks import Marks


@dataclass(frozen=True, slots=True)
class ArgumentSyntax:
    read: Callable[[str, int, Any, Marks], tuple[dict[str, Any], int]]
    """(text, start offset, the tool's schema, marks) -> (arguments, end offset).

    Raises ValueError if the arguments are incomplete.
    """
    rules: Callable[[str, Any, Marks], Iterator[tuple[str, str]]]
    """Grammar rules; the first has the given name. A name that recurs in several tools always has the same body."""
    write: Callable[[dict[str, Any], Marks], str]
    marks: tuple[str, ...] = ()
    """Texts of the notation that may be tokens of the model."""


SYNTAXES: Final[Mapping[str, ArgumentSyntax]] = {
    "json": ArgumentSyntax(json_object.read, json_object.rules, json_object.write),
    "gemma": ArgumentSyntax(gemma.read, gemma.rules, gemma.write, (gemma.QUOTE,)),
    "python": ArgumentSyntax(python.read, python.rules, python.write),
    "nested_xml": ArgumentSyntax(nested_xml.read, nested_xml.rules, nested_xml.write, (nested_xml.MARK,)),
}
