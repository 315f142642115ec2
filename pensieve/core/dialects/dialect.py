"""A dialect: how a family of models writes its thinking and its tool calls.

Each dialect is data in a file of `families/`. The default one, of Hermes and Qwen, also serves models whose chat
template does not support tools:

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Final

from contracts.values.vocabulary import Tool, ToolCall
from pensieve.core.dialects.arguments.syntaxes import SYNTAXES
from pensieve.core.dialects.marks import Marks, marks_in
from pensieve.core.dialects.patterns import filled, split_at

DEFAULT_DIALECT: Final = "hermes"
"""The dialect that the prompt explains to models whose chat template does not support tools."""
CDATA_START: Final = "<![CDATA["
CDATA_END: Final = "]]>"
_EXAMPLE_ID: Final = "a1b2c3d4e"


class CallForm(Enum):
    """The form of one call."""

    OBJECT = "object"
    """A JSON object with the name and the arguments; several calls may form a list."""
    NAMED = "named"
    """The name, then the arguments."""
    TAGGED = "tagged"
    """The name, then each argument between its own tags: text verbatim, everything else as JSON."""


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """Texts as the model writes them. `call`, `also` and `parameter` are patterns (see `patterns`)."""

    form: CallForm = CallForm.OBJECT
    start: str = "<tool_call>"
    """The text before the first call; empty if calls can only stand at the beginning of the answer."""
    call: str = '\n{"name": "{name}", "arguments": {arguments}}\n</tool_call>'
    """One call, after `start` or `between`."""
    between: str = "\n<tool_call>"
    end: str = ""
    """The text after the last call."""
    also: str = ""
    """An alternative form of a call, including its opening, if the family has two."""
    parameter: str = ""
    """One argument of a tagged call."""
    types: Mapping[str, str] = field(default_factory=dict)
    """The dialect's words for JSON types, for `{type}`; "other" stands for all types that are not listed."""
    arguments: str = "json"
    """The notation of a named call's arguments: a key of SYNTAXES."""
    name_key: str = "name"
    arguments_key: str = "arguments"
    bare: str = ""
    """How a call begins if the model omits `start`. If this is JSON, it counts only at the beginning of the answer."""
    bare_end: str = ""
    id_pattern: str = "[a-zA-Z0-9]{9}"
    """A regular expression for the ids that the model generates."""
    first_index: int = 0
    cdata: bool = False
    """Whether the text of a tagged argument may be enclosed in <![CDATA[ and ]]>."""
    max_calls: int = 8
    """Per answer. Without it, a small model that is constrained to calls may repeat them until max_tokens."""

    @property
    def is_json(self) -> bool:
        """Whether a call's arguments are one JSON object, which can be passed on while it is generated."""
        return self.arguments == "json" and self.form is not CallForm.TAGGED

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.start, self.call, self.between, self.end, self.also, self.parameter, self.bare, self.bare_end)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Marks are texts that open and close a part. `bound` replaces those that are tokens of a model."""

    name: str = DEFAULT_DIALECT
    calls: CallSyntax = CallSyntax()
    think_start: str | None = None
    think_end: str | None = None
    text_starts: tuple[str, ...] = ()
    """Marks that may precede the text of an answer."""
    text_end: str = ""
    joint: str = ""
    """The text between two parts of an answer."""
    tail: str = ""
    """The text at the end of a turn, before the token that ends it."""
    header_end: str = ""
    """The mark that ends the header of a part, if parts have headers."""
    thinking_header: str = ""
    """A regular expression that the header of a thinking part contains, without marks."""
    call_header: str = ""
    """A regular expression, with a group `name`, that the header of a call contains."""
    call_opening: str = ""
    """A pattern for the header before `calls.start`."""
    marks: Marks = Marks()  # noqa: RUF009 - frozen

    @property
    def texts(self) -> Iterator[str]:
        """All texts that may contain tokens of the model."""
        yield from self.calls.texts
        yield from self.text_starts
        yield from SYNTAXES[self.calls.arguments].marks
        yield from (self.think_start or "", self.think_end or "", self.text_end, self.joint, self.tail)
        yield from (self.header_end, self.call_opening)

    def bound(self, added_tokens: Mapping[str, int]) -> Dialect:
        """The dialect for one model. `added_tokens` are its tokenizer's added tokens by their text, special or not."""
        marks = marks_in(self.texts, added_tokens)
        bound = marks.bound
        in_calls: dict[str, Any] = {name: bound(getattr(self.calls, name)) for name in _TEXTS_OF_CALLS}
        calls = replace(self.calls, **in_calls)
        texts: dict[str, Any] = {name: bound(text) for name in _TEXTS if (text := getattr(self, name)) is not None}
        return replace(self, calls=calls, text_starts=tuple(map(bound, self.text_starts)), marks=marks, **texts)

    def call_text(self, calls: Sequence[ToolCall]) -> str:
        """All calls of a turn as this family writes them, in plain text.

        Raises:
            ValueError: a call's arguments are not a JSON object.
        """
        syntax = self.calls
        written = [self._written(call, number) for number, call in enumerate(calls)]
        opening = filled(self.call_opening, name=calls[0].name) if calls else ""
        return self.marks.plain(f"{opening}{syntax.start}{syntax.between.join(written)}{syntax.end}")

    def _written(self, call: ToolCall, number: int) -> str:
        syntax, arguments = self.calls, json.loads(call.arguments)
        name = json.dumps(call.name, ensure_ascii=False)[1:-1] if syntax.form is CallForm.OBJECT else call.name
        is_json = syntax.arguments == "json"
        text = call.arguments if is_json else SYNTAXES[syntax.arguments].write(arguments, self.marks)
        parameters = "".join(self._parameter(key, value) for key, value in arguments.items())
        values = {"name": name, "arguments": text, "parameters": parameters, "id": call.id or _EXAMPLE_ID}
        return filled(syntax.call, index=str(syntax.first_index + number), **values)

    def _parameter(self, key: str, value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if self.calls.cdata and isinstance(value, str) and re.search(r"[<&\n]", value):
            text = f"{CDATA_START}{value}{CDATA_END}"
        return filled(self.calls.parameter, key=key, value=text, type=self.type_word(json_type(value)))

    def heads(self, names: Sequence[str]) -> tuple[str, ...]:
        """The beginnings of calls of these tools after `calls.start`, up to the end of the name."""
        before, after = split_at(self.calls.call, "name")
        closing = '"' if after.startswith('"') else ""
        return tuple(f"{before}{name}{closing}" for name in names)

    def type_word(self, kind: str) -> str:
        return self.calls.types.get(kind, self.calls.types.get("other", kind))


_TEXTS: Final = (
    *("think_start", "think_end", "text_end", "joint", "tail"),
    *("header_end", "call_opening"),
)
_TEXTS_OF_CALLS: Final = ("start", "call", "between", "end", "also", "parameter", "bare", "bare_end")


def dialect_from(name: str, data: Mapping[str, Any]) -> Dialect:
    """Build a dialect from the table of its TOML file.

    Raises:
        TypeError, ValueError: a key or a value is unknown.
    """
    own = {key: value for key, value in data.items() if key not in ("calls", "about")}
    calls = dict(data.get("calls", {}))
    if "form" in calls:
        calls["form"] = CallForm(calls["form"])
    if "text_starts" in own:
        own["text_starts"] = tuple(own["text_starts"])
    unknown = {*own} - {each.name for each in fields(Dialect)} | {*calls} - {each.name for each in fields(CallSyntax)}
    if unknown:
        raise ValueError(f"{name}: unknown keys {sorted(unknown)}")
    return Dialect(name=name, calls=CallSyntax(**calls), **own)


_JSON_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
}


def json_type(value: Any) -> str:
    """The JSON Schema type of a value."""
    return "null" if value is None else _JSON_TYPES[type(value)]


def tools_prompt(tools: Sequence[Tool], dialect: Dialect) -> str:
    """The tools and their call form, for a model whose template does not support tools. Keeps the order given (C1)."""
    listed = "\n".join(json.dumps(tool_as_json(tool), ensure_ascii=False) for tool in tools)
    example = dialect.call_text([ToolCall(_EXAMPLE_ID, "<function-name>", '{"<argument>": "<value>"}')])
    example = example.replace('{"<argument>": "<value>"}', "<arguments-object>")
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query. "
        f"The functions are given within <tools></tools>:\n<tools>\n{listed}\n</tools>\n\n"
        f"To call a function, write its name and arguments like this:\n{example}"
    )


def tool_as_json(tool: Tool) -> dict[str, object]:
    """A tool in the structure that chat templates expect."""
    function = {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.input_schema)}
    return {"type": "function", "function": function}


def result_text(text: str, *, is_error: bool) -> str:
    """A tool's result as text, for templates without a tool role."""
    return f"<tool_response>\n{'Error: ' if is_error else ''}{text}\n</tool_response>"
