import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import Tool, ToolCall
from pensieve.core.answers.parser import AnswerParser
from pensieve.core.answers.pieces import ArgumentsPiece, CallEnd, CallStart, Piece, TextPiece, ThinkingPiece
from pensieve.core.dialects.dialect import CallForm, CallSyntax, Dialect

HERMES = Dialect(think_start="<think>", think_end="</think>")
TOOLS = (Tool("get", "", '{"type": "object"}'),)
CALL = '<tool_call>\n{"name": "get", "arguments": {"a": "}\\"", "b": [1, {"c": 2}]}}\n</tool_call>'
ARGUMENTS = '{"a": "}\\"", "b": [1, {"c": 2}]}'


def merged(pieces: list[Piece]) -> list[Piece]:
    """Adjacent pieces of one kind joined, because where text is cut does not matter."""
    found: list[Piece] = []
    for piece in pieces:
        match (found[-1] if found else None, piece):
            case (TextPiece(before), TextPiece(text)):
                found[-1] = TextPiece(before + text)
            case (ThinkingPiece(before), ThinkingPiece(text)):
                found[-1] = ThinkingPiece(before + text)
            case (ArgumentsPiece(before), ArgumentsPiece(text)):
                found[-1] = ArgumentsPiece(before + text)
            case _:
                found.append(piece)
    return found


def parsed(
    text: str,
    *,
    tools: tuple[Tool, ...] = TOOLS,
    dialect: Dialect = HERMES,
    starts_thinking: bool = False,
    streams: bool = True,
    size: int = 0,
) -> list[Piece]:
    parser = AnswerParser(dialect, tools, starts_thinking=starts_thinking, streams_calls=streams)
    size = size or len(text) or 1
    pieces = [piece for at in range(0, len(text), size) for piece in parser.feed(text[at : at + size])]
    return merged(pieces + parser.finish())


def test_plain_text_is_text() -> None:
    assert parsed(" Hello there.\n ") == [TextPiece(" Hello there.\n ")]


def test_a_call_keeps_its_arguments_as_written() -> None:
    assert parsed(CALL) == [CallStart("get"), ArgumentsPiece(ARGUMENTS), CallEnd()]


def test_arguments_arrive_before_the_call_is_complete() -> None:
    parser = AnswerParser(HERMES, TOOLS)
    assert merged(parser.feed('<tool_call>{"name": "get", "arguments": {"a": 1')) == [
        CallStart("get"),
        ArgumentsPiece('{"a": 1'),
    ]
    assert parser.finish() == []


def test_text_before_a_call_loses_only_trailing_white_space() -> None:
    assert parsed(f"I will look.\n\n{CALL}\n{CALL}\n") == [
        TextPiece("I will look."),
        *([CallStart("get"), ArgumentsPiece(ARGUMENTS), CallEnd()] * 2),
    ]


def test_thinking_is_separated_from_text() -> None:
    assert parsed("<think>\nLet me see. </think>\n\nYes.") == [ThinkingPiece("Let me see. "), TextPiece("Yes.")]
    assert parsed("See.</think>\nYes.", starts_thinking=True) == [ThinkingPiece("See."), TextPiece("Yes.")]


def test_without_tools_a_mark_is_text() -> None:
    assert parsed(CALL, tools=()) == [TextPiece(CALL)]


def test_a_call_with_keys_in_another_order_is_emitted_at_its_end() -> None:
    text = '<tool_call>{"arguments": {"a": 1}, "name": "get"}</tool_call>'
    assert parsed(text) == [CallStart("get"), ArgumentsPiece('{"a": 1}'), CallEnd()]


def test_a_complete_call_without_its_closing_mark_is_a_call() -> None:
    assert parsed('<tool_call>{"name": "get"}') == [CallStart("get"), ArgumentsPiece("{}"), CallEnd()]


def test_anything_that_cannot_be_a_call_is_text() -> None:
    for text in ("<tool_call>nonsense</tool_call> after", '<tool_call>{"nam', "<tool_call>[1]</tool_call>", "<tool_c"):
        assert parsed(text) == [TextPiece(text)]


def test_without_streaming_a_call_is_emitted_when_complete() -> None:
    parser = AnswerParser(HERMES, TOOLS, streams_calls=False)
    whole, end = CALL[:-12], CALL[-12:]
    assert parser.feed(whole) == []
    assert parser.feed(end) == [CallStart("get"), ArgumentsPiece(ARGUMENTS), CallEnd()]


def test_without_streaming_a_call_that_is_cut_off_is_text() -> None:
    for end in range(len("<tool_call>"), len(CALL) - len("}\n</tool_call>")):
        assert parsed(CALL[:end], streams=False) == [TextPiece(CALL[:end])]


@pytest.mark.parametrize("streams", [True, False])
def test_a_call_that_a_limit_cuts_off_is_never_text(streams: bool) -> None:  # noqa: FBT001
    """A client would show the marks to its user, and could send them back as text."""
    begins = CALL.index(ARGUMENTS)
    for end in range(len("<tool_call>"), len(CALL) - len("}\n</tool_call>")):
        parser = AnswerParser(HERMES, TOOLS, streams_calls=streams)
        pieces = merged(parser.feed("So: " + CALL[:end]) + parser.finish(is_cut=True))
        call = [CallStart("get"), ArgumentsPiece(CALL[begins:end])] if end > begins else []
        assert [piece for piece in pieces if piece != CallEnd()] == [TextPiece("So:"), *call]
        assert (CallEnd() in pieces) == CALL[:end].endswith(ARGUMENTS)


