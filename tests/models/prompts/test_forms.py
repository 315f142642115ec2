"""Parts of a conversation that a template drops or refuses are rewritten until it renders them."""

from __future__ import annotations

import logging
import re

import pytest

from contracts.values.vocabulary import ChatMessage
from pensieve.core.errors import ValidationError
from tests.models.prompts import small_templates as small
from tests.models.prompts.small_templates import GET, assistant, call, chat_template, rendered, result, system, user

CALLED = (user("Rome?"), assistant("", call(1, "Rome")), result(1, "warm"))
BESIDE = (user("Rome?"), assistant("I look.", call(1, "Rome")), result(1, "warm"), user("And?"))
TWO = (user("Both?"), assistant("", call(1, "Rome"), call(2, "Oslo")), result(1, "warm"), result(2, "cold"))
ERROR = (user("Rome?"), assistant("", call(1, "Rome")), result(1, "gone", is_error=True))


def test_a_template_that_accepts_everything_gets_the_conversation_unchanged() -> None:
    text = rendered(small.PLAIN, system("s"), *BESIDE, system("note"), tools=(GET,))
    assert text.endswith(
        '[system]s<|im_end|>[user]Rome?<|im_end|>[assistant]I look.<call>get({"city": "Rome"})<|im_end|>'
        "[tool]warm<|im_end|>[user]And?<|im_end|>[system]note<|im_end|>[assistant]"
    )


def test_a_system_message_that_a_template_silently_drops_becomes_part_of_the_users_turn() -> None:
    text = rendered(small.SYSTEM_FIRST, system("s"), user("a"), assistant("b"), system("now"), user("c"))
    assert "[system]s<|im_end|>[user]a<|im_end|>" in text
    assert text.endswith("[user]<system>\nnow\n</system>\n\nc<|im_end|>[assistant]")


def test_text_beside_a_call_that_a_template_drops_is_written_before_the_call() -> None:
    text = rendered(small.NO_TEXT_BESIDE_CALLS, *BESIDE, tools=(GET,))
    assert re.search(r"\[assistant\]I look\..*get", text, re.DOTALL)
    assert text.count("I look.") == 1


def test_parallel_calls_that_a_template_refuses_are_written_one_by_one_each_with_its_result() -> None:
    text = rendered(small.ONE_CALL, *TWO, tools=(GET,))
    assert [word for word in ("Rome", "warm", "Oslo", "cold") if word in text] == ["Rome", "warm", "Oslo", "cold"]
    positions = [text.index(word) for word in ("Rome", "warm", "Oslo", "cold")]
    assert positions == sorted(positions)


def test_a_call_without_a_result_is_not_lost() -> None:
    text = rendered(small.ONE_CALL, user("a"), assistant("", call(1, "Rome"), call(2, "Oslo")), user("b"), tools=(GET,))
    assert text.index("Rome") < text.index("Oslo") < text.index("[user]b")


def test_calls_that_a_template_does_not_support_are_written_in_the_models_dialect() -> None:
    text = rendered(small.NO_CALLS, *BESIDE, tools=(GET,))
    assert 'I look.\n<tool_call>\n{"name": "get", "arguments": {"city": "Rome"}}\n</tool_call><|im_end|>' in text
    assert "[tool]warm" in text


def test_ids_get_nine_characters_if_the_template_requires_it() -> None:
    [called, answered] = re.findall(r"#(\w+)", rendered(small.MISTRAL, *CALLED, tools=(GET,)))
    assert called == answered
    assert re.fullmatch(r"[0-9a-f]{9}", called)


def test_user_text_after_a_result_is_joined_to_it_if_roles_must_alternate() -> None:
    text = rendered(small.MISTRAL, *BESIDE, assistant("Good."), user("Bye"), tools=(GET,))
    assert "[result]warm\n\nAnd?#" in text
    assert text.index("I look.") < text.index("get", text.index("I look."))


def test_ids_are_the_same_in_every_request() -> None:
    first = rendered(small.MISTRAL, *CALLED, tools=(GET,))
    assert rendered(small.MISTRAL, *CALLED, assistant("Good."), user("Bye"), tools=(GET,)).startswith(first)


def test_the_id_of_a_call_contains_its_name_if_the_template_writes_only_the_id() -> None:
    text = rendered(small.KIMI, *TWO, tools=(GET,))
    assert "functions.get:0(" in text
    assert "functions.get:1(" in text


def test_arguments_are_json_if_the_template_takes_text_and_if_it_takes_objects() -> None:
    for template in (small.ARGUMENTS_AS_TEXT, small.PLAIN):
        assert '<call>get({"city": "Rome"})' in rendered(template, *CALLED, tools=(GET,))


def test_content_is_a_list_of_parts_if_the_template_reads_parts() -> None:
    text = rendered(small.PARTS, *BESIDE, tools=(GET,))
    assert [part in text for part in ("Rome?", "I look.", "warm", "And?")] == [True] * 4


