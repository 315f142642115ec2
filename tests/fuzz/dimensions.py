"""What a request may have more of, each as a function of a size and of a text that no request had before, so that no
cache answers. All of them are counted, not answered: what a model computes is not searched here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from features.harness.scene.media import document_block, pdf_that_draws

Json = dict[str, Any]
Dimension = Callable[[int, str], Json]
"""The body of a request to count tokens."""

_EDIT: Final = {"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 1}}


def _turns(*contents: object, **fields: object) -> Json:
    """User and assistant take turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": content} for number, content in enumerate(contents)]
    return {"messages": messages, **fields}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _tool(**schema: object) -> Json:
    return {"name": "look", "input_schema": {"type": "object", **schema}}


def _called(salt: str, inputs: list[Json], content: object = "", **fields: object) -> Json:
    """Each call in a turn of its own, with its result in the next one."""
    turns: list[object] = [salt]
    for number, each in enumerate(inputs):
        turns.append([{"type": "tool_use", "id": f"id{number}", "name": "look", "input": each}])
        turns.append([{"type": "tool_result", "tool_use_id": f"id{number}", "content": content}])
    return _turns(*turns, **{"tools": [_tool()], **fields})


def _searched(size: int, salt: str) -> Json:
    """Calls that another server ran, all in one message."""
    call = {"type": "server_tool_use", "name": "web_search", "input": {"query": salt}}
    result = {"type": "web_search_tool_result", "content": [_text(salt)]}
    calls = [{**call, "id": f"id{number}"} for number in range(size)]
    results = [{**result, "tool_use_id": f"id{number}"} for number in range(size)]
    return _turns(salt, [*calls, *results], "Go on.")


def _nested_result(size: int, salt: str) -> Json:
    """A result that looks like a block at each of 50 levels, and is none."""
    content: list[Json] = [*[_text(salt)] * size, {"type": "text"}]
    for _ in range(50):
        content = [{"type": "search_result", "title": "t", "source": "s", "content": content}]
    call = {"type": "server_tool_use", "id": "id", "name": "web_search", "input": {}}
    return _turns(salt, [call, {"type": "web_search_tool_result", "tool_use_id": "id", "content": content}], "Go on.")


def _references(size: int, salt: str) -> Json:
    hidden = {**_tool(), "name": "paint", "description": salt + "a" * 1000, "defer_loading": True}
    return _called(salt, [{}], [{"type": "tool_reference", "tool_name": "paint"}] * size, tools=[_tool(), hidden])


def _pdf(size: int, salt: str) -> Json:
    return _turns([document_block(pdf_that_draws(b"BT /F1 9 Tf " + b"(a) Tj " * size + b"ET")), _text(salt)])


def _of_text(piece: str) -> Dimension:
    return lambda size, salt: _turns(salt + piece * size + ".")


def _in_result(piece: str) -> Dimension:
    return lambda size, salt: _called(salt, [{"a": salt}], salt + piece * size + ".")


def _schema(parts: Callable[[int], object], place: str = "properties") -> Dimension:
    """A tool whose schema has these parts in a place."""
    return lambda size, salt: _turns("Hi.", tools=[{**_tool(**{place: parts(size)}), "description": salt}])


def _definitions(part: Callable[[Json], Json]) -> Callable[[int], Json]:
    """A chain in which each definition refers to the next one."""

    def chain(size: int) -> Json:
        links = {f"d{number}": part({"$ref": f"#/$defs/d{number + 1}"}) for number in range(size)}
        return {**links, f"d{size}": {"type": "string"}}

    return chain


