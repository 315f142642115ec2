"""A model that writes nothing but spaces within a call costs no more than their number."""

from __future__ import annotations

import time
from typing import Any

import pytest

from contracts.values.vocabulary import Tool
from pensieve.core.answers import parser
from pensieve.core.answers.openings import MAX_CHARACTERS, after_arguments, read_head
from pensieve.core.answers.parser import PART_CHARACTERS, AnswerParser
from pensieve.core.answers.stop_sequences import StopSequenceFilter
from pensieve.core.dialects.dialect import CallSyntax
from pensieve.models.tokenizers.dialect_of import Family, known_families

LOOK = Tool("look", "", '{"type": "object"}')
SPACES = " " * 20_000
"""In quadratic time they take 10 s, in cubic time a day."""
NUM_TOKENS = MAX_CHARACTERS + 500
"""More than may be read."""


STREAMED = [family for family in known_families() if "{arguments}" in family.dialect.calls.call]


@pytest.mark.parametrize("family", STREAMED, ids=lambda family: family.dialect.name)
def test_spaces_take_linear_time(family: Family) -> None:
    calls = family.dialect.calls
    before = calls.call.partition("{arguments}")[0].replace("{name}", "look")
    started = time.process_time()
    for body in (SPACES, f"[{SPACES}", f"{before}{SPACES}", f"{SPACES}{before}{SPACES}x"):
        read_head(body, calls)
        after_arguments(body, calls)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("family", STREAMED, ids=lambda family: family.dialect.name)
@pytest.mark.parametrize("unit", [" ", "[", "x", "{"])
def test_a_call_that_never_begins_is_read_up_to_a_limit(
    family: Family, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not whole with each of its tokens."""
    lengths = lengths_of("read_head", monkeypatch)
    answer = AnswerParser(family.dialect, [LOOK])
    for text in (family.dialect.calls.start, *[4 * unit] * NUM_TOKENS):
        answer.feed(text)
    answer.finish()
    assert len(lengths) <= MAX_CHARACTERS


def test_spaces_after_a_call_are_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = lengths_of("after_arguments", monkeypatch)
    dialect = next(family.dialect for family in STREAMED if family.dialect.calls.end)
    answer = AnswerParser(dialect, [LOOK])
    before = dialect.calls.call.partition("{arguments}")[0].replace("{name}", "look")
    for text in (dialect.calls.start + before, "{}", *["    "] * NUM_TOKENS):
        answer.feed(text)
    assert 0 < len(lengths) <= MAX_CHARACTERS


def lengths_of(name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long the texts are that the parser's function of that name gets."""
    lengths: list[int] = []
    function = getattr(parser, name)

    def counted(body: str, calls: CallSyntax) -> Any:
        lengths.append(len(body))
        return function(body, calls)

    monkeypatch.setattr(parser, name, counted)
    return lengths


@pytest.mark.parametrize("family", known_families(), ids=lambda family: family.dialect.name)
def test_marks_in_text_that_is_given_back_are_found_part_by_part(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    split = StopSequenceFilter.split

    def counted(self: StopSequenceFilter, text: str) -> tuple[str, str | None, str]:
        lengths.append(len(text))
        return split(self, text)

    monkeypatch.setattr(StopSequenceFilter, "split", counted)
    dialect = family.dialect
    mark = dialect.think_end or dialect.text_end or dialect.calls.end or dialect.calls.start or "{"
    AnswerParser(dialect, [LOOK]).feed(5000 * mark)
    assert max(lengths) <= PART_CHARACTERS
