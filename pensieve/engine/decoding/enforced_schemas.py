"""What of a request's schemas its answer will satisfy (W14, W16), and a refusal where that is too little.

A keyword that cannot be enforced is left out alone and named: in the log, once for each schema, or in a refusal where
the request is strict. Only tools that the answer may call count.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from llguidance import LLMatcher

from contracts.values.vocabulary import GenerationRequest, Tool
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.grammar import FORCED, callable_tools, schema_grammar
from pensieve.core.dialects.writable import unenforced, why_not_writable
from pensieve.core.errors import ValidationError
from pensieve.core.schemas.combinations import excess_of, size_of_multiple
from pensieve.core.schemas.enforceable import UNSATISFIABLE, Enforceable, enforceable
from pensieve.core.schemas.gap import Gap
from pensieve.core.schemas.plain import MAX_MULTIPLES, MAX_PATTERNS, is_multiple
from pensieve.engine.decoding.bounded_memo import BoundedMemo

log = logging.getLogger(__name__)

MAX_WORK: Final = 200_000
"""Of all tools of a request, as `work_of` counts it: 1.6 s."""
_PAIR_WORK: Final = 2
"""Of each two patterns of keys."""
MAX_BYTES: Final = 16 * 1000**2
"""The default limit of all verdicts: clients may keep sending new schemas."""
_GAP_BYTES: Final = 500
ANY_OBJECT: Final = '{"type": "object"}'
_MAX_NAMED: Final = 5
_OUTPUT: Final = "output_config.format.schema"


@dataclass(frozen=True, slots=True)
class _Verdict:
    schema: str
    """What can be enforced."""
    gaps: tuple[Gap, ...]
    impossible: Gap | None
    """Why nothing can be written that satisfies the schema."""

    @property
    def num_bytes(self) -> int:
        return sys.getsizeof(self.schema) + _GAP_BYTES * (1 + len(self.gaps))


class EnforcedSchemas:
    """The verdicts on schemas of one model's requests. Not thread-safe."""

    def __init__(self, dialect: Dialect, max_bytes: int = MAX_BYTES) -> None:
        self._dialect = dialect
        self._verdicts: BoundedMemo[_Verdict] = BoundedMemo(max_bytes, lambda verdict: verdict.num_bytes)

    @property
    def num_bytes(self) -> int:
        return self._verdicts.num_bytes

    def of(self, request: GenerationRequest) -> GenerationRequest:
        """The request with schemas that can be enforced.

        Raises:
            ValidationError: a tool is strict or must be called, or an answer must match the output schema, and that is
                impossible. The message starts with the path of the keyword.
        """
        callables = callable_tools(request.tools, request.tool_choice)
        is_forced = request.tool_choice.mode in FORCED
        tools, work = list[Tool](), 0
        for number, tool in enumerate(request.tools):
            if tool not in callables:
                tools.append(tool)
                continue
            work += work_of(tool.input_schema)
            judge = self._tool if work <= MAX_WORK else self._unjudged
            tools.append(judge(tool, tool.place or f"tools.{number}", is_forced=is_forced))
        return replace(request, tools=tuple(tools), output_schema=self._output(request))

    def _unjudged(self, tool: Tool, place: str, *, is_forced: bool) -> Tool:
        reason = "it would take too long to compile with those of the tools before it: use fewer patterns and multiples"
        if is_forced or tool.strict:
            raise ValidationError(f"{place}.input_schema", reason)
        log.warning("the tool %r accepts any object as input. Its schema is not enforced: %s", tool.name, reason)
        return replace(tool, input_schema=ANY_OBJECT)

    def _tool(self, tool: Tool, place: str, *, is_forced: bool) -> Tool:
        field = f"{place}.input_schema"
        what = f"the tool {tool.name!r}"
        verdict = self._verdicts.get(f"tool {tool.name} {tool.input_schema}", lambda: self._judge_tool(tool, what))
        if verdict.impossible is not None:
            if is_forced or tool.strict:
                raise _refusal(field, [verdict.impossible], f"no call of {what} can satisfy its schema")
            return replace(tool, input_schema=ANY_OBJECT)
        if tool.strict and verdict.gaps:
            problem = f"{what} is strict, but its schema cannot be enforced"
            raise _refusal(field, verdict.gaps, problem, "leave the keyword out, or send the tool without strict")
        return replace(tool, input_schema=verdict.schema)

    def _output(self, request: GenerationRequest) -> str | None:
        schema = request.output_schema
        if schema is None:
            return None
        verdict = self._verdicts.get(f"output {schema}", lambda: self._judge_output(schema))
        if verdict.impossible is not None:
            raise _refusal(_OUTPUT, [verdict.impossible], "no answer can satisfy it")
        dangling = [gap for gap in verdict.gaps if gap.dangling]
        if dangling or (request.strict_output and verdict.gaps):
            problem, advice = "it cannot be enforced", "leave the keyword out, or send the format without strict"
            raise _refusal(_OUTPUT, dangling or verdict.gaps, problem, "" if dangling else advice)
        return verdict.schema

    def _judge_tool(self, tool: Tool, what: str) -> _Verdict:
        found = enforceable(json.loads(tool.input_schema), problem_of)
        gaps, impossible = found.gaps, found.contradiction
        if impossible is None:
            unwritable = why_not_writable(found.schema, self._dialect)
            impossible = Gap((), "", unwritable) if unwritable else None
            gaps += unenforced(found.schema, self._dialect)
        if impossible is not None:
            log.warning("no call of %s can satisfy its schema, so any object is accepted: %s", what, impossible)
        if isinstance(found.schema, dict):
            found = replace(found, schema={"type": "object", **found.schema})
        return self._verdict(found, gaps, impossible, what)

    def _judge_output(self, schema: str) -> _Verdict:
        found = enforceable(json.loads(schema), problem_of)
        return self._verdict(found, found.gaps, found.contradiction, "the output format")

    def _verdict(self, found: Enforceable, gaps: Sequence[Gap], impossible: Gap | None, what: str) -> _Verdict:
        if gaps and impossible is None:
            log.warning("%s: its schema is enforced without %s", what, _listed(gaps))
        return _Verdict(json.dumps(found.schema, ensure_ascii=False), tuple(gaps), impossible)


