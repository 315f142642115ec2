"""Clearing old parts of a conversation before the model reads it, as a function of the conversation alone (W12).

Source: Anthropic's documentation, "Context editing". A client sends the whole conversation with every request, so the
same parts must be cleared every time: where another part is cleared, the rest of the prompt is computed again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.values.vocabulary import ChatMessage, Role, ToolCall

CLEARED_RESULT = "[Old tool result content cleared]"


@dataclass(frozen=True, slots=True)
class ClearThinking:
    """Keep the thinking of the latest `keep_turns` turns that have any; None keeps all."""

    keep_turns: int | None = None


@dataclass(frozen=True, slots=True)
class ClearToolUses:
    """Clear the results of all tool uses but the latest `keep`, once the prompt exceeds a trigger.

    `clears_inputs` of all tools, or of those named. `at_least_tokens` are cleared each time, so that clearing moves in
    steps of that size.
    """

    trigger_tokens: int | None = 100_000
    trigger_uses: int | None = None
    keep: int = 3
    at_least_tokens: int = 0
    excluded_tools: frozenset[str] = frozenset()
    clears_inputs: bool | frozenset[str] = False


ContextEdit = ClearThinking | ClearToolUses


def without_old_thinking(messages: Sequence[ChatMessage], keep_turns: int) -> tuple[tuple[ChatMessage, ...], int]:
    """The messages without the thinking of older turns, and the number of turns that lost theirs.

    A turn is everything that follows a message of the user: answers, tool results, and the text next to results.
    """
    turn_of: list[int] = []
    before = None
    for message in messages:
        begins = message.role is Role.USER and before is not Role.TOOL
        turn_of.append((turn_of[-1] if turn_of else 0) + begins)
        before = message.role
    thoughtful = sorted({turn for turn, message in zip(turn_of, messages, strict=True) if message.thinking})
    cleared = set(thoughtful[:-keep_turns])
    return (
        tuple(
            replace(message, thinking="") if turn in cleared else message
            for turn, message in zip(turn_of, messages, strict=True)
        ),
        len(cleared),
    )


def num_tool_uses(messages: Sequence[ChatMessage]) -> int:
    return sum(message.role is Role.TOOL for message in messages)


def clearable_uses(messages: Sequence[ChatMessage], edit: ClearToolUses) -> list[str]:
    """The ids of the tool uses that may be cleared, oldest first."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    results = [message.tool_call_id or "" for message in messages if message.role is Role.TOOL]
    old = results[: max(0, len(results) - edit.keep)]
    return [each for each in old if names.get(each) not in edit.excluded_tools]


def in_steps(ids: Sequence[str], tokens: Mapping[str, int], at_least_tokens: int) -> list[str]:
    """The first of `ids`, up to the end of the last step of `at_least_tokens`. `tokens` are the sizes of their results.

    Where a step ends depends only on what comes before it, so that it stays where it is while the conversation grows.
    """
    end, in_step = 0, 0
    for number, tool_use_id in enumerate(ids, 1):
        in_step += tokens[tool_use_id]
        if in_step >= at_least_tokens:
            end, in_step = number, 0
    return list(ids[:end])


def without_tool_uses(
    messages: Sequence[ChatMessage],
    ids: Collection[str],
    clears_inputs: bool | frozenset[str],  # noqa: FBT001 - as in the edit
) -> tuple[ChatMessage, ...]:
    def cleared_call(call: ToolCall) -> ToolCall:
        is_named = clears_inputs if isinstance(clears_inputs, bool) else call.name in clears_inputs
        return replace(call, arguments="{}") if is_named and call.id in ids else call

    return tuple(
        replace(message, text=CLEARED_RESULT)
        if message.role is Role.TOOL and message.tool_call_id in ids
        else replace(message, tool_calls=tuple(map(cleared_call, message.tool_calls)))
        for message in messages
    )