@pytest.mark.parametrize(
    "template",
    [small.PLAIN, small.MISTRAL, small.NO_CALLS, small.ONE_CALL, small.CALLS_WITHOUT_TOOLS, small.PARTS, None],
)
def test_an_error_result_is_marked_exactly_once_with_every_template(template: str | None) -> None:
    assert rendered(template, *ERROR, tools=(GET,)).count("Error: gone") == 1


def test_tools_are_listed_in_the_system_text_if_a_template_supports_only_calls() -> None:
    text = rendered(small.CALLS_WITHOUT_TOOLS, system("s"), *CALLED, tools=(GET,))
    assert text.index("Gets it.") < text.index("s<|im_end|>[user]")
    assert '[assistant]<call>get({"city": "Rome"})<|im_end|>[tool]warm' in text


def test_a_warning_names_what_is_lost_in_every_form_only_once(caplog: pytest.LogCaptureFixture) -> None:
    users_only = "{% for m in messages if m.role == 'user' %}[user]{{ m.content }}{% endfor %}"
    template = chat_template(users_only)
    conversation: tuple[ChatMessage, ...] = (user("a"), assistant("b"), user("c"))
    with caplog.at_level(logging.WARNING):
        template.render(conversation)
        template.render(conversation)
    [record] = caplog.records
    assert record.getMessage() == (
        "the model's chat template leaves out or repeats parts of a conversation: text of the assistant"
    )


def test_a_text_that_a_template_repeats_is_written_once(caplog: pytest.LogCaptureFixture) -> None:
    twice = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.role == 'system' and not loop.first %}"
    twice += "{{ m.content }}{% endif %}{% endfor %}"
    text = rendered(twice, user("a"), assistant("b"), system("now"), user("c"))
    assert text.count("now") == 1
    assert not caplog.records


def test_a_system_message_that_a_template_would_move_to_the_head_stays_in_place() -> None:
    moving = "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"
    moving += "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    text = rendered(moving, system("s"), user("a"), assistant("b"), system("now"), user("c"))
    assert text.startswith("s[user]a[assistant]b[user]<system>\nnow")


def test_a_conversation_that_is_refused_in_every_form_is_rejected() -> None:
    with pytest.raises(ValidationError, match="refuses this conversation: never"):
        rendered("{{ raise_exception('never') }}", user("a"))


def test_the_rendered_text_shows_whether_a_template_supports_tools() -> None:
    assert chat_template(small.PLAIN).takes_tools
    assert chat_template(small.MISTRAL).takes_tools
    for template in (small.CALLS_WITHOUT_TOOLS, "{% if tools %}{{ tools[0].function.name }}{% endif %}", None):
        assert not chat_template(template).takes_tools


def test_of_two_templates_the_one_for_tools_is_used_if_there_are_tools_or_calls() -> None:
    both = {"default": small.CALLS_WITHOUT_TOOLS.replace("[{{ m.role }}]", "({{ m.role }})"), "tool_use": small.PLAIN}
    assert rendered(both, user("a")).startswith("(user")
    assert rendered(both, user("a"), tools=(GET,)).startswith("<tool>")
    assert "[tool]warm" in rendered(both, *CALLED)
    assert rendered({"tool_use": small.PLAIN}, user("a")).startswith("[user]a")
    with pytest.raises(ValidationError, match="none of this model's templates is for conversations: rag"):
        rendered({"rag": small.PLAIN}, user("a"))


def test_a_later_system_message_does_not_repeat_the_tools() -> None:
    tools = "{% if tools %}{{ tools | tojson }}{% endif %}"
    again = "{% if messages[0].role != 'system' %}" + tools + "{% endif %}{% for m in messages %}[{{ m.role }}]"
    again += "{{ m.content }}{% if m.role == 'system' %}" + tools + "{% endif %}{% endfor %}"
    text = rendered(again, system("s"), user("a"), assistant("b"), system("now"), user("c"), tools=(GET,))
    assert text.count("Gets it.") == 1
    assert "[user]<system>\nnow\n</system>" in text


def test_firefunction_and_smollm_get_tools_in_their_own_variables() -> None:
    fire = "{{ functions }} on {{ datetime }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    text = rendered(fire + "{{ '' + datetime }}", user("a"), tools=(GET,))
    assert text.count('"description": "Gets it."') == 1
    smol = "{% for tool in xml_tools or [] %}{{ tool | tojson }}{% endfor %}"
    smol += "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert rendered(smol, user("a"), tools=(GET,)).startswith('{"type": "function"')


def test_calls_become_text_and_results_user_turns_if_a_template_supports_neither() -> None:
    two = "{% for m in messages %}{% if m.role not in ('user', 'assistant') %}{{ raise_exception('who?') }}{% endif %}"
    two += "{% endfor %}{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    two += "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    text = rendered(two, system("s"), *BESIDE, tools=(GET,))
    assert '[assistant]I look.\n<tool_call>\n{"name": "get"' in text
    assert "[user]<tool_response>\nwarm\n</tool_response>" in text
    assert "<system>\ns\n</system>" in text
