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


def clearable_uses(messages: Sequence[ChatMessage], edit: ClearToolUses) -> list[int]:
    """The tool uses that may be cleared, oldest first, each by the place of its result among the messages."""
    calls = _calls_of_results(messages)
    old = list(calls)[: max(0, len(calls) - edit.keep)]
    return [result for result in old if calls[result].call.name not in edit.excluded_tools]


def in_steps(results: Sequence[int], tokens: Mapping[int, int], at_least_tokens: int) -> list[int]:
    """The first of `results`, up to the end of the last step of `at_least_tokens`. `tokens` are the sizes of all.

    Where a step ends depends only on what comes before it, so that it stays where it is while the conversation grows.
    """
    end, in_step = 0, 0
    for number, result in enumerate(results, 1):
        in_step += tokens[result]
        if in_step >= at_least_tokens:
            end, in_step = number, 0
    return list(results[:end])


def without_tool_uses(
    messages: Sequence[ChatMessage],
    results: Collection[int],
    clears_inputs: bool | frozenset[str],  # noqa: FBT001 - as in the edit
) -> tuple[ChatMessage, ...]:
    cleared = list(messages)
    calls = _calls_of_results(messages)
    ids: dict[int, set[str]] = {}
    for result in results:
        cleared[result] = replace(messages[result], text=CLEARED_RESULT)
        turn, call = calls[result].turn, calls[result].call
        if clears_inputs if isinstance(clears_inputs, bool) else call.name in clears_inputs:
            ids.setdefault(turn, set()).add(call.id)
    for turn, ids_of_turn in ids.items():
        cleared[turn] = replace(
            cleared[turn],
            tool_calls=tuple(
                replace(call, arguments="{}") if call.id in ids_of_turn else call for call in cleared[turn].tool_calls
            ),
        )
    return tuple(cleared)


@dataclass(frozen=True, slots=True)
class _PlacedCall:
    turn: int
    call: ToolCall


def _calls_of_results(messages: Sequence[ChatMessage]) -> dict[int, _PlacedCall]:
    """The call that each result answers, by the result's place. Some clients use the same ids in every turn."""
    latest: dict[str | None, _PlacedCall] = {}
    calls: dict[int, _PlacedCall] = {}
    for place, message in enumerate(messages):
        latest |= {call.id: _PlacedCall(place, call) for call in message.tool_calls}
        if message.role is Role.TOOL:
            calls[place] = latest[message.tool_call_id]
    return calls
