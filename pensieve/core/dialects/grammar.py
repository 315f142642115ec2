"""The grammar that an answer is held to while it is decoded (W14, W16), in llguidance's dialect of Lark.

One grammar covers the whole answer: thinking, free text, calls. Free text ends, lazily, where a mark begins; after the
mark of a call there is no way on but a call of a known tool whose arguments satisfy its schema.

Source: llguidance's documentation, "Lark syntax" (suffix, %json).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from contracts.vocabulary import GenerationRequest, Tool, ToolChoice, ToolMode
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.json_rule import json_rule
from pensieve.core.dialects.qwen_xml import xml_call_rules

MAX_CALLS = 8
"""In one answer. Small models, held to "one call or more", would otherwise call until max_tokens."""

_ANYTHING = r"/(.|\n)*/"


def schema_grammar(schema: str, *, lenient: bool) -> str:
    """A grammar of the JSON that satisfies a schema. A lenient one passes over the keywords it does not know."""
    return f"start: {json_rule(json.loads(schema), lenient=lenient)}\n"


def answer_grammar(
    request: GenerationRequest, dialect: Dialect, *, starts_thinking: bool, lenient: frozenset[str] = frozenset()
) -> str | None:
    """The grammar for an answer to `request`, or None where it is free.

    `lenient` names the tools (and "" the output) whose schemas are only understood in part.
    """
    tools, choice = _callable(request.tools, request.tool_choice), request.tool_choice
    if not dialect.call_end:
        choice = replace(choice, parallel=False)  # where nothing ends a call, a second one would be part of the first
    is_held = dialect.call_form is not CallForm.OTHER or choice.mode in (ToolMode.ANY, ToolMode.TOOL)
    rules: dict[str, str] = {}
    if tools and is_held:
        rules |= _call_rules(tools, dialect, lenient)
    answer = _answer(request, has_calls=bool(rules), choice=choice)
    if answer is None:
        return None
    if request.output_schema is not None:
        rules["output"] = json_rule(json.loads(request.output_schema), lenient="" in lenient)
    if "rest" in answer:
        rules["rest"] = _ANYTHING
    if "until_call" in answer:
        rules |= _until("until_call", dialect.call_start, dialect)
    start = _with_thinking(answer, dialect, rules, starts_thinking=starts_thinking)
    return "\n".join([f"start: {start}", *(f"{name}: {body}" for name, body in rules.items())]) + "\n"


def _callable(tools: Sequence[Tool], choice: ToolChoice) -> tuple[Tool, ...]:
    match choice.mode:
        case ToolMode.NONE:
            return ()
        case ToolMode.TOOL:
            return tuple(tool for tool in tools if tool.name == choice.name)
        case _:
            return tuple(tools)


def _answer(request: GenerationRequest, *, has_calls: bool, choice: ToolChoice) -> str | None:
    """The part after the thinking."""
    one_or_more = f'call ("\\n" call){{0,{MAX_CALLS - 1}}}' if choice.parallel else "call"
    if choice.mode in (ToolMode.ANY, ToolMode.TOOL):
        return one_or_more if choice.mode is ToolMode.ANY else "call"
    if request.output_schema is not None:
        return f"output | {one_or_more}" if has_calls else "output"
    if not has_calls:
        return None
    more = f' ("\\n" call){{0,{MAX_CALLS - 1}}}' if choice.parallel else ""
    return f"until_call call_body{more} | rest"


def _call_rules(tools: Sequence[Tool], dialect: Dialect, lenient: frozenset[str]) -> dict[str, str]:
    bodies = []
    rules = {"call": f"{_mark(dialect.call_start, dialect)} call_body", "call_body": ""}
    for number, tool in enumerate(tools):
        if dialect.call_form is CallForm.XML:
            bodies.append(f"function_{number} {_mark(dialect.call_end, dialect)}")
            rules.update(xml_call_rules(tool, number, lenient=tool.name in lenient))
            continue
        head = json.dumps(f'\n{{"name": {json.dumps(tool.name)}, "arguments": ')
        bodies.append(f'{head} arguments_{number} "}}\\n" {_mark(dialect.call_end, dialect)}')
        rules[f"arguments_{number}"] = json_rule(json.loads(tool.input_schema), lenient=tool.name in lenient)
    rules["call_body"] = " | ".join(bodies)
    return rules


def _with_thinking(answer: str, dialect: Dialect, rules: dict[str, str], *, starts_thinking: bool) -> str:
    if dialect.think_start is None or dialect.think_end is None:
        return answer
    rules |= _until("thought", dialect.think_end, dialect)
    rules["space"] = r"/\n{0,2}/"
    if starts_thinking:
        return f"thought space ({answer})"
    return f"({_mark(dialect.think_start, dialect)} thought space)? ({answer})"


def _mark(mark: str, dialect: Dialect) -> str:
    """A mark in the grammar: its text, or the control token that it is."""
    control_id = dialect.control_ids.get(mark)
    return json.dumps(mark) if control_id is None else f"<[{control_id}]>"


def _until(name: str, mark: str, dialect: Dialect) -> dict[str, str]:
    """The rule for free text up to and with a mark. Text ends lazily; a control token ends it by itself."""
    if mark in dialect.control_ids:
        return {name: f"{name}_text {_mark(mark, dialect)}", f"{name}_text": _ANYTHING}
    return {f"{name}[suffix={json.dumps(mark)}]": _ANYTHING}
