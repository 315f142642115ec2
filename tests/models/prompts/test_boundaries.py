"""Boundaries of a prompt's parts, in tokens. Finding them does not change the prompt."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, Role, Thinking, Tool
from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.prompts.chat_template import ChatTemplate, RenderedPrompt
from tests.models.prompts.templates import DEEPSEEK, MISTRAL, QWEN2_5, QWEN3
from tests.support.tiny_model import CHATML, write_byte_tokenizer

TEMPLATES = [CHATML, QWEN2_5, QWEN3, DEEPSEEK, MISTRAL, None]
READ = Tool("Read", "Reads", '{"type": "object"}')
SYSTEM = ChatMessage(Role.SYSTEM, "Be brief.", cache_ttl_seconds=3600)
HI = ChatMessage(Role.USER, "Hi", cache_ttl_seconds=300)
HELLO = ChatMessage(Role.ASSISTANT, "Hello")
BYE = ChatMessage(Role.USER, "Bye <|im_end|>", cache_ttl_seconds=300)
CONVERSATION = (SYSTEM, HI, HELLO, BYE)


@cache
def tokenizer(template: str | None) -> Any:
    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415 - only after import_mlx_lm

    with TemporaryDirectory() as folder:
        return load(write_byte_tokenizer(Path(folder), chat_template=template))


@cache
def embedded_tokenizer() -> Any:
    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415 - only after import_mlx_lm

    return load(embedded_folder(ConsoleProgress()))


def described(tokenizer: Any, prompt: RenderedPrompt) -> list[tuple[str, str, int | None]]:
    """Each boundary's kind, the text before it, and its time to live."""
    return [
        (boundary.kind.value, tokenizer.decode(prompt.token_ids[: boundary.num_tokens]), boundary.ttl_seconds)
        for boundary in prompt.boundaries
    ]


def test_boundaries_are_at_the_ends_of_the_head_of_marked_turns_and_of_the_last_turn() -> None:
    head = "<|im_start|>system\nBe brief.<|im_end|>\n"
    first = head + "<|im_start|>user\nHi<|im_end|>\n"
    last = first + "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye <|im_end|><|im_end|>\n"
    for wrapper in (tokenizer(CHATML), embedded_tokenizer()):
        assert described(wrapper, ChatTemplate(wrapper).render(CONVERSATION)) == [
            ("system", head, None),
            ("breakpoint", head, 3600),
            ("breakpoint", first, 300),
            ("breakpoint", last, 300),
            ("turn", last, None),
        ]


def test_tools_alone_are_a_head_and_without_tools_or_system_text_there_is_no_head() -> None:
    template = ChatTemplate(tokenizer(CHATML))
    assert [boundary.kind for boundary in template.render((replace(HI, cache_ttl_seconds=None),)).boundaries] == [
        BoundaryKind.TURN
    ]
    kinds = [boundary.kind for boundary in template.render((HI,), (READ,)).boundaries]
    assert kinds == [BoundaryKind.SYSTEM, BoundaryKind.BREAKPOINT, BoundaryKind.TURN]


def test_an_answer_to_continue_is_not_part_of_the_last_turn() -> None:
    wrapper = tokenizer(CHATML)
    boundaries = described(wrapper, ChatTemplate(wrapper).render((HI, HELLO)))
    assert [kind for kind, _, _ in boundaries] == ["breakpoint", "turn"]
    assert all(before.endswith("Hi<|im_end|>\n") for _, before, _ in boundaries)


def test_only_the_last_four_marked_turns_become_breakpoints() -> None:
    turns = tuple(replace(HELLO if number % 2 else HI, cache_ttl_seconds=300) for number in range(9))
    boundaries = ChatTemplate(tokenizer(CHATML)).render(turns).boundaries
    assert [boundary.kind for boundary in boundaries] == [BoundaryKind.BREAKPOINT] * 4 + [BoundaryKind.TURN]


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=20, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), tools=st.sampled_from([(), (READ,)]))
def test_marks_change_no_token_and_prompts_that_differ_after_a_boundary_share_it(
    template: str | None, text: str, tools: tuple[Tool, ...]
) -> None:
    messages = (SYSTEM, replace(HI, text=text), HELLO, BYE)
    bare = tuple(replace(message, cache_ttl_seconds=None) for message in messages)
    chat_template = ChatTemplate(tokenizer(template))
    prompt = chat_template.render(messages, tools)
    assert prompt.token_ids == chat_template.render(bare, tools).token_ids
    at = {boundary.kind: boundary.num_tokens for boundary in prompt.boundaries}
    head = prompt.token_ids[: at[BoundaryKind.SYSTEM]]
    assert head == chat_template.render((SYSTEM, ChatMessage(Role.USER, f"!{text}")), tools).token_ids[: len(head)]
    turns = prompt.token_ids[: at[BoundaryKind.TURN]]
    going_on = (*messages, ChatMessage(Role.ASSISTANT, "Well"), HI)
    assert turns == chat_template.render(going_on, tools).token_ids[: len(turns)]
    assert prompt.boundaries == tuple(sorted(prompt.boundaries, key=lambda boundary: boundary.num_tokens))


def test_a_token_that_spans_the_end_of_a_part_does_not_belong_to_it() -> None:
    wrapper = embedded_tokenizer()
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    original = wrapper.chat_template
    wrapper.chat_template = template
    try:
        prompt = ChatTemplate(wrapper).render((ChatMessage(Role.SYSTEM, "a hipp"), ChatMessage(Role.USER, "opotamus")))
    finally:
        wrapper.chat_template = original
    [system, turn] = prompt.boundaries
    assert turn == Boundary(len(prompt.token_ids), BoundaryKind.TURN)
    before = wrapper.decode(prompt.token_ids[: system.num_tokens])
    assert "a hipp".startswith(before)
    assert len(wrapper.decode(prompt.token_ids[: system.num_tokens + 1])) > len("a hipp")


@pytest.mark.parametrize(("template", "head"), [(CHATML, ["tools", "system"]), (QWEN2_5, ["system", "tools"])])
def test_every_token_belongs_to_a_part(template: str, head: list[str]) -> None:
    chat_template = ChatTemplate(tokenizer(template))
    prompt = chat_template.render(CONVERSATION, (READ,))
    parts = [
        chat_template.locate(CONVERSATION, (READ,), Thinking(), num_tokens)
        for num_tokens in range(len(prompt.token_ids) + 1)
    ]
    assert list(dict.fromkeys(parts)) == [*head, "messages.0", "messages.1", "messages.2", "end"]
    text = tokenizer(template).decode(prompt.token_ids)
    for words, part in (("Reads", "tools"), ("Be brief", "system"), ("Hello", "messages.1"), ("Bye", "messages.2")):
        before = text[: text.index(words)]
        assert parts[len(tokenizer(template).encode(before, add_special_tokens=False))] == part


def test_the_head_of_a_prompt_may_be_tools_or_system_text_alone() -> None:
    template = ChatTemplate(tokenizer(CHATML))
    assert template.locate((SYSTEM, HI), (), Thinking(), 2) == "system"
    assert template.locate((HI,), (READ,), Thinking(), 2) == "tools"
    assert template.locate((HI,), (), Thinking(), 2) == "messages.0"
    assert template.locate((HI,), (), Thinking(), 10_000) == "end"
