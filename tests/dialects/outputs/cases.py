"""The cases of each family: the model's raw text, and the blocks that a client must receive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from contracts.values.vocabulary import Tool
from tests.dialects.outputs.reading import Block
from tests.dialects.outputs.table import ONE_CALL, THOUGHT, TWO_CALLS, Output
from tests.dialects.outputs.writers import Call

TEXT: Final = "It is warm in Paris."
BEFORE: Final = "I will look it up."
AFTER: Final = "That is all."

TEXTS: Final = {
    "newlines and tabs": "def f(x):\n\tif x:\n\t\treturn 1\n\n    return 2\n",
    "quotes and backslashes": "say \"it's\" \\n not \\ 'fine' `ok` \"\"\" ''' end",
    "blanks around": "   two blanks before and after  ",
    "blank lines around": "\n\nfirst line\n\n",
    "only blanks": "    ",
    "nothing": "",
    "unicode": "naïve café — 日本語 🦙 👩‍👩‍👧 \u200b ∀x∈ℝ",
    "markup": '<html>\n <b>&amp; &</b> <br/>\n</html> <p a="1">[x](y)</p> {{ z }} {% if %}',
    "the word null": "null",
    "the word true": "true",
    "a number": "12",
    "json": '{"a": [1, "2", null]}',
    "a list in json": "[1, 2]",
}
"""Arguments that must arrive unchanged."""

CONFIG: Final = {
    "name": "null",
    "count": 12,
    "ratio": -0.5,
    "enabled": True,
    "tags": ["a b", "", "true"],
    "options": {"depth": 2, "label": "x, y", "on": False, "inner": {"list": [1, 2], "text": 'q"q'}},
}


def _schema(**properties: Any) -> str:
    return json.dumps({"type": "object", "properties": properties, "required": list(properties)})


_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_INNER: Final = {
    "type": "object",
    "properties": {"list": {"type": "array", "items": _INTEGER}, "text": _STRING},
}
_OPTIONS: Final = {
    "type": "object",
    "properties": {"depth": _INTEGER, "label": _STRING, "on": {"type": "boolean"}, "inner": _INNER},
}
TOOLS: Final = (
    Tool("get_weather", "The weather of a city", _schema(city=_STRING, days=_INTEGER)),
    Tool("get_time", "The time in a zone", _schema(zone=_STRING)),
    Tool("Write", "Write a file", _schema(path=_STRING, content=_STRING)),
    Tool(
        "configure",
        "Set everything",
        _schema(
            name=_STRING,
            count=_INTEGER,
            ratio={"type": "number"},
            enabled={"type": "boolean"},
            tags={"type": "array", "items": _STRING},
            options=_OPTIONS,
        ),
    ),
    Tool("ping", "Nothing to say", json.dumps({"type": "object", "properties": {}})),
)


@dataclass(frozen=True, slots=True)
class Case:
    """With `expected` None, the only requirement is that no call is complete."""

    name: str
    raw: str
    expected: list[Block] | None
    opens_thinking: bool = False
    spelled: str = ""
    """A mark that the model spells with ordinary tokens."""


def cases_of(output: Output) -> Iterator[Case]:
    yield Case("text", output.says(TEXT), [("text", TEXT)])
    yield Case("one call", output.one_call, _blocks(*ONE_CALL))
    if output.two_calls:
        yield Case("two calls", output.two_calls, _blocks(*TWO_CALLS))
    yield from _around(output)
    yield from _thinking(output)
    yield from _arguments(output)
    yield from _closing_marks(output)
    yield from _broken(output)
    if output.omitted:
        yield Case("wrapper omitted", output.omitted, _blocks(*ONE_CALL))


def _blocks(*calls: Call) -> list[Block]:
    return [("call", (call.name, call.arguments)) for call in calls]


def _around(output: Output) -> Iterator[Case]:
    if output.has_text_before_calls:
        raw = output.says_and_calls(BEFORE, ONE_CALL)
        yield Case("text before a call", raw, [("text", BEFORE), *_blocks(*ONE_CALL)])
    if output.has_text_after_calls:
        yield Case(
            "text after a call",
            output.one_call + output.after_call + AFTER,
            [*_blocks(*ONE_CALL), ("text", AFTER)],
        )


def _thinking(output: Output) -> Iterator[Case]:
    if output.thinking:
        thought, opens = ("thinking", THOUGHT), output.opens_thinking
        yield Case("text after thinking", output.thinking + output.says(TEXT), [thought, ("text", TEXT)], opens)
        yield Case("a call after thinking", output.thinking + output.one_call, [thought, *_blocks(*ONE_CALL)], opens)


def _arguments(output: Output) -> Iterator[Case]:
    for name, text in TEXTS.items():
        call = Call("Write", {"path": "notes/a b.py", "content": text})
        yield Case(f"a text: {name}", output.calls(call), _blocks(call))
    yield Case("all types", output.calls(Call("configure", CONFIG)), _blocks(Call("configure", CONFIG)))
    yield Case("no arguments", output.calls(Call("ping", {})), _blocks(Call("ping", {})))


def _closing_marks(output: Output) -> Iterator[Case]:
    if mark := output.closing_mark:
        call = Call("Write", {"path": "notes/a.py", "content": f"before {mark} after"})
        yield Case("its closing mark in a text", output.calls(call), _blocks(call))
        yield Case("its closing mark spelled in a text", output.calls(call), _blocks(call), spelled=mark)


def _broken(output: Output) -> Iterator[Case]:
    call = Call("Write", {"path": "notes/a.py", "content": "one two three four"})
    raw = output.calls(call)
    for part in ("notes", "one two", "three"):
        yield Case(f"cut off after {part}", raw[: raw.index(part) + len(part)], None)
    yield Case("cut off in the name", raw[: raw.index("Write") + 3], None)
    unknown = Call("delete_everything", {"path": "/"})
    yield Case("an unknown tool", output.calls(unknown), None)
    yield Case("malformed", _malformed(output), None)


def _malformed(output: Output) -> str:
    """A call that breaks off inside an argument and then ends like a complete one."""
    raw = output.calls(Call("Write", {"path": "notes/a.py", "content": "MIDDLE"}))
    before, _, after = raw.partition("MIDDLE")
    mark = output.closing_mark
    return before + after[after.rindex(mark) :] if mark and mark in after else before
