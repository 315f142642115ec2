"""Applies `context_management.edits` to a prompt, and reports what they cleared (W12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from contracts.values.vocabulary import ChatMessage, ClientIdentity, Prompt, Role
from pensieve.api.anthropic.wire.context import ContextManagement, WireClearThinking, WireClearToolUses, WireEdit
from pensieve.api.http.read_body import in_thread
from pensieve.core.prompts.context_edits import (
    ClearThinking,
    ClearToolUses,
    ContextEdit,
    clearable_uses,
    in_steps,
    num_tool_uses,
    without_old_thinking,
    without_tool_uses,
)

CountTokens = Callable[[Prompt], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class EditedPrompt:
    """A prompt after its edits, with the entries of `applied_edits` in the reply."""

    prompt: Prompt
    applied: tuple[dict[str, object], ...] = ()


def edits_of(wire: ContextManagement | None) -> tuple[ContextEdit, ...] | None:
    """None if the request has no `context_management`."""
    return None if wire is None else tuple(map(_edit, wire.edits or ()))


def _edit(wire: WireEdit) -> ContextEdit:
    if isinstance(wire, WireClearThinking):
        keep = wire.keep
        return ClearThinking(None if keep is None or keep == "all" or keep.type == "all" else keep.value or 1)
    if not isinstance(wire, WireClearToolUses):
        raise TypeError(wire.type)  # the body's types refuse it
    edit = ClearToolUses(excluded_tools=frozenset(wire.exclude_tools or ()))
    if wire.trigger is not None:
        of_tokens = wire.trigger.type == "input_tokens"
        tokens, uses = (wire.trigger.value, None) if of_tokens else (None, wire.trigger.value)
        edit = replace(edit, trigger_tokens=tokens, trigger_uses=uses)
    inputs = wire.clear_tool_inputs
    return replace(
        edit,
        keep=edit.keep if wire.keep is None else wire.keep.value,
        at_least_tokens=wire.clear_at_least.value if wire.clear_at_least is not None else 0,
        clears_inputs=frozenset(inputs) if isinstance(inputs, list) else bool(inputs),
    )


async def edited(prompt: Prompt, edits: Sequence[ContextEdit], count: CountTokens) -> EditedPrompt:
    """Apply the edits in their order. Tokens are counted only where an edit may clear something.

    Raises:
        ValidationError: as `count_tokens` of a model.
    """
    applied: list[dict[str, object]] = []
    count = _counted_once(count)
    for edit in edits:
        if isinstance(edit, ClearThinking):
            kind, what = "clear_thinking_20251015", "cleared_thinking_turns"
            messages, number = prompt.messages, 0
            if edit.keep_turns is not None:
                messages, number = await in_thread(partial(without_old_thinking, messages, edit.keep_turns))
        else:
            kind, what = "clear_tool_uses_20250919", "cleared_tool_uses"
            results = await _results_to_clear(prompt, edit, count)
            clear = partial(without_tool_uses, prompt.messages, results, edit.clears_inputs)
            messages, number = await in_thread(clear), len(results)
        if number:
            after = replace(prompt, messages=messages)
            cleared_tokens = max(0, await count(prompt) - await count(after))
            applied.append({"type": kind, what: number, "cleared_input_tokens": cleared_tokens})
            prompt = after
    return EditedPrompt(prompt, tuple(applied))


def _counted_once(count: CountTokens) -> CountTokens:
    known: dict[int, tuple[Prompt, int]] = {}
    """By identity, together with the prompt that it is: comparing prompts by value takes as long as they are."""

    async def counted(prompt: Prompt) -> int:
        if id(prompt) not in known:
            known[id(prompt)] = prompt, await count(prompt)
        return known[id(prompt)][1]

    return counted


async def _results_to_clear(prompt: Prompt, edit: ClearToolUses, count: CountTokens) -> list[int]:
    results = await in_thread(partial(clearable_uses, prompt.messages, edit))
    if not results or not await _is_triggered(prompt, edit, count):
        return []
    if not edit.at_least_tokens:
        return results
    tokens = {result: await _tokens_of(prompt.messages[result].text, prompt.client, count) for result in results}
    return in_steps(results, tokens, edit.at_least_tokens)


async def _is_triggered(prompt: Prompt, edit: ClearToolUses, count: CountTokens) -> bool:
    if edit.trigger_uses is not None:
        return num_tool_uses(prompt.messages) > edit.trigger_uses
    return edit.trigger_tokens is not None and await count(prompt) > edit.trigger_tokens


async def _tokens_of(text: str, client: ClientIdentity, count: CountTokens) -> int:
    return await count(Prompt((ChatMessage(Role.USER, text),), is_raw=True, client=client)) if text else 0
