"""Writes calls by the patterns of outputs.toml, independently of the server's own code."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

Arguments = dict[str, Any]

_QUOTE: Final = '<|"|>'
"""Gemma 4's mark around a text."""
_SPACE: Final = "]<]minimax[>["
"""MiniMax M3's mark before each tag."""


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: Arguments


def written(pattern: str, parameter: str, call: Call, index: int) -> str:
    """One call; `index` is its place among the calls of the answer, from 0."""
    values = {
        "name": call.name,
        "index": str(index),
        "number": str(index + 1),
        "id": f"call{index:05}",
        "arguments": _json(call.arguments),
        "json": f'{{"name": {_json(call.name)}, "arguments": {_json(call.arguments)}}}',
        "llama": f'{{"name": {_json(call.name)}, "parameters": {_json(call.arguments)}}}',
        "parameters": "".join(_parameter(parameter, key, value) for key, value in call.arguments.items()),
        "python": ", ".join(f"{key}={_python(value)}" for key, value in call.arguments.items()),
        "gemma": _gemma(call.arguments),
        "nested": _nested(call.arguments),
    }
    return _filled(pattern, values)


def _filled(pattern: str, values: dict[str, str]) -> str:
    return re.sub(rf"\{{({'|'.join(values)})\}}", lambda found: values[found[1]], pattern)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parameter(pattern: str, key: str, value: Any) -> str:
    is_text = isinstance(value, str)
    text = value if is_text else _json(value)
    values = {
        "key": key,
        "value": text,
        "cdata": f"<![CDATA[{text}]]>" if is_text and re.search("[<&\n]", text) else text,
        "is_string": "true" if is_text else "false",
        "type": _type(value),
    }
    return _filled(pattern, values)


def _type(value: Any) -> str:
    """The types as Kimi K3 names them."""
    kinds = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object", list: "array"}
    return kinds[type(value)]


def _python(value: Any) -> str:
    match value:
        case bool() | None:
            return str(value)
        case dict():
            return "{" + ", ".join(f"{_json(key)}: {_python(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_python, value)) + "]"
        case _:
            return _json(value)


def _gemma(value: Any) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{key}:{_gemma(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_gemma, value)) + "]"
        case str():
            return f"{_QUOTE}{value}{_QUOTE}"
        case _:
            return _json(value)


def _nested(value: Any) -> str:
    match value:
        case dict():
            return "".join(f"{_SPACE}<{key}>{_nested(each)}{_SPACE}</{key}>" for key, each in value.items())
        case list():
            return "".join(f"{_SPACE}<item>{_nested(each)}{_SPACE}</item>" for each in value)
        case str():
            return value
        case _:
            return _json(value)
