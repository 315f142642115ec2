"""How a model writes what is not plain text: its thinking, and its calls of tools.

A dialect is data: one file of `families/` for each. The default one, of Hermes and Qwen, is also the general form for
models whose template has no words for tools:

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
"""The name of the dialect that models without one of their own are taught in the prompt."""
CDATA_START: Final = "<![CDATA["
CDATA_END: Final = "]]>"
_EXAMPLE_ID: Final = "a1b2c3d4e"


class CallForm(Enum):
    """How one call is written."""

    OBJECT = "object"
    """A JSON object that has the name and the arguments, several of them perhaps in a list."""
    NAMED = "named"
    """A head with the name, then the arguments."""
    TAGGED = "tagged"
    """A head with the name, then each argument between tags of its own: text as it is, everything else as JSON."""


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """Texts are as the model writes them; `call` and `parameter` are patterns (`pensieve.core.dialects.patterns`)."""

    form: CallForm = CallForm.OBJECT
    start: str = "<tool_call>"
    """What opens the first call. Empty where calls can only begin the answer, with nothing before them."""
    call: str = '\n{"name": "{name}", "arguments": {arguments}}\n</tool_call>'
    """One call, behind `start` or `between`."""
    between: str = "\n<tool_call>"
    end: str = ""
    """What follows the last call."""
    also: str = ""
    """A call with its opening in the other form that the family writes, if it has two."""
    parameter: str = ""
    """One argument of a tagged call."""
    types: Mapping[str, str] = field(default_factory=dict)
    """For `{type}`: the dialect's words for the types of JSON; "other" for all that are not there."""
    arguments: str = "json"
    """How the arguments of a named call are written: a key of SYNTAXES."""
    name_key: str = "name"
    arguments_key: str = "arguments"
    bare: str = ""
    """How a call begins whose `start` was left out. At the beginning of the answer alone, where it is JSON."""
    bare_end: str = ""
    id_pattern: str = "[a-zA-Z0-9]{9}"
    """A regular expression for the ids that a model makes up itself."""
    first_index: int = 0
    cdata: bool = False
    """Whether the text of a tagged argument may stand between <![CDATA[ and ]]>."""
    max_calls: int = 8
    """In one answer. Small models, held to "one call or more", would otherwise call until max_tokens."""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.start, self.call, self.between, self.end, self.also, self.parameter, self.bare, self.bare_end)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Marks are the text that opens and closes a part. `bound` puts a model's own tokens in their places."""

    name: str = DEFAULT_DIALECT
    calls: CallSyntax = CallSyntax()
    think_start: str | None = None
    think_end: str | None = None
    text_starts: tuple[str, ...] = ()
    """Marks that may open the text of an answer."""
    text_end: str = ""
    joint: str = ""
    """What stands between one part of an answer and the next."""
    tail: str = ""
    """What a model writes at the end of its turn, before the token that ends it."""
    header_end: str = ""
    """Where each part begins with a header: the mark that ends it."""
    thinking_header: str = ""
    """A regular expression: what the header of a thinking part has in it, without marks."""
    call_header: str = ""
    """A regular expression with a group `name`: what the header of a call has in it."""
    call_opening: str = ""
    """A pattern: what is written before `calls.start` where a part needs a header."""
    marks: Marks = Marks()  # noqa: RUF009 - frozen

    @property
    def texts(self) -> Iterator[str]:
        """All texts in which tokens of the model may stand."""
        yield from self.calls.texts
        yield from self.text_starts
        yield from SYNTAXES[self.calls.arguments].marks
        yield from (self.think_start or "", self.think_end or "", self.text_end, self.joint, self.tail)
        yield from (self.header_end, self.call_opening)

    def bound(self, added_tokens: Mapping[str, int]) -> Dialect:
        """The dialect for one model: `added_tokens` are those of its tokenizer, special or not, by their text."""
        marks = marks_in(self.texts, added_tokens)
        bound = marks.bound
        in_calls: dict[str, Any] = {name: bound(getattr(self.calls, name)) for name in _TEXTS_OF_CALLS}
        calls = replace(self.calls, **in_calls)
        texts: dict[str, Any] = {name: bound(text) for name in _TEXTS if (text := getattr(self, name)) is not None}
        return replace(self, calls=calls, text_starts=tuple(map(bound, self.text_starts)), marks=marks, **texts)

    def call_text(self, calls: Sequence[ToolCall]) -> str:
        """All calls of a turn as this family writes them, as a reader sees them.

        Raises:
            ValueError: arguments are not the JSON of an object.
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
        """How calls of these tools begin, up to the end of the name, behind `calls.start`."""
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
    """A dialect from the table of its file.

    Raises:
        TypeError, ValueError: a key or a value is not known.
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
    """The type of a value in the words of JSON Schema."""
    return "null" if value is None else _JSON_TYPES[type(value)]


def tools_prompt(tools: Sequence[Tool], dialect: Dialect) -> str:
    """What a model whose template has no words for tools reads of them. Tools stand in the order given (C1)."""
    listed = "\n".join(json.dumps(tool_as_json(tool), ensure_ascii=False) for tool in tools)
    example = dialect.call_text([ToolCall(_EXAMPLE_ID, "<function-name>", '{"<argument>": "<value>"}')])
    example = example.replace('{"<argument>": "<value>"}', "<arguments-object>")
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query. "
        f"The functions are given within <tools></tools>:\n<tools>\n{listed}\n</tools>\n\n"
        f"To call a function, write its name and arguments like this:\n{example}"
    )


def tool_as_json(tool: Tool) -> dict[str, object]:
    """A tool in the form that chat templates expect."""
    function = {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.input_schema)}
    return {"type": "function", "function": function}


def result_text(text: str, *, is_error: bool) -> str:
    """A tool's result, for templates without a role for it."""
    return f"<tool_response>\n{'Error: ' if is_error else ''}{text}\n</tool_response>"