def _refusal(field: str, gaps: Sequence[Gap], problem: str, advice: str = "") -> ValidationError:
    place = ".".join(part for part in (field, gaps[0].place) if part)
    reasons = _listed(gaps) if len(gaps) > 1 else gaps[0].reason
    return ValidationError(place, f"{problem}: {reasons}{f'. To fix it, {advice}' if advice else ''}")


def _listed(gaps: Sequence[Gap]) -> str:
    more = len(gaps) - _MAX_NAMED
    return ", ".join(map(str, gaps[:_MAX_NAMED])) + (f", and {more} more" if more > 0 else "")


def problem_of(schema: object) -> str:
    """Why llguidance cannot compile a schema, in a sentence, or ""."""
    if any(number <= _MIN_INTEGER for number in _numbers_in(schema)):
        return _TOO_LARGE
    excess = excess_of(schema)
    if excess:
        return excess
    is_error, messages = LLMatcher.validate_grammar_with_warnings(schema_grammar(schema))
    if not is_error:
        return ""
    problem = messages[0]
    in_regex = re.search(r"\nerror: (.+)", problem)
    if in_regex is not None:
        return in_regex[1]
    line = problem.strip().splitlines()[0].removeprefix("at 1(8): ").removeprefix("failed to compile JSON schema: ")
    return next((sentence for start, sentence in _SENTENCES.items() if line.startswith(start)), line[:_MAX_CHARACTERS])


def work_of(schema: str) -> int:
    """How long what takes longest to compile takes, in units of about 8 microseconds."""
    if '"multipleOf"' not in schema and '"patternProperties"' not in schema:
        return 0
    multiples, num_patterns, waiting = 0, 0, [json.loads(schema)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            multiple, patterns = part.get("multipleOf"), part.get("patternProperties")
            multiples += min(size_of_multiple(multiple), MAX_MULTIPLES) if is_multiple(multiple) else 0
            num_patterns += len(patterns) if isinstance(patterns, dict) else 0
        waiting += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return min(multiples, MAX_MULTIPLES) + _PAIR_WORK * min(num_patterns, MAX_PATTERNS) ** 2


def _numbers_in(value: Any) -> Iterator[int | float]:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as parts:
                waiting += parts.values()
            case list() as parts:
                waiting += parts
            case int() | float() as number:
                yield number


_MIN_INTEGER: Final = -(2**63) + 512
"""llguidance 1.9 reads those up to this as floats of -2^63, and negates that without end, which ends the process."""
_TOO_LARGE: Final = "bounds this large are not supported"
_MAX_CHARACTERS: Final = 160
_SENTENCES: Final = {
    "oneOf constraints": "its schemas may not exclude each other, so any of them is accepted",
    "lookarounds not supported yet": "word boundaries, and anchors other than at either end, are not supported",
    "Failed to generate regex for": _TOO_LARGE,
    "min/maxProperties only": "it is only supported if every named property is required",
    "patternProperty regexes": "only patterns that no key can match two of are supported",
    f"{UNSATISFIABLE}Regex is empty": f"{UNSATISFIABLE}no text has its pattern, format and length",
    f"{UNSATISFIABLE}anyOf is empty": f"{UNSATISFIABLE}it allows no value",
}
"""How llguidance's messages begin, and what they mean to the writer of a schema."""
