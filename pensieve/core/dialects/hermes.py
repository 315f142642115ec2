"""Tools in plain text, for models whose chat template does not support them (W14)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import Dialect, result_text, tools_prompt


def with_tools_as_text(
    messages: Iterable[ChatMessage], tools: tuple[Tool, ...], dialect: Dialect
) -> tuple[ChatMessage, ...]:
    """Write tools into the system text, calls into the assistant's text and results into the user's.

    Tools come before the system text: they are the same in every folder, and the system text is not (C1).
    """
    turns = [_as_text(message, dialect) for message in messages]
    listed_tools = [tool for tool in tools if not tool.deferred]
    if listed_tools:
        listed = tools_prompt(listed_tools, dialect)
        if turns and turns[0].role is Role.SYSTEM:
            turns[0] = replace(turns[0], text=f"{listed}\n\n{turns[0].text}")
        else:
            turns.insert(0, ChatMessage(Role.SYSTEM, listed))
    return tuple(_results_joined(turns))


def _as_text(message: ChatMessage, dialect: Dialect) -> ChatMessage:
    if message.role is Role.TOOL:
        return ChatMessage(Role.TOOL, result_text(message.text, is_error=message.is_error))
    calls = [dialect.call_text(message.tool_calls)] if message.tool_calls else []
    return ChatMessage(message.role, "\n".join([*([message.text] if message.text or not calls else []), *calls]))


def _results_joined(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Join tool results, and a user message right after them, into one user turn."""
    runs: list[list[ChatMessage]] = []
    follows_result = False
    for message in messages:
        is_result = message.role is Role.TOOL
        if follows_result and message.role in (Role.TOOL, Role.USER):
            runs[-1].append(message)
        else:
            runs.append([message])
        follows_result = is_result
    return [
        ChatMessage(Role.USER, "\n".join(message.text for message in run)) if run[0].role is Role.TOOL else run[0]
        for run in runs
    ]
