"""Arguments as those of a call in Python: `city='Paris', days=3`.

Source: the chat template of LiquidAI/LFM2.5-8B-A1B (`format_arg_value`).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pensieve.core.dialects.arguments.value_rules import Notation, anything_rules, argument_rules, properties_of
from pensieve.core.dialects.marks import Marks

_STRING: Final = r"/'([^'\\]|\\.)*'/ | /\"([^\"\\]|\\.)*\"/"
_NAMES: Final = {"true": True, "false": False, "null": None}
_BREAKS: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def read(text: str, at: int, properties: Mapping[str, Any], marks: Marks) -> tuple[dict[str, Any], int]:  # noqa: ARG001
    """The keyword arguments from `at` to before the parenthesis that closes the call.

    Raises:
        ValueError: they are not whole, or not literals.
    """
    inside, end = _up_to_parenthesis(text, at)
    try:
        call = ast.parse(f"f({inside})", mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("these are no arguments") from error
    if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
        raise ValueError("arguments have names")
    return {str(keyword.arg): marks.plain_in(_literal(keyword.value)) for keyword in call.keywords}, end


def _up_to_parenthesis(text: str, at: int) -> tuple[str, int]:
    """The text up to the closing parenthesis, line ends inside of strings escaped: models do not escape them."""
    parts: list[str] = []
    depth, quote, index = 0, "", at
    while index < len(text):
        character = text[index]
        if quote and character == "\\":
            parts.append(text[index : index + 2])
            index += 2
            continue
        if quote:
            quote = "" if character == quote else quote
            character = _BREAKS.get(character, character)
        elif character in "'\"":
            quote = character
        elif character == ")" and not depth:
            return "".join(parts), index
        else:
            depth += (character in "([{") - (character in ")]}")
        parts.append(character)
        index += 1
    raise ValueError("the call is not closed")


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {str(_literal(key)): _literal(value) for key, value in zip(keys, values, strict=True) if key}
        case _:
            raise ValueError("an argument is a literal")


def rules(name: str, schema: Any, marks: Marks, *, lenient: bool) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    yield name, f"{name}_first_0"
    yield from argument_rules(name, schema, _NOTATION, properties_of(schema), lambda key: _text(f"{key}="))
    yield from anything_rules(_NOTATION)
    yield "python_text", _STRING


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_NOTATION: Final = Notation(
    text="python_text",
    literal=lambda value: " | ".join({_text(repr(value)), _text(json.dumps(value, ensure_ascii=False))}),
    any_key='python_text ": "',
    key=lambda key: f"({_text(f'{json.dumps(key, ensure_ascii=False)}: ')} | {_text(f'{key!r}: ')})",
    constants=('("True" | "true")', '("False" | "false")', '("None" | "null")'),
    separator=", ",
)


def write(arguments: Mapping[str, Any], marks: Marks) -> str:  # noqa: ARG001 - no marks in it
    return ", ".join(f"{key}={_written(value)}" for key, value in arguments.items())


def _written(value: Any) -> str:
    """As the template does it: strings in quotes, objects as JSON, all else as Python's own text."""
    if isinstance(value, str) and not set(value) & set("'\\"):
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else repr(value)