def test_text_that_a_limit_cuts_off_stays_text() -> None:
    for text in ("So: <tool", '{"name": "ge', '<tool_call>{"name": "put", "arguments": {"a'):
        parser = AnswerParser(HERMES, TOOLS, streams_calls=False)
        assert merged(parser.feed(text) + parser.finish(is_cut=True)) == [TextPiece(text)]


def test_a_call_of_an_unknown_tool_is_text() -> None:
    text = CALL.replace("get", "put")
    assert parsed(text) == [TextPiece(text)]
    assert parsed(text, streams=False) == [TextPiece(text)]


def test_the_closing_mark_may_occur_in_a_string() -> None:
    text = '<tool_call>{"name": "get", "arguments": {"a": "</tool_call>"}}</tool_call>After.'
    for streams in (True, False):
        assert parsed(text, streams=streams) == [
            CallStart("get"),
            ArgumentsPiece('{"a": "</tool_call>"}'),
            CallEnd(),
            TextPiece("After."),
        ]


def test_a_broken_call_is_text_and_the_next_one_is_a_call() -> None:
    broken = '<tool_call>{"name": "get", "arguments": {"a": }}</tool_call>'
    assert parsed(f"{broken}\n{CALL}", streams=False) == [
        TextPiece(broken),
        CallStart("get"),
        ArgumentsPiece(ARGUMENTS),
        CallEnd(),
    ]


def test_several_calls_in_one_wrapper_are_several_calls() -> None:
    one = '{"name": "get", "arguments": {}}'
    for body in (f"{one}\n{one}", f"[{one}, {one}]"):
        assert parsed(f"<tool_call>\n{body}\n</tool_call>", streams=False) == [
            *(CallStart("get"), ArgumentsPiece("{}"), CallEnd()),
            *(CallStart("get"), ArgumentsPiece("{}"), CallEnd()),
        ]


def test_an_answer_may_be_a_call_without_a_mark() -> None:
    bare = Dialect(calls=CallSyntax(bare='{"name":'))
    text = '{"name": "get", "arguments": {"a": 1}}'
    assert parsed(text, dialect=bare) == [CallStart("get"), ArgumentsPiece('{"a": 1}'), CallEnd()]
    other = '{"name": "Ada", "age": 3}'
    assert parsed(other, dialect=bare) == [TextPiece(other)]
    assert parsed(f"See: {text}", dialect=bare) == [TextPiece(f"See: {text}")]


HARMONY = Dialect(
    calls=CallSyntax(
        form=CallForm.NAMED, start="[c] to=", call="{name} json[m]{arguments}", between="[c] to=", max_calls=1
    ),
    think_start="[c]analysis[m]",
    think_end="[e]",
    text_starts=("[c]final[m]",),
    text_end="[e]",
    joint="[s]assistant",
    header_end="[m]",
    thinking_header="analysis",
    call_header=r"to=(?P<name>\w+)",
)


def test_headers_identify_the_parts_of_an_answer() -> None:
    text = "[c]analysis[m]Hm.[e][s]assistant[c]final[m]Hello![e]"
    assert parsed(text, dialect=HARMONY) == [ThinkingPiece("Hm."), TextPiece("Hello!")]
    for header in ("[c] to=get json[m]", " to=get[c]x[m]", "[c]y to=get[m]"):
        for streams in (True, False):
            assert parsed(f'{header}{{"a": 1}}', dialect=HARMONY, streams=streams) == [
                CallStart("get"),
                ArgumentsPiece('{"a": 1}'),
                CallEnd(),
            ]


PARTS = st.lists(
    st.sampled_from([CALL, "<think>", "</think>", "<tool_call>", "</tool_call>", "text ", "\n", '{"name": "get"', "<"]),
    max_size=6,
)


@given(PARTS, st.integers(1, 9), st.booleans())
def test_how_the_text_is_divided_makes_no_difference(parts: list[str], size: int, streams: bool) -> None:  # noqa: FBT001
    text = "".join(parts)
    assert parsed(text, size=size, streams=streams) == parsed(text, streams=streams)


@given(st.text(max_size=60), st.booleans())
def test_parsing_never_raises_and_closes_calls_in_order(text: str, starts_thinking: bool) -> None:  # noqa: FBT001
    is_open = False
    for piece in parsed(f"<tool_call>{text}", starts_thinking=starts_thinking):
        assert isinstance(piece, ArgumentsPiece | CallEnd) == is_open
        is_open = isinstance(piece, CallStart) or (is_open and not isinstance(piece, CallEnd))


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
        ),
    )
)
def test_arguments_round_trip(arguments: dict[str, object]) -> None:
    written = json.dumps(arguments, ensure_ascii=False)
    text = HERMES.call_text([ToolCall("", "get", written)])
    assert parsed(text, size=3) == [CallStart("get"), ArgumentsPiece(written), CallEnd()]
