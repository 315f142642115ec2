"""Every family's real chat template renders every text of a conversation once, and in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pytest

from contracts.values.vocabulary import ChatMessage, Role, Thinking, Tool
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.templates.environment import compile_template
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer, TokenizerMetadata
from tests.dialects.prompts_that_move import MOVED
from tests.dialects.real.downloads import template, template_names
from tests.dialects.real.families import Family, families
from tests.dialects.real.families import family as named
from tests.dialects.real.rendering import (
    LOOK_UP,
    assistant,
    call,
    chat_template,
    result,
    shared_template,
    system,
    text_of,
    user,
)
from tests.dialects.real.tokenizers import tokenizer_of


@pytest.fixture(scope="module", params=families(), ids=lambda each: each.name)
def family(request: pytest.FixtureRequest) -> Family:
    """Scoped to the module, so that pytest runs a family's tests together and they share its template."""
    value: Family = request.param
    return value


Conversation = tuple[Sequence[ChatMessage], tuple[Tool, ...]]

SHAPES: Final[dict[str, Conversation]] = {
    "a question": ([user("red apples")], ()),
    "a system text": ([system("blue rules"), user("red apples")], ()),
    "several system texts": ([system("blue rules"), system("grey rules"), user("red apples")], ()),
    "a system note in mid-conversation": (
        [system("blue rules"), user("red apples"), assistant("green pears"), system("late news"), user("ripe plums")],
        (),
    ),
    "a system note at the end": (
        [user("red apples"), assistant("green pears"), user("ripe plums"), system("late news")],
        (),
    ),
    "two user messages in a row": (
        [user("red apples"), user("ripe plums"), assistant("green pears"), user("fresh nuts")],
        (),
    ),
    "thinking in the history": (
        [user("red apples"), assistant("green pears", thinking="deep water"), user("ripe plums")],
        (),
    ),
    "an answer to continue": ([system("blue rules"), user("red apples"), assistant("green")], ()),
    "tools": ([system("blue rules"), user("red apples")], (LOOK_UP,)),
    "one call": ([user("red apples"), assistant("", call(1, "cherry")), result(1, "sour fruit")], (LOOK_UP,)),
    "a call after text": (
        [user("red apples"), assistant("just looking", call(1, "cherry")), result(1, "sour fruit"), user("ripe plums")],
        (LOOK_UP,),
    ),
    "a call after thinking": (
        [
            user("red apples"),
            assistant("", call(1, "cherry"), thinking="deep water"),
            result(1, "sour fruit"),
            assistant("green pears"),
            user("ripe plums"),
        ],
        (LOOK_UP,),
    ),
    "two calls at once": (
        [
            system("blue rules"),
            user("red apples"),
            assistant("just looking", call(1, "cherry"), call(2, "lemon")),
            result(1, "sour fruit"),
            result(2, "yellow fruit"),
            user("read both"),
            assistant("green pears"),
            user("ripe plums"),
        ],
        (LOOK_UP,),
    ),
    "one call after another": (
        [
            user("red apples"),
            assistant("", call(1, "cherry")),
            result(1, "sour fruit"),
            assistant("", call(2, "lemon")),
            result(2, "yellow fruit"),
            assistant("green pears"),
            user("ripe plums"),
        ],
        (LOOK_UP,),
    ),
    "text and a note beside a result": (
        [
            system("blue rules"),
            user("red apples"),
            assistant("", call(1, "cherry")),
            result(1, "sour fruit"),
            user("read that one"),
            system("late news"),
        ],
        (LOOK_UP,),
    ),
    "a failed call": (
        [
            user("red apples"),
            assistant("", call(1, "cherry")),
            result(1, "no entry", is_error=True),
            user("keep trying"),
        ],
        (LOOK_UP,),
    ),
    "calls of tools that no longer exist": (
        [user("red apples"), assistant("", call(1, "cherry")), result(1, "sour fruit"), user("ripe plums")],
        (),
    ),
    "an empty result": (
        [user("red apples"), assistant("", call(1, "cherry")), result(1, ""), user("fresh nuts")],
        (LOOK_UP,),
    ),
}