_PIECES: Final = {
    "letters": "a",
    "spaces": " ",
    "line ends": "\n",
    "digits": "7",
    "words": " word",
    "accents": "\u0301",
    "zero width joiners": "\U0001f468\u200d",
    "right to left": "\u05d0\u202e",
    "private use": "\ue000",
    "turn marks": "<|im_start|>",
    "begun marks": "<|im_star",
    "call marks": "<tool_call>",
    "thinking marks": "</think>\n",
    "reminders": "<system-reminder>",
    "dates": "Today's date is 2026-11-29.\n",
}
_SCHEMAS: Final[Mapping[str, Dimension]] = {
    "properties": _schema(lambda n: {f"p{i}": {"type": "string"} for i in range(n)}),
    "required": _schema(lambda n: [f"p{i}" for i in range(n)], "required"),
    "texts of an enum": _schema(lambda n: {"a": {"enum": [f"value {i}" for i in range(n)]}}),
    "objects of an enum": _schema(lambda n: {"a": {"enum": [{"a": i, "b": [i]} for i in range(n)]}}),
    "anyOf": _schema(lambda n: {"a": {"anyOf": [{"properties": {f"p{i}": {}}} for i in range(n)]}}),
    "oneOf": _schema(lambda n: {"a": {"oneOf": [{"properties": {f"p{i}": {}}} for i in range(n)]}}),
    "allOf": _schema(lambda n: [{"properties": {f"p{i}": {}}} for i in range(n)], "allOf"),
    "conditions": _schema(
        lambda n: [{"if": {"minProperties": i}, "then": {"required": ["a"]}} for i in range(n)], "allOf"
    ),
    "references": _schema(_definitions(lambda link: link), "$defs"),
    "references in allOf": _schema(_definitions(lambda link: {"allOf": [link, link]}), "$defs"),
    "references in properties": _schema(_definitions(lambda link: {"properties": {"a": link, "b": link}}), "$defs"),
    "identifiers": _schema(lambda n: {f"d{i}": {"$id": f"http://a/{i}"} for i in range(n)}, "$defs"),
    "patterns of keys": _schema(lambda n: {f"^p{i}_": {"type": "string"} for i in range(n)}, "patternProperties"),
    "dependencies": _schema(lambda n: {f"p{i}": [f"p{i + 1}"] for i in range(n)}, "dependentRequired"),
    "alternatives of a pattern": _schema(lambda n: {"a": {"pattern": "|".join(f"[a-z]{i}" for i in range(n))}}),
    "groups of a pattern": _schema(lambda n: {"a": {"pattern": "(a?b*)+" * n}}),
}
DIMENSIONS: Final[Mapping[str, Dimension]] = {
    "messages": lambda n, salt: _turns(*[f"{salt} {i}" for i in range(2 * n + 1)]),
    "messages of one role": lambda n, salt: {"messages": [{"role": "user", "content": salt} for _ in range(n)]},
    "blocks": lambda n, salt: _turns([_text(f"{salt} {i}") for i in range(n)]),
    "blocks of system": lambda n, salt: _turns("Hi.", system=[_text(f"{salt} {i}") for i in range(n)]),
    "blocks of unknown types": lambda n, salt: _turns([_text(salt), *({"type": f"odd{i}"} for i in range(n))]),
    "thoughts": lambda n, salt: _turns(salt, [*[{"type": "thinking", "thinking": salt}] * n, _text("a")], "Go on."),
    "documents": lambda n, salt: _turns([{"type": "document", "source": {"type": "text", "data": salt}}] * n),
    "operators of a PDF": _pdf,
    "tools": lambda n, salt: _turns(salt, tools=[{**_tool(), "name": f"f{i}"} for i in range(n)]),
    "calls": lambda n, salt: _called(salt, [{"a": i} for i in range(n)]),
    "calls with texts": lambda n, salt: _called(salt, [{"a": f"{salt} {i}"} for i in range(n)]),
    "calls that are cleared": lambda n, salt: _called(salt, [{}] * n, salt, context_management={"edits": [_EDIT]}),
    "keys of an input": lambda n, salt: _called(salt, [{f"k{i}": i for i in range(n)}]),
    "escapes in an input": lambda n, salt: _called(salt, [{"a": '\n"\\' * n}]),
    "marks in an input": lambda n, salt: _called(salt, [{"a": "<tool_call>\n" * n}]),
    "references to a tool": _references,
    "calls of other servers": _searched,
    "parts of a nested result": _nested_result,
    **{f"text of {name}": _of_text(piece) for name, piece in _PIECES.items()},
    **{f"result of {name}": _in_result(piece) for name, piece in _PIECES.items()},
    **{f"schema with {name}": dimension for name, dimension in _SCHEMAS.items()},
}
