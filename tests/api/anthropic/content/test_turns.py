"""How messages become turns: results of another server's tools, summaries, system messages for one turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, ToolCall
from pensieve.api.anthropic.decode import decode_messages
from pensieve.api.anthropic.tools.failing_calls import UNAVAILABLE
from pensieve.core.errors import ValidationError

Json = dict[str, Any]
FIND = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "tides"}}
FIND_CALL = ToolCall("s1", "web_search", '{"query": "tides"}')
FOUND = {"type": "mcp_tool_result", "tool_use_id": "s1", "content": "High at six."}
NOT_RUN = ChatMessage(Role.TOOL, "[this tool did not run: there is no result]", tool_call_id="s1", is_error=True)


def decoded(*messages: Json, **fields: Any) -> GenerationRequest:
    body = {"model": "m", "max_tokens": 8, "messages": list(messages), **fields}
    return decode_messages(json.dumps(body).encode()).generation


def turns(*messages: Json) -> list[ChatMessage]:
    return list(decoded(*messages).messages)


def refusal(*messages: Json) -> str:
    with pytest.raises(ValidationError) as caught:
        decoded(*messages)
    return str(caught.value)


def user(content: Any = "Hi") -> Json:
    return {"role": "user", "content": content}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def system(content: Any = "Note", **fields: Any) -> Json:
    return {"role": "system", "content": content, **fields}


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def test_the_result_of_another_servers_tool_stands_between_the_parts_of_the_answer() -> None:
    assert turns(user(), assistant(text("I look."), FIND, FOUND, text("At six.")), user("Thanks"))[1:-1] == [
        ChatMessage(Role.ASSISTANT, "I look.", tool_calls=(FIND_CALL,)),
        ChatMessage(Role.TOOL, "High at six.", tool_call_id="s1"),
        ChatMessage(Role.ASSISTANT, "At six."),
    ]


def test_parallel_calls_of_another_servers_tools_are_followed_by_their_results() -> None:
    second = FIND | {"id": "s2"}
    answer = assistant(FIND, second, FOUND, FOUND | {"tool_use_id": "s2", "is_error": True})
    assert turns(user(), answer)[1:] == [
        ChatMessage(Role.ASSISTANT, "", tool_calls=(FIND_CALL, ToolCall("s2", "web_search", '{"query": "tides"}'))),
        ChatMessage(Role.TOOL, "High at six.", tool_call_id="s1"),
        ChatMessage(Role.TOOL, "High at six.", tool_call_id="s2", is_error=True),
    ]


def test_a_failure_of_another_servers_tool_is_an_error() -> None:
    failure = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    *_, result = turns(
        user(), assistant(FIND, {"type": "web_search_tool_result", "tool_use_id": "s1", "content": failure})
    )
    assert (result.text, result.is_error) == ("<error_code>unavailable</error_code>", True)


def test_an_error_that_this_server_wrote_comes_back_as_the_model_read_it() -> None:
    call = FIND | {"id": "srvtoolu_1"}
    failure = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": failure}
    assert turns(user(), assistant(call, result, text("I cannot."))) == [
        ChatMessage(Role.USER, "Hi"),
        ChatMessage(Role.ASSISTANT, "", tool_calls=(ToolCall("toolu_1", "web_search", '{"query": "tides"}'),)),
        ChatMessage(Role.TOOL, UNAVAILABLE, tool_call_id="toolu_1", is_error=True),
        ChatMessage(Role.ASSISTANT, "I cannot."),
    ]


def test_a_call_of_another_servers_tool_without_a_result_is_answered() -> None:
    assert turns(user(), assistant(FIND))[2:] == [NOT_RUN]
    assert turns(user(), assistant(FIND), user())[2] == NOT_RUN


def test_a_result_may_come_in_the_next_message_after_a_pause() -> None:
    assert turns(user(), assistant(FIND), assistant(FOUND, text("At six.")))[2:] == [
        ChatMessage(Role.TOOL, "High at six.", tool_call_id="s1"),
        ChatMessage(Role.ASSISTANT, "At six."),
    ]


def test_a_result_may_come_in_the_users_next_message() -> None:
    assert turns(user(), assistant(FIND), user([FOUND, text("Go on.")]))[2:] == [
        ChatMessage(Role.TOOL, "High at six.", tool_call_id="s1"),
        ChatMessage(Role.USER, "Go on."),
    ]


def test_a_result_that_comes_too_late_is_text() -> None:
    """A chat template may refuse a result that does not follow its call."""
    assert turns(user(), assistant(FIND), user(), assistant(FOUND))[2:] == [
        NOT_RUN,
        ChatMessage(Role.USER, "Hi"),
        ChatMessage(Role.ASSISTANT, "[the result of mcp]\nHigh at six."),
    ]


def test_of_two_calls_with_one_id_the_second_is_dropped() -> None:
    assert turns(user(), assistant(FIND, FIND | {"input": {}}))[1:] == [
        ChatMessage(Role.ASSISTANT, "", tool_calls=(FIND_CALL,)),
        NOT_RUN,
    ]


def test_a_result_without_its_call_is_text() -> None:
    assert turns(user(), assistant(FOUND))[1] == ChatMessage(Role.ASSISTANT, "[the result of mcp]\nHigh at six.")


def test_the_clients_own_call_follows_the_result_of_another_servers_tool() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "note", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "Noted."}
    assert [turn.role.value for turn in turns(user(), assistant(FIND, FOUND, call), user([result]))] == [
        *("user", "assistant", "tool", "assistant", "tool"),
    ]


@pytest.mark.parametrize("reordered", [{"url": "u", "title": "t"}, {"title": "t", "url": "u"}])
def test_a_client_may_reorder_the_fields_of_a_result(reordered: Json) -> None:
    content = [{"type": "web_search_result", **reordered, "page_age": None, "encrypted_content": "RU5D"}]
    *_, result = turns(user(), assistant(FIND, FOUND | {"type": "web_search_tool_result", "content": content}))
    assert result.text == (
        "<web_search_result>\n<encrypted_content>[encrypted, and not readable for this model]</encrypted_content>\n"
        "<title>t</title>\n<url>u</url>\n</web_search_result>"
    )


@pytest.mark.parametrize("content", [None, [], {}, {"type": "of_tomorrow"}, ""])
def test_a_result_without_content_is_not_empty(content: object) -> None:
    *_, result = turns(user(), assistant(FIND, FOUND | {"content": content}))
    assert result.text == "[no content]"


def test_encrypted_thinking_alone_leaves_no_empty_turn() -> None:
    redacted = {"type": "redacted_thinking", "data": "RU5D"}
    assert turns(user(), assistant(redacted), user())[1].text.startswith("[thinking that is encrypted")
    assert turns(user(), assistant(redacted, text("Yes.")), user())[1].text == "Yes."


SUMMARY = {"type": "compaction", "content": "They spoke of boats.", "encrypted_content": "RU5D", "signature": "s"}
SUMMARY_TURN = ChatMessage(Role.USER, "This is a summary of the conversation so far:\n\nThey spoke of boats.")


@pytest.mark.parametrize("earlier", [[], [user("Old"), assistant(text("Older")), system("Oldest")]])
def test_a_summary_replaces_everything_before_it(earlier: list[Json]) -> None:
    before = text("Before") if earlier else SUMMARY
    assert turns(*earlier, assistant(before, SUMMARY, text("Sail on.")), user("And now?")) == [
        SUMMARY_TURN,
        ChatMessage(Role.ASSISTANT, "Sail on."),
        ChatMessage(Role.USER, "And now?"),
    ]


def test_the_last_summary_counts_and_may_be_the_users() -> None:
    older = SUMMARY | {"content": "Older"}
    assert turns(assistant(older), user("Old"), user([SUMMARY, text("Go on.")])) == [
        ChatMessage(Role.USER, f"{SUMMARY_TURN.text}\n\nGo on."),
    ]


def test_a_summary_may_stand_alone() -> None:
    assert turns(assistant(SUMMARY)) == [SUMMARY_TURN]
    assert turns(assistant(SUMMARY), user()) == [SUMMARY_TURN, ChatMessage(Role.USER, "Hi")]


def test_a_failed_compaction_changes_nothing() -> None:
    failed = {"type": "compaction", "content": None}
    assert turns(user(), assistant(failed, text("Yes.")), user()) == turns(user(), assistant(text("Yes.")), user())
    assert turns(user(), assistant(failed), user()) == turns(user(), user())
    assert "at least one" in refusal(assistant(failed))
    assert refusal(assistant(SUMMARY | {"content": ""})).startswith("messages.0.content.0.")


def test_calls_before_a_summary_need_no_result_and_paths_stay_those_of_the_request() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "note", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "Noted."}
    assert len(turns(user(), assistant(call), assistant(SUMMARY), user())) == 2
    assert turns(user(), assistant(text("x"), SUMMARY, call), user([result]))[2].text == "Noted."
    assert refusal(user(), assistant(SUMMARY), user([result])).startswith("messages.2.content: unexpected tool_use_id")
    assert ": messages.1.content.1: " in refusal(user(), user([SUMMARY, {"type": "image", "source": {}}]))


def test_a_summary_brings_the_tool_changes_of_what_it_replaces() -> None:
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("sail", "dive")]
    changes = [{"type": "tool_removal", "tool": {"type": "tool_reference", "name": "dive"}}]
    request = decoded(assistant(SUMMARY | {"tool_changes": changes}), user(), tools=tools)
    assert [(tool.name, tool.withdrawn) for tool in request.tools] == [("sail", False), ("dive", True)]
    assert request.messages[0].text == f"{SUMMARY_TURN.text}\n\nA tool is no longer available: dive"


def test_a_turn_scoped_system_message_is_shown_until_the_next_user_message() -> None:
    reminder = system("Be quick.", clear_at="next_user_message")
    assert [turn.text for turn in turns(user(), reminder)] == ["Hi", "Be quick."]
    assert [turn.text for turn in turns(user(), reminder, assistant(text("Yes.")))] == ["Hi", "Be quick.", "Yes."]
    assert turns(user(), reminder, assistant(text("Yes.")), user()) == turns(user(), assistant(text("Yes.")), user())
    never = system("Be quick.", clear_at="never")
    assert turns(user(), never, user()) == turns(user(), system("Be quick."), user())


@pytest.mark.parametrize("fields", [{"clear_at": "never"}, {"output_config": {"effort": "low"}}])
def test_what_only_system_messages_may_have_is_refused_elsewhere(fields: Json) -> None:
    assert refusal(user() | fields).startswith(f"messages.0.{next(iter(fields))}: ")


def test_a_bogus_clear_at_is_refused() -> None:
    assert refusal(user(), system(clear_at="tomorrow")).startswith("messages.1.clear_at: ")


LOW = {"output_config": {"effort": "low"}}


@pytest.mark.parametrize(
    ("messages", "effort"),
    [
        ([user(), system([], **LOW)], "low"),
        ([user(), system("Note", **LOW)], "low"),
        ([user(), {"role": "system", **LOW}], "low"),
        ([user(), assistant(text("a")), system([], **LOW), user()], "low"),
        ([user(), system([], **LOW), assistant(text("a")), user(), assistant(text("a")), user()], "low"),
        ([user(), assistant(text("a")), system([], **LOW)], "high"),
        ([user(), system([], **LOW), system([], output_config={"effort": "max"})], "max"),
        ([user(), system([], **LOW), assistant(text("a")), system([], output_config={"effort": "max"}), user()], "max"),
    ],
)
def test_a_system_message_sets_the_effort_from_the_next_input_on(messages: list[Json], effort: str) -> None:
    """Anthropic's documentation, "Per-message effort"."""
    assert decoded(*messages, output_config={"effort": "high"}).thinking.effort == effort


