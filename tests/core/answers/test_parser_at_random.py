"""Random answers made of calls and garbage: parsing never raises, and how the text is divided makes no difference."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import settings

from contracts.values.vocabulary import Tool, ToolCall
from pensieve.core.answers.pieces import ArgumentsPiece, CallEnd, CallStart
from pensieve.core.dialects.dialect import Dialect
from pensieve.models.tokenizers.dialect_of import known_families
from tests.core.answers.test_parser import parsed

TOOLS = (
    Tool("get", "", '{"type": "object", "properties": {"q": {"type": "string"}}}'),
    Tool("get_weather", "", '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'),
)
NUM_TEXTS = settings().max_examples // 4
NUM_CALLS = 300
"""A parser that calls itself for each of them reaches Python's limit."""


def fragments(dialect: Dialect) -> list[str]:
    """Complete calls, and pieces from which calls and garbage can be made."""
    calls = [("get", '{"q": "</x> \\"}"}'), ("get_weather", '{"city": "Rome", "days": 1e999}'), ("unknown", "{}")]
    syntax = dialect.calls
    texts = [dialect.call_text([ToolCall("abcdefghi", name, arguments)]) for name, arguments in calls]
    texts += [syntax.start, syntax.between, syntax.end, syntax.bare, syntax.bare_end, *dialect.text_starts]
    texts += [dialect.think_start or "", dialect.think_end or "", dialect.text_end, dialect.joint, dialect.header_end]
    texts += [*"\n{}[]()<>\\'\"\x00", "Hello ", "get_weather", '{"name": "get", "arguments": "{}"}', "\ud800"]
    return [text for text in texts if text]


@pytest.mark.parametrize("dialect", [family.dialect for family in known_families()], ids=lambda dialect: dialect.name)
def test_any_answer_is_parsed_the_same_however_it_is_divided(dialect: Dialect) -> None:
    pool = fragments(dialect)
    for number in range(NUM_TEXTS):
        chance = random.Random(f"{dialect.name} {number}")  # noqa: S311 - no secrets
        chosen = [chance.choice(pool) for _ in range(chance.randrange(1, 7))]
        text = "".join(part if chance.random() < 0.8 else part[: chance.randrange(len(part) + 1)] for part in chosen)
        for streams in (True, False):
            whole = parsed(text, tools=TOOLS, dialect=dialect, streams=streams)
            assert whole == parsed(text, tools=TOOLS, dialect=dialect, streams=streams, size=1), text
            assert whole == parsed(text, tools=TOOLS, dialect=dialect, streams=streams, size=7), text
        for at, piece in enumerate(whole):  # of an answer without a grammar
            if isinstance(piece, CallStart):
                arguments, end = whole[at + 1 : at + 3]
                assert piece.name in {"get", "get_weather"}
                assert isinstance(end, CallEnd)
                assert isinstance(arguments, ArgumentsPiece)
                assert isinstance(json.loads(arguments.json, parse_constant=pytest.fail), dict)
                assert arguments.json.encode()


@pytest.mark.parametrize("dialect", [family.dialect for family in known_families()], ids=lambda dialect: dialect.name)
def test_hundreds_of_calls_at_once_are_parsed(dialect: Dialect) -> None:
    text = f"{fragments(dialect)[0]} and " * NUM_CALLS
    whole = parsed(text, tools=TOOLS, dialect=dialect)
    assert whole == parsed(text, tools=TOOLS, dialect=dialect, size=len(text) // NUM_CALLS)
