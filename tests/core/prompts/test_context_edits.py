"""Clearing old thinking and tool results: what is cleared, and that it stays where it is."""

from __future__ import annotations

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.core.prompts.context_edits import (
    CLEARED_RESULT,
    ClearToolUses,
    clearable_uses,
    in_steps,
    num_tool_uses,
    without_old_thinking,
    without_tool_uses,
)


def question(text: str = "And?") -> ChatMessage:
    return ChatMessage(Role.USER, text)


def use(number: int, name: str = "read") -> tuple[ChatMessage, ChatMessage]:
    call = ToolCall(f"t{number}", name, f'{{"n": {number}}}')
    return (
        ChatMessage(Role.ASSISTANT, "", f"thought {number}", (call,)),
        ChatMessage(Role.TOOL, f"result {number}", tool_call_id=f"t{number}"),
    )


LOOP = (question(), *use(1), *use(2, "remember"), *use(3), *use(4))


def results(messages: tuple[ChatMessage, ...]) -> list[str]:
    return [message.text for message in messages if message.role is Role.TOOL]


def test_the_oldest_results_are_replaced_and_calls_stay() -> None:
    old = clearable_uses(LOOP, ClearToolUses(keep=2))
    assert old == [2, 4]
    cleared = without_tool_uses(LOOP, old, clears_inputs=False)
    assert results(cleared) == [CLEARED_RESULT, CLEARED_RESULT, "result 3", "result 4"]
    assert [message.tool_calls for message in cleared] == [message.tool_calls for message in LOOP]


def test_excluded_tools_are_never_cleared() -> None:
    assert clearable_uses(LOOP, ClearToolUses(keep=1, excluded_tools=frozenset({"remember"}))) == [2, 6]


def test_an_id_that_every_turn_uses_is_cleared_only_in_old_turns() -> None:
    def use_again(number: int, name: str) -> tuple[ChatMessage, ...]:
        call = ToolCall("call_0", name, f'{{"n": {number}}}')
        return (
            ChatMessage(Role.ASSISTANT, "", "", (call,)),
            ChatMessage(Role.TOOL, f"result {number}", tool_call_id="call_0"),
        )

    turns = (question(), *use_again(1, "read"), *use_again(2, "remember"), *use_again(3, "read"))
    old = clearable_uses(turns, ClearToolUses(keep=1, excluded_tools=frozenset({"remember"})))
    cleared = without_tool_uses(turns, old, clears_inputs=True)
    assert results(cleared) == [CLEARED_RESULT, "result 2", "result 3"]
    assert [call.arguments for turn in cleared for call in turn.tool_calls] == ["{}", '{"n": 2}', '{"n": 3}']


def test_everything_may_be_cleared_and_nothing() -> None:
    assert len(clearable_uses(LOOP, ClearToolUses(keep=0))) == num_tool_uses(LOOP) == 4
    assert clearable_uses(LOOP, ClearToolUses(keep=9)) == []


def test_inputs_are_cleared_of_all_tools_or_of_those_named() -> None:
    def inputs(clears: bool | frozenset[str]) -> list[str]:  # noqa: FBT001 - as in the edit
        cleared = without_tool_uses(LOOP, [2, 4], clears)
        return [call.arguments for message in cleared for call in message.tool_calls]

    assert inputs(clears=True) == ["{}", "{}", '{"n": 3}', '{"n": 4}']
    assert inputs(frozenset({"remember"})) == ['{"n": 1}', "{}", '{"n": 3}', '{"n": 4}']


def test_steps_end_where_they_ended_before_the_conversation_grew() -> None:
    tokens = dict.fromkeys(range(20), 10)
    assert [len(in_steps(range(end), tokens, 25)) for end in range(1, 10)] == [0, 0, 3, 3, 3, 6, 6, 6, 9]


def test_a_turn_includes_the_tool_results_and_the_text_beside_them() -> None:
    first = (question(), *use(1), question("a reminder"), *use(2), ChatMessage(Role.ASSISTANT, "Done.", "so"))
    second = (question(), ChatMessage(Role.ASSISTANT, "Bye.", "well"))
    assert without_old_thinking((*first, *second), 2) == ((*first, *second), 0)
    kept, number = without_old_thinking((*first, *second, question()), 1)
    assert number == 1
    assert [message.thinking for message in kept if message.thinking] == ["well"]


def test_turns_without_thinking_do_not_count() -> None:
    turns = (
        question(),
        ChatMessage(Role.ASSISTANT, "a", "x"),
        question(),
        ChatMessage(Role.ASSISTANT, "b"),
        question(),
    )
    assert without_old_thinking(turns, 1) == (turns, 0)
