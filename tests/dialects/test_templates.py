"""Every conversation comes through the real chat template of every family, whole and once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pytest

from contracts.values.vocabulary import ChatMessage, Role, Thinking, Tool
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer, TokenizerMetadata
from pensieve.models.tokenizers.jinja import compile_template
from tests.dialects.moved_prompts import MOVED
from tests.dialects.real.downloads import template, template_names
from tests.dialects.real.families import Family, families, tokenizer_of
from tests.dialects.real.families import family as named
from tests.dialects.real.rendering import LOOK_UP, assistant, call, chat_template, result, system, text_of, user


@pytest.fixture(scope="module", params=families(), ids=lambda each: each.name)
def family(request: pytest.FixtureRequest) -> Family:
    """All tests of a family come one after the other: its tokenizer takes a second to make."""
    made: Family = request.param
    return made


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
    "a user who speaks twice": (
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
    "calls in a row": (
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
    "a call that failed": (
        [
            user("red apples"),
            assistant("", call(1, "cherry")),
            result(1, "no entry", is_error=True),
            user("keep trying"),
        ],
        (LOOK_UP,),
    ),
    "calls of tools that are gone": (
        [user("red apples"), assistant("", call(1, "cherry")), result(1, "sour fruit"), user("ripe plums")],
        (),
    ),
    "an empty result": (
        [user("red apples"), assistant("", call(1, "cherry")), result(1, ""), user("fresh nuts")],
        (LOOK_UP,),
    ),
}


def wrongs(text: str, messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> list[str]:
    """What of a conversation is not in the text as often as it should be."""
    once = [message.text for message in messages if message.text]
    once += [call.arguments.split('"')[3] for message in messages for call in message.tool_calls]
    thoughts = [message.thinking for message in messages if message.thinking]
    found = [f"{words!r} {text.count(words)} times" for words in once if text.count(words) != 1]
    found += [f"{words!r} twice" for words in thoughts if text.count(words) > 1]
    found += [f"no {words!r}" for tool in tools for words in (tool.name, tool.description) if words not in text]
    failed = [f"Error: {message.text}" for message in messages if message.is_error]
    return found + [f"no {words!r}" for words in failed if words not in text]


@pytest.mark.parametrize("thinking", [Thinking(), Thinking(enabled=True)], ids=["silent", "thinking"])
def test_every_text_of_every_conversation_comes_through_once(
    family: Family, thinking: Thinking, caplog: pytest.LogCaptureFixture
) -> None:
    known = chat_template(family)
    wrong = {
        name: found
        for name, (messages, tools) in SHAPES.items()
        if (found := wrongs(text_of(known, tuple(messages), tools, thinking), messages, tools))
    }
    assert not wrong
    assert not caplog.records


def test_messages_stand_in_their_order(family: Family) -> None:
    known = chat_template(family)
    for name, (messages, tools) in SHAPES.items():
        text = text_of(known, tuple(messages), tools)
        places = [text.index(message.text) for message in messages if message.text]
        assert places == sorted(places), name


@pytest.mark.parametrize("name", template_names())
def test_every_template_of_llama_cpp_compiles_and_takes_a_conversation(name: str) -> None:
    compile_template(template(name))
    facts = TokenizerMetadata({"eos_token": "<|im_end|>", "bos_token": "<|endoftext|>"}, template(name), 4096, {})
    known = ChatTemplate(FastTokenizer(tokenizer_of(named("qwen3")), facts))
    for shape in ("tools", "two calls at once"):
        messages, tools = SHAPES[shape]
        assert not wrongs(text_of(known, tuple(messages), tools), messages, tools)


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
"""What the client sends, and what the model answers, in turn."""


def moved(family: Family, thinking: Thinking, turns: list[list[ChatMessage]]) -> list[int]:
    """The requests whose prompts do not begin with the prompt and the answer before them."""
    answers: dict[ChatMessage, list[int]] = {}
    known = chat_template(family, lambda message, _: answers.get(message))
    backend = tokenizer_of(family)
    tools = (LOOK_UP,) if any(message.role is Role.TOOL for turn in turns for message in turn) else ()
    messages: list[ChatMessage] = []
    prompt: list[int] = []
    before: list[int] = []
    wrong = []
    for number, turn in enumerate(turns):
        messages += turn
        if number % 2:
            answers[turn[0]] = backend.encode(f" Answer  {number}, naïve", add_special_tokens=False).ids
            before = [*prompt, *answers[turn[0]]]
            continue
        prompt = known.render(tuple(messages), tools, thinking).token_ids
        if prompt[: len(before)] != before:
            wrong.append(number)
    return wrong


@pytest.mark.parametrize("thinking", [Thinking(), Thinking(enabled=True)], ids=["silent", "thinking"])
def test_a_prompt_begins_with_the_prompt_before_it_and_its_answer(family: Family, thinking: Thinking) -> None:
    wrong = {name: numbers for name, turns in TURNS.items() if (numbers := moved(family, thinking, turns))}
    exception = MOVED.get(family.name)
    assert wrong == (exception.requests if exception is not None else {})


def test_calls_have_the_ids_that_mistral_and_kimi_want() -> None:
    messages, tools = SHAPES["two calls at once"]
    nemo = text_of(chat_template(named("mistral-nemo")), tuple(messages), tools)
    assert "toolu" not in nemo
    kimi = text_of(chat_template(named("kimi-k2")), tuple(messages), tools)
    assert [f"functions.look_up:{number}" in kimi for number in (0, 1, 2)] == [True, True, False]


def test_a_date_stays_what_it_was_when_the_conversation_began() -> None:
    now = datetime(2026, 3, 31, 23, 59)
    for name, first, second in (("llama-3.2", "31 Mar 2026", "01 Apr 2026"), ("gpt-oss", "2026-03-31", "2026-04-01")):
        dates = [now, now.replace(month=4, day=1)]
        known = chat_template(named(name), clock=lambda dates=dates: dates[0])  # type: ignore[misc]
        begun = (user("red apples"),)
        assert first in text_of(known, begun)
        dates.pop(0)
        later = text_of(known, (*begun, assistant("green pears"), user("ripe plums")))
        assert first in later
        assert second not in later
        assert second in text_of(known, (user("another one"),))


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
def test_how_hard_to_think_is_said_in_the_templates_own_words(name: str, thinking: Thinking, words: str) -> None:
    assert words in text_of(chat_template(named(name)), (user("red apples"),), (), thinking)


@pytest.mark.parametrize("name", ["glm-4.7", "lfm2.5", "nemotron-3", "hunyuan-3"])
def test_earlier_thinking_stays_where_the_request_wants_it(name: str) -> None:
    messages, _ = SHAPES["thinking in the history"]
    known = chat_template(named(name))
    assert "deep water" in text_of(known, tuple(messages), (), Thinking(enabled=True, keeps_past=True))
    assert "deep water" not in text_of(known, tuple(messages), (), Thinking(enabled=True, keeps_past=False))
