"""The grammar that constrains an answer during decoding (W14, W16), in llguidance's Lark syntax.

One grammar covers the whole answer: thinking, free text, and calls in the model's own dialect. Free text ends at a
mark; the mark of a call must be followed by a call of a known tool whose arguments satisfy its schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from contracts.values.vocabulary import GenerationRequest, Tool, ToolChoice, ToolMode
from pensieve.core.dialects.call_rules import call_rules
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.json_rule import json_rule
from pensieve.core.dialects.marks import is_mark
from pensieve.core.dialects.text_rules import ANYTHING, not_beginning_with, quoted, until
from pensieve.core.schemas.combinations import max_forced_characters

FORCED = (ToolMode.ANY, ToolMode.TOOL)
MAX_FORCED_CHARACTERS: Final = 10_000
_MULTIPLIES: Final = re.compile(r'"(?:\$ref|min(?:Items|Length|Properties))"|\{\d')
"""What makes the text that a schema requires longer than the schema."""
_WITHOUT_FORCING: Final = '%llguidance {"no_forcing": true}\n'
"""llguidance 1.9 reads all text that must come at once, in 2 microseconds a character, and ends an answer where that
takes too long. Without forcing it reads no further than a token. But then a model splits that text into tokens as it
likes, and a small model writes half as many tokens again: so only where the text may be long.
"""


def schema_grammar(schema: Any) -> str:
    """A grammar for JSON that satisfies a schema."""
    return f"start: {json_rule(schema)}\n"


def answer_grammar(request: GenerationRequest, dialect: Dialect, *, starts_thinking: bool) -> str | None:
    """The grammar for an answer to `request`, or None if the answer is unconstrained.

    `dialect` must be bound to the model's tokens.
    """
    tools = callable_tools(request.tools, request.tool_choice)
    if not tools and request.output_schema is None:
        return None
    writer = _Writer(dialect)
    if tools:
        is_one = request.tool_choice.mode is ToolMode.TOOL  # the named tool is called once
        writer.rules |= call_rules(tools, dialect, parallel=request.tool_choice.parallel and not is_one)
    if request.output_schema is not None:
        writer.rules["output"] = json_rule(json.loads(request.output_schema))
    start = writer.whole(_answer(request, tools, writer), starts_thinking=starts_thinking)
    rules = "\n".join([f"start: {start}", *(f"{name}: {body}" for name, body in writer.rules.items())]) + "\n"
    return (_WITHOUT_FORCING if _forces_much(request, tools) else "") + rules


def _forces_much(request: GenerationRequest, tools: Sequence[Tool]) -> bool:
    schemas = [tool.input_schema for tool in tools] + ([request.output_schema] if request.output_schema else [])
    possible = (each for each in schemas if len(each) > MAX_FORCED_CHARACTERS or _MULTIPLIES.search(each))
    return any(max_forced_characters(json.loads(each)) > MAX_FORCED_CHARACTERS for each in possible)


def callable_tools(tools: Sequence[Tool], choice: ToolChoice) -> tuple[Tool, ...]:
    offered = tuple(tool for tool in tools if not tool.withdrawn)
    match choice.mode:
        case ToolMode.NONE:
            return ()
        case ToolMode.TOOL:
            return tuple(tool for tool in offered if tool.name == choice.name)
        case ToolMode.ANY:
            return tuple(tool for tool in offered if not tool.unavailable)
        case _:
            return offered


def _answer(request: GenerationRequest, tools: Sequence[Tool], writer: _Writer) -> str:
    """The rule for the answer after the thinking."""
    if request.tool_choice.mode in FORCED and tools:
        return f"{writer.empty_text} calls"
    if request.output_schema is not None:
        output = f"{writer.opening} output{writer.optional(writer.dialect.text_end)}"
        return f"{output} | calls" if tools else output
    return writer.text_or_calls(tools)


class _Writer:
    """Collects the rules of one grammar."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.rules: dict[str, str] = {}

    def whole(self, answer: str, *, starts_thinking: bool) -> str:
        answer = self._with_thinking(f"({answer})", starts_thinking=starts_thinking)
        return f"{answer}{self.optional(self.dialect.tail)}"

    @property
    def opening(self) -> str:
        """The optional marks before the text of an answer."""
        starts = " | ".join(self._quoted(start) for start in self.dialect.text_starts)
        return f"({starts}){'' if self.dialect.header_end else '?'}" if starts else ""

    @property
    def empty_text(self) -> str:
        """An optional empty text before the calls, which Kimi K3 always writes."""
        dialect = self.dialect
        if not dialect.text_starts or not dialect.text_end or dialect.header_end:
            return ""
        starts = " | ".join(self._quoted(start) for start in dialect.text_starts)
        return f"(({starts}) {self._quoted(dialect.text_end)}{self.optional(dialect.joint)})?"

    def optional(self, text: str) -> str:
        return f" ({self._quoted(text)})?" if text else ""

    def text_or_calls(self, tools: Sequence[Tool]) -> str:
        """Free text, calls, or text followed by calls."""
        dialect, start = self.dialect, self.dialect.calls.start
        self.rules["REST"] = ANYTHING
        ended = self.optional(dialect.text_end)
        if dialect.header_end:
            return f"calls | {self.opening} REST ({self._quoted(dialect.text_end + dialect.joint)} calls)?{ended}"
        if not start:
            self.rules["REST"] = not_beginning_with(dialect.heads([tool.name for tool in tools]))
            return f"{self.opening} (calls | REST)"
        if dialect.text_end:
            between = f"{ended}{self.optional(dialect.joint)}"
            return f"{self.opening} REST{between} calls | {self.opening} REST{ended}"
        self.rules |= until("until_call", start, dialect.marks)
        return f"{self.opening} until_call more_calls | {self.opening} REST"

    def _with_thinking(self, answer: str, *, starts_thinking: bool) -> str:
        opens, closes = self.dialect.think_start, self.dialect.think_end
        if opens is None or closes is None:
            return answer
        self.rules |= until("thought", closes, self.dialect.marks)
        self.rules["space"] = r"/\n{0,2}/"
        after = f"space{self.optional(self.dialect.joint)}"
        if starts_thinking:
            return f"thought {after} {answer}"
        closed = f" | {self._quoted(closes)} {after}" if len(closes) == 1 and is_mark(closes) else ""
        return f"(space {self._quoted(opens)} thought {after}{closed})? {answer}"

    def _quoted(self, text: str) -> str:
        return quoted(text, self.dialect.marks)
