"""The next prompt contains an answer's original tokens, however the template would render it."""

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
    "accepts everything": small.PLAIN,
    "drops text beside calls": small.NO_TEXT_BESIDE_CALLS,
    "refuses two calls": small.ONE_CALL,
    "does not support calls": small.NO_CALLS,
    "drops later system messages": small.SYSTEM_FIRST,
    "requires alternation": small.MISTRAL,
    "writes only the ids of calls": small.KIMI,
    "requires a call before a result": small.RESULT_NEEDS_CALL,
    "writes text after calls": small.CONTENT_LAST,
    "supports calls and no tools": small.CALLS_WITHOUT_TOOLS,
    "reads parts": small.PARTS,
    "no template": None,
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
def test_a_prompt_begins_with_the_previous_prompt_and_its_answer(name: str) -> None:
    answers: dict[ChatMessage, list[int]] = {}
    template = chat_template(TEMPLATES[name], lambda message, _: answers.get(message))
    messages: list[ChatMessage] = []
    prompt: list[int] = []
    expected_start: list[int] = []
    for number, turn in enumerate(TURNS):
        messages += turn
        if number % 2:
            answers[turn[0]] = one_token_a_byte().encode(f" answer {number}\u00e9", add_special_tokens=False).ids
            expected_start = [*prompt, *answers[turn[0]]]
        else:
            prompt = template.render(tuple(messages), (GET,)).token_ids
            assert text_of(prompt).startswith(text_of(expected_start))
            assert prompt[: len(expected_start)] == expected_start


def test_the_template_still_finds_the_call_of_a_result() -> None:
    template = chat_template(small.RESULT_NEEDS_CALL, lambda *_: [65, 66])
    conversation = (user("Rome?"), assistant("", call(1, "Rome")), result(1, "warm"))
    text = text_of(template.render(conversation, (GET,)).token_ids)
    assert "Rome?<|im_end|>[assistant]>?<|im_end|>[tool]warm" in text.replace(text_of([65, 66]), ">?")


def test_an_answer_that_cannot_be_put_back_is_rendered_from_its_text() -> None:
    opens_twice = "{% for m in messages %}{% if m.role == 'assistant' %}[A{{ loop.index }}]{{ m.content }}{% else %}"
    opens_twice += "{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    without_answers = "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}"
    twice = small.PLAIN.replace(
        "{{ m.content }}", "{{ m.content }}{% if m.role == 'assistant' %}{{ m.content }}{% endif %}"
    )
    messages = (user("a"), assistant("bcd"), user("e"), assistant("fgh"), user("i"))
    for template in (opens_twice, without_answers, twice):
        spliced = chat_template(template, lambda *_: [65, 66])
        assert text_of([65, 66]) not in text_of(spliced.render(messages).token_ids)


def test_calls_without_an_end_token_are_rendered_from_their_json() -> None:
    endless = small.RESULT_NEEDS_CALL.replace("<|im_end|>", "")
    template = chat_template(endless, lambda *_: [65, 66])
    text = text_of(template.render((user("a"), assistant("", call(1, "Rome")), result(1, "warm")), (GET,)).token_ids)
    assert '<call>get({"city": "Rome"})' in text
    assert "warm" in text
