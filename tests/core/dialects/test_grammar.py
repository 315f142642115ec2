"""What the grammars let through, by the library that enforces them, on a tokenizer of single bytes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Tool, ToolCall, ToolChoice, ToolMode
from pensieve.core.dialects.dialect import CallForm, CallSyntax, Dialect
from pensieve.core.dialects.grammar import answer_grammar
from perf_gates.loads.byte_tokenizer import write_byte_tokenizer

GET = Tool(
    "get",
    "",
    '{"type": "object", "properties": {"city": {"type": "string"}},'
    ' "required": ["city"], "additionalProperties": false}',
)
PUT = Tool("put", "", '{"type": "object", "properties": {}, "additionalProperties": false}')
GENERAL = Dialect()
THINKING = Dialect(think_start="<think>", think_end="</think>")
MAX_CALLS = GENERAL.calls.max_calls


def written(name: str, arguments: str, dialect: Dialect = GENERAL) -> str:
    return dialect.call_text([ToolCall("abcdefghi", name, arguments)])


GET_CALL = written("get", '{"city": "Paris"}')
PUT_CALL = written("put", "{}")
NUMBER = '{"type": "integer"}'


@cache
def tokenizer() -> Tokenizer:
    with TemporaryDirectory() as folder:
        return Tokenizer.from_file(str(write_byte_tokenizer(Path(folder)) / "tokenizer.json"))


def lets_through(answer: str, request: GenerationRequest, dialect: Dialect, *, starts_thinking: bool = False) -> bool:
    grammar = answer_grammar(request, dialect, starts_thinking=starts_thinking)
    assert grammar is not None
    matcher = LLMatcher(LLTokenizer(tokenizer().to_str(), eos_token=2), grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tokenizer().encode(answer, add_special_tokens=False).ids
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


def asking(mode: ToolMode = ToolMode.AUTO, name: str | None = None, *, parallel: bool = True) -> GenerationRequest:
    choice = ToolChoice(mode, name, parallel)
    return GenerationRequest((ChatMessage(Role.USER, "x"),), 9, tools=(GET, PUT), tool_choice=choice)


def asking_for(tool: Tool, mode: ToolMode = ToolMode.AUTO, name: str | None = None) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, "x"),), 9, tools=(tool,), tool_choice=ToolChoice(mode, name))


BAD_CALL = written("get", "{}")
UNKNOWN_CALL = written("nope", "{}")


@pytest.mark.parametrize(
    ("request_", "allowed", "forbidden"),
    [
        (
            asking(),
            ["", "Hello.", GET_CALL, f"I look.\n{GET_CALL}\n{PUT_CALL}"],
            [BAD_CALL, UNKNOWN_CALL, f"{GET_CALL} and more", "<tool_call>", f"x{UNKNOWN_CALL}"],
        ),
        (asking(parallel=False), ["Hello.", f"I look.\n{GET_CALL}"], [f"{GET_CALL}\n{PUT_CALL}", BAD_CALL]),
        (
            asking(ToolMode.ANY),
            [GET_CALL, f"{PUT_CALL}\n{GET_CALL}", "\n".join([PUT_CALL] * MAX_CALLS)],
            ["", "Hello.", f"x{GET_CALL}", BAD_CALL, "\n".join([PUT_CALL] * (MAX_CALLS + 1))],
        ),
        (asking(ToolMode.ANY, parallel=False), [GET_CALL], ["", f"{PUT_CALL}\n{GET_CALL}"]),
        (asking(ToolMode.TOOL, "put"), [PUT_CALL], ["", GET_CALL, f"{PUT_CALL}\n{PUT_CALL}"]),
    ],
    ids=["auto", "auto, one call", "any", "any, one call", "tool"],
)
def test_calls_are_let_through_as_the_choice_has_it(
    request_: GenerationRequest, allowed: list[str], forbidden: list[str]
) -> None:
    for answer in allowed:
        assert lets_through(answer, request_, GENERAL), answer
    for answer in forbidden:
        assert not lets_through(answer, request_, GENERAL), answer


def test_nothing_is_held_where_nothing_is_asked_for() -> None:
    assert answer_grammar(asking(ToolMode.NONE), GENERAL, starts_thinking=False) is None
    assert answer_grammar(GenerationRequest((), 9), GENERAL, starts_thinking=False) is None


def test_an_output_is_held_to_its_schema_and_a_call_may_take_its_place() -> None:
    plain = GenerationRequest((), 9, output_schema=NUMBER)
    with_tools = GenerationRequest((), 9, tools=(PUT,), output_schema=NUMBER)
    assert lets_through("12", plain, GENERAL)
    assert not lets_through("twelve", plain, GENERAL)
    assert not lets_through("12 ", plain, GENERAL)
    assert lets_through("12", with_tools, GENERAL)
    assert lets_through(PUT_CALL, with_tools, GENERAL)


def test_thinking_comes_before_what_is_held() -> None:
    forced = asking(ToolMode.ANY)
    assert lets_through(f"<think>Well, <tool_call>?</think>\n\n{GET_CALL}", forced, THINKING)
    assert lets_through(GET_CALL, forced, THINKING)
    assert not lets_through(f"Well.{GET_CALL}", forced, THINKING)
    assert lets_through(f"Well.</think>{GET_CALL}", forced, THINKING, starts_thinking=True)
    assert not lets_through(GET_CALL, forced, THINKING, starts_thinking=True)


def test_a_list_of_calls_is_closed_and_its_ids_have_their_form() -> None:
    syntax = CallSyntax(
        start="[CALLS][",
        call='{"name": "{name}", "arguments": {arguments}, "id": "{id}"}',
        between=", ",
        end="]",
    )
    dialect = Dialect(calls=syntax)
    one = '{"name": "put", "arguments": {}, "id": "abcdefghi"}'
    assert lets_through(f"[CALLS][{one}, {one}]", asking(ToolMode.ANY), dialect)
    assert lets_through(f"I look.[CALLS][{one}]", asking(), dialect)
    assert not lets_through(f"[CALLS][{one}", asking(ToolMode.ANY), dialect)
    assert not lets_through("[CALLS][]", asking(ToolMode.ANY), dialect)
    assert not lets_through(f"[CALLS][{one.replace('ghi', '')}]", asking(ToolMode.ANY), dialect)


def test_marks_that_are_tokens_are_named_by_their_ids() -> None:
    syntax = CallSyntax(
        start="<|im_start|>",
        call='\n{"name": "{name}", "arguments": {arguments}}\n<|endoftext|>',
        between="<|im_start|>",
    )
    dialect = Dialect(calls=syntax).bound({"<|im_start|>": 1, "<|endoftext|>": 0, "<|im_end|>": 2})
    assert dict(dialect.marks.token_ids) == {"<|im_start|>": 1, "<|endoftext|>": 0}
    call = '<|im_start|>\n{"name": "put", "arguments": {}}\n<|endoftext|>'
    assert lets_through(call, asking(ToolMode.ANY), dialect)
    assert lets_through(f"I look. {call}", asking(), dialect)
    assert lets_through("I look.", asking(), dialect)
    assert not lets_through("<|im_start|>x", asking(), dialect)


def test_calls_without_a_mark_can_only_begin_the_answer() -> None:
    bare = Dialect(calls=CallSyntax(start="", call='{"name": "{name}", "parameters": {arguments}}', max_calls=1))
    call = '{"name": "put", "parameters": {}}'
    assert lets_through(call, asking(), bare)
    assert lets_through("Hello.", asking(), bare)
    assert lets_through('{"name": "Ada"}', asking(), bare)
    assert not lets_through('{"name": "put", "parameters": 1}', asking(), bare)
    assert not lets_through("Hello.", asking(ToolMode.ANY), bare)
    assert lets_through(call, asking(ToolMode.TOOL, "put"), bare)


HEADED = Dialect(
    calls=CallSyntax(
        form=CallForm.NAMED,
        start="<c>commentary to=",
        call="{name} json<m>{arguments}",
        also=" to={name}<c>json<m>{arguments}",
        max_calls=1,
    ),
    think_start="<c>analysis<m>",
    think_end="<e>",
    text_starts=("<c>final<m>",),
    text_end="<e>",
    joint="<s>",
    header_end="<m>",
)


def test_every_part_has_its_header_where_parts_have_headers() -> None:
    for answer in (
        "<c>final<m>Hello.",
        "<c>analysis<m>Hm.<e><s><c>final<m>Hello.<e>",
        "<c>analysis<m>Hm.<e><s><c>commentary to=put json<m>{}",
        " to=put<c>json<m>{}",
        "<c>final<m>I look.<e><s><c>commentary to=put json<m>{}",
    ):
        assert lets_through(answer, asking(), HEADED), answer
    for answer in ("Hello.", "<c>commentary to=nope json<m>{}", "<c>commentary to=put json<m>1"):
        assert not lets_through(answer, asking(), HEADED), answer
    assert not lets_through("<c>final<m>Hello.", asking(ToolMode.ANY), HEADED)