def test_results_of_tools_are_no_new_input_for_the_effort() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "note", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "Noted."}
    loop = [user(), assistant(call), user([result]), system([], **LOW)]
    assert decoded(*loop).thinking.effort is None
    assert decoded(*loop, assistant(text("a")), user()).thinking.effort == "low"


def test_a_system_message_with_only_an_effort_is_not_part_of_the_prompt() -> None:
    assert turns(user(), system([], **LOW)) == turns(user())
    assert refusal(user(), system([])).startswith("messages.1.content: ")
    assert refusal(user(), system([], output_config={})).startswith("messages.1.content: ")
    assert refusal(user(), {"role": "system"}) == "messages.1.content: Field required"
    assert refusal(user(), system([], output_config={"effort": "huge"})).startswith("messages.1.output_config.effort: ")


def test_a_message_renders_the_same_in_every_later_turn() -> None:
    """C1: only an image that was refused while it was new is ever replaced."""
    document = {"type": "document", "source": {"type": "content", "content": [text("Blue")]}}
    passage = {"type": "search_result", "title": "t", "source": "s", "content": [text("p")]}
    conversation = [user([document, passage, {"type": "hologram"}]), assistant(FIND, FOUND, text("At six.")), user()]
    for length in (1, 2):
        assert turns(*conversation)[: len(turns(*conversation[:length]))] == turns(*conversation[:length])
