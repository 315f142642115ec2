"""A conversation with tools, told to a model whose template has no words for them (W14)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import Dialect, result_text, tools_prompt


def with_tools_as_text(
    messages: Iterable[ChatMessage], tools: tuple[Tool, ...], dialect: Dialect
) -> tuple[ChatMessage, ...]:
    """Tools at the head of the system text, calls in the assistant's text, results in the user's.

    Tools come before the system text, so that what changes with the folder stands behind what does not (C1).
    """
    told = [_told(message, dialect) for message in messages]
    listed_tools = [tool for tool in tools if not tool.deferred]
    if listed_tools:
        listed = tools_prompt(listed_tools, dialect)
        if told and told[0].role is Role.SYSTEM:
            told[0] = replace(told[0], text=f"{listed}\n\n{told[0].text}")
        else:
            told.insert(0, ChatMessage(Role.SYSTEM, listed))
    return tuple(_results_joined(told))


def _told(message: ChatMessage, dialect: Dialect) -> ChatMessage:
    if message.role is Role.TOOL:
        return ChatMessage(Role.TOOL, result_text(message.text, is_error=message.is_error))
    calls = [dialect.call_text(message.tool_calls)] if message.tool_calls else []
    return ChatMessage(message.role, "\n".join([*([message.text] if message.text or not calls else []), *calls]))


def _results_joined(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Results, and what the user says right after them, are one turn of the user."""
    joined: list[ChatMessage] = []
    follows_result = False
    for message in messages:
        is_result = message.role is Role.TOOL
        spoken = ChatMessage(Role.USER, message.text) if is_result else message
        if follows_result and spoken.role is Role.USER:
            joined[-1] = ChatMessage(Role.USER, f"{joined[-1].text}\n{spoken.text}")
        else:
            joined.append(spoken)
        follows_result = is_result
    return joined