def differences(text: str, messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> list[str]:
    """The parts of a conversation that the text does not contain as often as it should."""
    once = [message.text for message in messages if message.text]
    once += [call.arguments.split('"')[3] for message in messages for call in message.tool_calls]
    thoughts = [message.thinking for message in messages if message.thinking]
    found = [f"{part!r} {text.count(part)} times" for part in once if text.count(part) != 1]
    found += [f"{part!r} twice" for part in thoughts if text.count(part) > 1]
    found += [f"no {part!r}" for tool in tools for part in (tool.name, tool.description) if part not in text]
    errors = [f"Error: {message.text}" for message in messages if message.is_error]
    return found + [f"no {part!r}" for part in errors if part not in text]


@pytest.mark.parametrize("thinking", [Thinking(), Thinking(enabled=True)], ids=["silent", "thinking"])
def test_every_text_of_every_conversation_is_rendered_once(
    family: Family, thinking: Thinking, caplog: pytest.LogCaptureFixture
) -> None:
    template, _ = shared_template(family)
    found = {
        name: different
        for name, (messages, tools) in SHAPES.items()
        if (different := differences(text_of(template, tuple(messages), tools, thinking), messages, tools))
    }
    assert not found
    assert not caplog.records


def test_messages_are_rendered_in_their_order(family: Family) -> None:
    template, _ = shared_template(family)
    for name, (messages, tools) in SHAPES.items():
        text = text_of(template, tuple(messages), tools)
        positions = [text.index(message.text) for message in messages if message.text]
        assert positions == sorted(positions), name


@pytest.mark.parametrize("name", template_names())
def test_every_template_of_llama_cpp_compiles_and_renders_a_conversation(name: str) -> None:
    compile_template(template(name))
    metadata = TokenizerMetadata({"eos_token": "<|im_end|>", "bos_token": "<|endoftext|>"}, template(name), 4096, {})
    chat = ChatTemplate(FastTokenizer(tokenizer_of(named("qwen3")), metadata))
    for shape in ("tools", "two calls at once"):
        messages, tools = SHAPES[shape]
        assert not differences(text_of(chat, tuple(messages), tools), messages, tools)


TURNS: Final[dict[str, list[list[ChatMessage]]]] = {
    "a chat": [
        [system("blue rules"), user("one")],
        [assistant("first", thinking="hm")],
        [user("two")],
        [assistant("second")],
        [user("three")],
    ],
    "calls": [
        [system("blue rules"), user("one")],
        [assistant("looking", call(1, "cherry"))],
        [result(1, "sour"), user("beside it")],
        [assistant("", call(2, "lemon"), call(3, "melon"), thinking="hm")],
        [result(2, "yellow"), result(3, "sweet"), user("beside them")],
        [assistant("done")],
        [user("two")],
    ],
    "calls alone": [
        [user("one")],
        [assistant("", call(1, "cherry"))],
        [result(1, "sour")],
        [assistant("", call(2, "lemon"))],
        [result(2, "yellow")],
        [assistant("done")],
        [user("two")],
    ],
    "notes": [
        [system("blue rules"), user("one")],
        [assistant("", call(1, "cherry"))],
        [result(1, "sour"), user("beside it"), system("late news")],
        [assistant("done")],
        [user("two"), system("more news")],
    ],
}
"""The client's turns and the model's, alternating."""


def requests_with_moved_prompts(family: Family, thinking: Thinking, turns: list[list[ChatMessage]]) -> list[int]:
    """The requests whose prompt does not begin with the previous prompt and its answer."""
    template, answers = shared_template(family)
    answers.clear()
    tools = (LOOK_UP,) if any(message.role is Role.TOOL for turn in turns for message in turn) else ()
    messages: list[ChatMessage] = []
    prompt: list[int] = []
    expected_start: list[int] = []
    moved = []
    for number, turn in enumerate(turns):
        messages += turn
        if number % 2:
            text = f" Answer  {number}, naïve"
            answers[turn[0]] = tokenizer_of(family).encode(text, add_special_tokens=False).ids
            expected_start = [*prompt, *answers[turn[0]]]
            continue
        prompt = template.render(tuple(messages), tools, thinking).token_ids
        if prompt[: len(expected_start)] != expected_start:
            moved.append(number)
    answers.clear()
    return moved


@pytest.mark.parametrize("thinking", [Thinking(), Thinking(enabled=True)], ids=["silent", "thinking"])
def test_a_prompt_begins_with_the_previous_prompt_and_its_answer(family: Family, thinking: Thinking) -> None:
    moved = {
        name: found for name, turns in TURNS.items() if (found := requests_with_moved_prompts(family, thinking, turns))
    }
    assert moved == MOVED.get(family.name, {})


def test_call_ids_have_the_form_that_mistral_and_kimi_expect() -> None:
    messages, tools = SHAPES["two calls at once"]
    nemo = text_of(chat_template(named("mistral-nemo")), tuple(messages), tools)
    assert "toolu" not in nemo
    kimi = text_of(chat_template(named("kimi-k2")), tuple(messages), tools)
    assert [f"functions.look_up:{number}" in kimi for number in (0, 1, 2)] == [True, True, False]


def test_a_conversation_keeps_the_date_on_which_it_began() -> None:
    now = datetime(2026, 3, 31, 23, 59)
    for name, first, second in (("llama-3.2", "31 Mar 2026", "01 Apr 2026"), ("gpt-oss", "2026-03-31", "2026-04-01")):
        dates = [now, now.replace(month=4, day=1)]
        template = chat_template(named(name), clock=lambda dates=dates: dates[0])  # type: ignore[misc]
        opening = (user("red apples"),)
        assert first in text_of(template, opening)
        dates.pop(0)
        later = text_of(template, (*opening, assistant("green pears"), user("ripe plums")))
        assert first in later
        assert second not in later
        assert second in text_of(template, (user("another one"),))


EFFORTS: Final = [
    ("gpt-oss", Thinking(), "Reasoning: low"),
    ("gpt-oss", Thinking(enabled=True), "Reasoning: medium"),
    ("gpt-oss", Thinking(enabled=True, effort="max"), "Reasoning: high"),
    ("hunyuan-3", Thinking(enabled=True, effort="minimal"), "reasoning_effort:low"),
    ("hunyuan-3", Thinking(), "reasoning_effort:no_think"),
    ("kimi-k3", Thinking(enabled=True, effort="xhigh"), "thinking_effort=max"),
    ("seed-oss", Thinking(enabled=True, budget_tokens=512), "thinking budget, which is 512"),
    ("seed-oss", Thinking(), "thinking budget is 0"),
    ("deepseek-v4", Thinking(enabled=True, effort="max"), "Reasoning Effort: Absolute maximum"),
    ("minimax-m3", Thinking(enabled=True), "Current thinking mode: enabled"),
    ("minimax-m3", Thinking(), "Current thinking mode: disabled"),
    ("deepseek-v3.1", Thinking(), "<｜Assistant｜><think></think>"),
    ("deepseek-v3.1", Thinking(enabled=True), "<｜Assistant｜><think>"),
    ("qwen3", Thinking(), "<think>\n\n</think>"),
]


@pytest.mark.parametrize(("name", "thinking", "words"), EFFORTS)
def test_the_effort_is_written_in_the_templates_own_words(name: str, thinking: Thinking, words: str) -> None:
    assert words in text_of(chat_template(named(name)), (user("red apples"),), (), thinking)


@pytest.mark.parametrize("name", ["glm-4.7", "lfm2.5", "nemotron-3", "hunyuan-3"])
def test_earlier_thinking_is_kept_if_the_request_asks_for_it(name: str) -> None:
    messages, _ = SHAPES["thinking in the history"]
    template = chat_template(named(name))
    assert "deep water" in text_of(template, tuple(messages), (), Thinking(enabled=True, keeps_past=True))
    assert "deep water" not in text_of(template, tuple(messages), (), Thinking(enabled=True, keeps_past=False))
