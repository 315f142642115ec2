"""An answer that was generated here stands in the next prompt as its tokens, whatever the template makes of calls."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contracts.values.vocabulary import ChatMessage
from tests.models.prompts import small_templates as small
from tests.models.prompts.small_templates import (
    GET,
    assistant,
    call,
    chat_template,
    result,
    system,
    text_of,
    user,
)
from tests.models.tokenizers.example_tokenizers import one_token_a_byte

TEMPLATES = {
    "takes everything": small.PLAIN,
    "drops text beside calls": small.NO_TEXT_BESIDE_CALLS,
    "refuses two calls": small.ONE_CALL,
    "has no words for calls": small.NO_CALLS,
    "drops notes": small.SYSTEM_FIRST,
    "alternates": small.MISTRAL,
    "names calls by their ids": small.KIMI,
    "wants a result's call": small.RESULT_NEEDS_CALL,
    "writes text behind calls": small.CONTENT_LAST,
    "knows calls and no tools": small.CALLS_WITHOUT_TOOLS,
    "reads parts": small.PARTS,
    "is none": None,
}
TURNS: list[Sequence[ChatMessage]] = [
    [system("s"), user("Rome?")],
    [assistant("I look.", call(1, "Rome"))],
    [result(1, "warm"), user("And?")],
    [assistant("", call(2, "Oslo"), call(3, "Bern"), thinking="Hm.")],
    [result(2, "cold"), result(3, "mild")],
    [assistant("", call(4, "Oslo"))],
    [result(4, "cold again")],
    [assistant("Good.")],
    [user("Bye"), system("late")],
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_prompt_begins_with_the_prompt_before_it_and_its_answer(name: str) -> None:
    answers: dict[ChatMessage, list[int]] = {}
    known = chat_template(TEMPLATES[name], lambda message, _: answers.get(message))
    messages: list[ChatMessage] = []
    prompt: list[int] = []
    before: list[int] = []
    for number, turn in enumerate(TURNS):
        messages += turn
        if number % 2:
            answers[turn[0]] = one_token_a_byte().encode(f" said {number}\u00e9", add_special_tokens=False).ids
            before = [*prompt, *answers[turn[0]]]
        else:
            prompt = known.render(tuple(messages), (GET,)).token_ids
            assert text_of(prompt).startswith(text_of(before))
            assert prompt[: len(before)] == before


def test_a_result_still_finds_its_call() -> None:
    known = chat_template(small.RESULT_NEEDS_CALL, lambda *_: [65, 66])
    text = text_of(known.render((user("Rome?"), assistant("", call(1, "Rome")), result(1, "warm")), (GET,)).token_ids)
    assert "Rome?<|im_end|>[assistant]>?<|im_end|>[tool]warm" in text.replace(text_of([65, 66]), ">?")


def test_an_answer_without_a_place_is_written_as_the_client_has_it() -> None:
    opens_twice = "{% for m in messages %}{% if m.role == 'assistant' %}[A{{ loop.index }}]{{ m.content }}{% else %}"
    opens_twice += "{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    without_answers = "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}"
    twice = small.PLAIN.replace(
        "{{ m.content }}", "{{ m.content }}{% if m.role == 'assistant' %}{{ m.content }}{% endif %}"
    )
    messages = (user("a"), assistant("bcd"), user("e"), assistant("fgh"), user("i"))
    for template in (opens_twice, without_answers, twice):
        known = chat_template(template, lambda *_: [65, 66])
        assert text_of([65, 66]) not in text_of(known.render(messages).token_ids)


def test_calls_that_nothing_ends_are_written_as_the_client_has_them() -> None:
    endless = small.RESULT_NEEDS_CALL.replace("<|im_end|>", "")
    known = chat_template(endless, lambda *_: [65, 66])
    text = text_of(known.render((user("a"), assistant("", call(1, "Rome")), result(1, "warm")), (GET,)).token_ids)
    assert '<call>get({"city": "Rome"})' in text
    assert "warm" in text
