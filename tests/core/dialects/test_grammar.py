"""Which answers the grammars accept, checked by llguidance on a tokenizer of single bytes."""

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
HERMES = Dialect()
THINKING = Dialect(think_start="<think>", think_end="</think>")
MAX_CALLS = HERMES.calls.max_calls


def written(name: str, arguments: str, dialect: Dialect = HERMES) -> str:
    return dialect.call_text([ToolCall("abcdefghi", name, arguments)])


GET_CALL = written("get", '{"city": "Paris"}')
PUT_CALL = written("put", "{}")
NUMBER = '{"type": "integer"}'


@cache
def tokenizer() -> Tokenizer:
    with TemporaryDirectory() as folder:
        return Tokenizer.from_file(str(write_byte_tokenizer(Path(folder)) / "tokenizer.json"))


@cache
def grammar_tokenizer() -> LLTokenizer:
    return LLTokenizer(tokenizer().to_str(), eos_token=2)


def accepts(answer: str, request: GenerationRequest, dialect: Dialect, *, starts_thinking: bool = False) -> bool:
    grammar = answer_grammar(request, dialect, starts_thinking=starts_thinking)
    assert grammar is not None
    matcher = LLMatcher(grammar_tokenizer(), grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tokenizer().encode(answer, add_special_tokens=False).ids
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


def request_for(mode: ToolMode = ToolMode.AUTO, name: str | None = None, *, parallel: bool = True) -> GenerationRequest:
    choice = ToolChoice(mode, name, parallel)
    return GenerationRequest((ChatMessage(Role.USER, "x"),), 9, tools=(GET, PUT), tool_choice=choice)


def request_with(tool: Tool, mode: ToolMode = ToolMode.AUTO, name: str | None = None) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, "x"),), 9, tools=(tool,), tool_choice=ToolChoice(mode, name))


BAD_CALL = written("get", "{}")
UNKNOWN_CALL = written("nope", "{}")


@pytest.mark.parametrize(
    ("request_", "allowed", "forbidden"),
    [
        (
            request_for(),
            ["", "Hello.", GET_CALL, f"I look.\n{GET_CALL}\n{PUT_CALL}"],
            [BAD_CALL, UNKNOWN_CALL, f"{GET_CALL} and more", "<tool_call>", f"x{UNKNOWN_CALL}"],
        ),
        (request_for(parallel=False), ["Hello.", f"I look.\n{GET_CALL}"], [f"{GET_CALL}\n{PUT_CALL}", BAD_CALL]),
        (
            request_for(ToolMode.ANY),
            [GET_CALL, f"{PUT_CALL}\n{GET_CALL}", "\n".join([PUT_CALL] * MAX_CALLS)],
            ["", "Hello.", f"x{GET_CALL}", BAD_CALL, "\n".join([PUT_CALL] * (MAX_CALLS + 1))],
        ),
        (request_for(ToolMode.ANY, parallel=False), [GET_CALL], ["", f"{PUT_CALL}\n{GET_CALL}"]),
        (request_for(ToolMode.TOOL, "put"), [PUT_CALL], ["", GET_CALL, f"{PUT_CALL}\n{PUT_CALL}"]),
    ],
    ids=["auto", "auto, one call", "any", "any, one call", "tool"],
)
def test_tool_choice_decides_which_calls_are_accepted(
    request_: GenerationRequest, allowed: list[str], forbidden: list[str]
) -> None:
    for answer in allowed:
        assert accepts(answer, request_, HERMES), answer
    for answer in forbidden:
        assert not accepts(answer, request_, HERMES), answer


def test_without_tools_and_output_schema_there_is_no_grammar() -> None:
    assert answer_grammar(request_for(ToolMode.NONE), HERMES, starts_thinking=False) is None
    assert answer_grammar(GenerationRequest((), 9), HERMES, starts_thinking=False) is None


def test_an_output_must_satisfy_its_schema_and_a_call_may_replace_it() -> None:
    plain = GenerationRequest((), 9, output_schema=NUMBER)
    with_tools = GenerationRequest((), 9, tools=(PUT,), output_schema=NUMBER)
    assert accepts("12", plain, HERMES)
    assert not accepts("twelve", plain, HERMES)
    assert not accepts("12 ", plain, HERMES)
    assert accepts("12", with_tools, HERMES)
    assert accepts(PUT_CALL, with_tools, HERMES)


def test_thinking_precedes_the_constrained_part() -> None:
    forced = request_for(ToolMode.ANY)
    assert accepts(f"<think>Well, <tool_call>?</think>\n\n{GET_CALL}", forced, THINKING)
    assert accepts(GET_CALL, forced, THINKING)
    assert not accepts(f"Well.{GET_CALL}", forced, THINKING)
    assert accepts(f"Well.</think>{GET_CALL}", forced, THINKING, starts_thinking=True)
    assert not accepts(GET_CALL, forced, THINKING, starts_thinking=True)


