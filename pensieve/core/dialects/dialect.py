"""How a model writes what is no plain text: its thinking, and its calls of tools.

A model whose chat template knows tools has a dialect of its own. All others are told, and held to, the general form:

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

which is also what the Hermes and Qwen families were taught. A tool's result comes back between <tool_response> and
</tool_response> in the user's turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from contracts.vocabulary import Tool

ParsedCall = tuple[str, str]
"""A tool's name, and the JSON text of its arguments."""

BodyParser = Callable[[str, Sequence[Tool]], list[ParsedCall]]
"""From what stands between the marks of a call to the calls in it. Raises whatever it likes over what is none."""


def parse_json_call(body: str, tools: Sequence[Tool]) -> list[ParsedCall]:  # noqa: ARG001 - as every dialect's parser
    """The general form. The keys may come in any order, and some models say `parameters`.

    Raises:
        ValueError, TypeError: it is no call.
    """
    call = json.loads(body)
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise TypeError("a call is an object with a name")
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    if not isinstance(arguments, dict):
        raise TypeError("arguments are an object")
    return [(call["name"], json.dumps(arguments, ensure_ascii=False))]


class CallForm(Enum):
    """How what stands between the marks of a call is written."""

    GENERAL = "general"
    """As above: held to its schema, and its arguments streamed while they are made."""
    XML = "xml"
    """As in `pensieve.core.dialects.qwen_xml`: held to its schema as well."""
    OTHER = "other"
    """Read by mlx-lm's parser, and held, in the general form, only where a call is forced."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Marks are the text that opens and closes a part."""

    call_start: str = "<tool_call>"
    call_end: str = "</tool_call>"
    parse_call: BodyParser = field(default=parse_json_call)
    call_form: CallForm = CallForm.GENERAL
    think_start: str | None = None
    think_end: str | None = None
    control_ids: Mapping[str, int] = field(default_factory=dict)
    """The marks that are control tokens of the model, by their ids: no text can spell them."""

    @property
    def marks(self) -> tuple[str, ...]:
        found = (self.call_start, self.call_end, self.think_start, self.think_end)
        return tuple(mark for mark in found if mark)


def tools_prompt(tools: Sequence[Tool], dialect: Dialect) -> str:
    """What a model without tools in its template is told of them. Tools stand in the order given (C1)."""
    listed = "\n".join(json.dumps(tool_as_json(tool), ensure_ascii=False) for tool in tools)
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query. "
        f"The functions are given within <tools></tools>:\n<tools>\n{listed}\n</tools>\n\n"
        "To call a function, write a JSON object with its name and arguments like this:\n"
        f'{dialect.call_start}\n{{"name": <function-name>, "arguments": <arguments-object>}}\n{dialect.call_end}'
    )


def tool_as_json(tool: Tool) -> dict[str, object]:
    """A tool in the form that chat templates expect."""
    function = {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.input_schema)}
    return {"type": "function", "function": function}


def call_text(name: str, arguments: str, dialect: Dialect) -> str:
    """A call in the general form, as it is decoded and as it comes back in a history."""
    return f'{dialect.call_start}\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n{dialect.call_end}'


def result_text(text: str, *, is_error: bool) -> str:
    """A tool's result, for templates without a role for it."""
    return f"<tool_response>\n{'Error: ' if is_error else ''}{text}\n</tool_response>"
