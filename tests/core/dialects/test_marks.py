"""Tokens of a model in the texts of its dialect become private-use characters."""

from __future__ import annotations

from pensieve.core.dialects.dialect import CallSyntax, Dialect
from pensieve.core.dialects.marks import Marks, is_mark, marks_in

ADDED = {"<tool_call>": 7, "</tool_call>": 8, "<tool": 9, "<|end|>": 10, "\n\n": 11, "": 12}


def test_added_tokens_in_the_texts_are_marks_special_or_not() -> None:
    marks = marks_in(["<tool_call>\n\n", "x</tool_call>"], ADDED)
    assert dict(marks.token_ids) == {"<tool_call>": 7, "</tool_call>": 8}
    assert sorted(marks.characters) == [7, 8]


def test_a_mark_becomes_one_character_and_back() -> None:
    marks = marks_in(["<tool_call>", "</tool_call>"], ADDED)
    bound = marks.bound("a<tool_call>b</tool_call>")
    assert len(bound) == 4
    assert [is_mark(character) for character in bound] == [False, True, False, True]
    assert marks.token_id(bound[1]) == 7
    assert marks.plain(bound) == "a<tool_call>b</tool_call>"
    assert marks.plain_in({bound[1]: [bound[3], 1, None]}) == {"<tool_call>": ["</tool_call>", 1, None]}


def test_without_tokens_nothing_changes() -> None:
    assert Marks().bound("<tool_call>") == Marks().plain("<tool_call>") == "<tool_call>"
    assert marks_in(["<tool_call>"], {}) == Marks()


def test_a_bound_dialect_writes_the_same_text() -> None:
    dialect = Dialect(calls=CallSyntax(), think_start="<think>", think_end="</think>")
    bound = dialect.bound({**ADDED, "</think>": 13})
    assert bound.calls.start != dialect.calls.start
    assert bound.think_start == "<think>"
    assert bound.think_end == bound.marks.bound("</think>")