def test_a_list_of_calls_is_closed_and_its_ids_match_their_pattern() -> None:
    syntax = CallSyntax(
        start="[CALLS][",
        call='{"name": "{name}", "arguments": {arguments}, "id": "{id}"}',
        between=", ",
        end="]",
    )
    dialect = Dialect(calls=syntax)
    one = '{"name": "put", "arguments": {}, "id": "abcdefghi"}'
    assert accepts(f"[CALLS][{one}, {one}]", request_for(ToolMode.ANY), dialect)
    assert accepts(f"I look.[CALLS][{one}]", request_for(), dialect)
    assert not accepts(f"[CALLS][{one}", request_for(ToolMode.ANY), dialect)
    assert not accepts("[CALLS][]", request_for(ToolMode.ANY), dialect)
    assert not accepts(f"[CALLS][{one.replace('ghi', '')}]", request_for(ToolMode.ANY), dialect)


def test_marks_that_are_tokens_are_referred_to_by_id() -> None:
    syntax = CallSyntax(
        start="<|im_start|>",
        call='\n{"name": "{name}", "arguments": {arguments}}\n<|endoftext|>',
        between="<|im_start|>",
    )
    dialect = Dialect(calls=syntax).bound({"<|im_start|>": 1, "<|endoftext|>": 0, "<|im_end|>": 2})
    assert dict(dialect.marks.token_ids) == {"<|im_start|>": 1, "<|endoftext|>": 0}
    call = '<|im_start|>\n{"name": "put", "arguments": {}}\n<|endoftext|>'
    assert accepts(call, request_for(ToolMode.ANY), dialect)
    assert accepts(f"I look. {call}", request_for(), dialect)
    assert accepts("I look.", request_for(), dialect)
    assert not accepts("<|im_start|>x", request_for(), dialect)


def test_calls_without_a_mark_can_only_begin_the_answer() -> None:
    bare = Dialect(calls=CallSyntax(start="", call='{"name": "{name}", "parameters": {arguments}}', max_calls=1))
    call = '{"name": "put", "parameters": {}}'
    assert accepts(call, request_for(), bare)
    assert accepts("Hello.", request_for(), bare)
    assert accepts('{"name": "Ada"}', request_for(), bare)
    assert not accepts('{"name": "put", "parameters": 1}', request_for(), bare)
    assert not accepts("Hello.", request_for(ToolMode.ANY), bare)
    assert accepts(call, request_for(ToolMode.TOOL, "put"), bare)


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


def test_every_part_has_its_header_if_parts_have_headers() -> None:
    for answer in (
        "<c>final<m>Hello.",
        "<c>analysis<m>Hm.<e><s><c>final<m>Hello.<e>",
        "<c>analysis<m>Hm.<e><s><c>commentary to=put json<m>{}",
        " to=put<c>json<m>{}",
        "<c>final<m>I look.<e><s><c>commentary to=put json<m>{}",
    ):
        assert accepts(answer, request_for(), HEADED), answer
    for answer in ("Hello.", "<c>commentary to=nope json<m>{}", "<c>commentary to=put json<m>1"):
        assert not accepts(answer, request_for(), HEADED), answer
    assert not accepts("<c>final<m>Hello.", request_for(ToolMode.ANY), HEADED)


@pytest.mark.parametrize(
    ("schema", "begun"),
    [
        ('{"type": "array", "items": {"type": "null"}, "minItems": 60000}', "[null, nu"),
        ('{"type": "string", "pattern": "^a*$", "minLength": 10000}', '"aaa'),
        ('{"enum": ["' + "a" * 150_000 + '", "b"]}', '"aaa'),
    ],
)
def test_a_long_text_that_must_come_does_not_break_an_answer_off(schema: str, begun: str) -> None:
    matcher = matcher_for(schema)
    for token_id in tokenizer().encode(begun, add_special_tokens=False).ids:
        assert matcher.compute_logit_bias()[token_id]
        assert matcher.consume_token(token_id)
        assert not matcher.is_error(), matcher.get_error()


def test_other_text_that_must_come_is_split_into_tokens_in_one_way() -> None:
    assert matcher_for('{"const": "abc"}').compute_ff_tokens()


def matcher_for(schema: str) -> LLMatcher:
    request = GenerationRequest((ChatMessage(Role.USER, "x"),), 9, output_schema=schema)
    grammar = answer_grammar(request, HERMES, starts_thinking=False)
    assert grammar is not None
    return LLMatcher(grammar_tokenizer(), grammar, log_level=0)
