"""Wire messages as the turns that a chat template renders (W12)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

from contracts.values.vocabulary import ChatMessage, Role, Tool, ToolCall
from pensieve.api.anthropic.content.documents import document_text
from pensieve.api.anthropic.wire.blocks import (
    Block,
    Content,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from pensieve.api.anthropic.wire.bodies import WireMessage
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.core.errors import ValidationError
from pensieve.core.prompts.canonical import cache_ttl_seconds, canonical_system_text, longest_ttl

log = logging.getLogger(__name__)

BLOCK_SEPARATOR = "\n\n"
"""Joins the text blocks of a message. Changing it changes every prompt, and so invalidates every cache (C1)."""

IMAGE_REFUSED = "this model reads text only: remove the image, or describe it"
IMAGE_IN_RESULT = "[an image, which this model cannot see]"
"""Replaces an image in a tool result, which stays in the history of the conversation and must not break it."""


class ConversationDecoder:
    """Decodes the messages of one request. `tools` are the request's tools by name, deferred ones included."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self.referenced: list[str] = []
        """Names of the tools that tool_reference blocks name, in order."""

    def turns(self, messages: Sequence[WireMessage]) -> list[ChatMessage]:
        """The turns of all messages, in order.

        Raises:
            ValidationError: a message is empty, has an image outside of tool results, or a call and its result do not
                match.
        """
        check_calls(messages)
        if all(message.role == "system" for message in messages):
            raise ValidationError("messages", "at least one user or assistant message is required")
        last = len(messages) - 1
        return [
            turn
            for number, message in enumerate(messages)
            for turn in self._turns(message, f"messages.{number}.content", is_last=number == last)
        ]

    def _turns(self, message: WireMessage, path: str, *, is_last: bool) -> list[ChatMessage]:
        if not message.content and not (is_last and message.role == "assistant"):
            raise ValidationError(path, "must not be empty, except in a final assistant message")
        if message.role == "system":
            return self._system_turns(message.content, path)
        if isinstance(message.content, str):
            return [ChatMessage(Role(message.role), message.content)]
        if message.role == "assistant":
            return [self._assistant_turn(message.content, path)]
        return self._user_turns(message.content, path)

    def _user_turns(self, blocks: Sequence[Block], path: str) -> list[ChatMessage]:
        """Each tool result becomes a turn of its own, in order with the text around it."""
        turns: list[ChatMessage] = []
        pending: list[Block] = []
        for number, block in enumerate(blocks):
            if isinstance(block, ToolResultBlock):
                if pending:
                    turns += self._text_turn(pending, path, number - len(pending))
                    pending = []
                turns.append(self._tool_turn(block, f"{path}.{number}"))
            else:
                pending.append(block)
        if pending or not turns:
            text_turn = self._text_turn(pending, path, len(blocks) - len(pending))
            turns += text_turn or [ChatMessage(Role.USER, "")] * (not turns)
        return turns

    def _text_turn(self, blocks: Sequence[Block], path: str, first: int) -> list[ChatMessage]:
        """The user's text between tool results as one turn; none if no block has text."""
        texts = [
            text for number, block in enumerate(blocks, first) for text in self._text_of(block, f"{path}.{number}")
        ]
        turn = ChatMessage(Role.USER, BLOCK_SEPARATOR.join(texts), cache_ttl_seconds=_ttl(blocks))
        return [turn] if texts else []

    def _system_turns(self, content: Content, path: str) -> list[ChatMessage]:
        """A system message within the conversation; none if only volatile text was in it (C1)."""
        blocks = [TextBlock(type="text", text=content)] if isinstance(content, str) else content
        texts = [text for number, block in enumerate(blocks) for text in self._text_of(block, f"{path}.{number}")]
        kept = [text for text in map(canonical_system_text, texts) if text]
        turn = ChatMessage(Role.SYSTEM, BLOCK_SEPARATOR.join(kept), cache_ttl_seconds=_ttl(blocks))
        return [turn] if kept or not texts else []

    def _assistant_turn(self, blocks: Sequence[Block], path: str) -> ChatMessage:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: dict[str, ToolCall] = {}
        for number, block in enumerate(blocks):
            if isinstance(block, ThinkingBlock):
                thoughts.append(block.thinking)
            elif isinstance(block, ToolUseBlock):
                arguments = json.dumps(block.input, ensure_ascii=False)
                calls.setdefault(block.id, ToolCall(block.id, block.name, arguments))
            else:
                texts += self._text_of(block, f"{path}.{number}")
        return ChatMessage(
            Role.ASSISTANT,
            BLOCK_SEPARATOR.join(texts),
            BLOCK_SEPARATOR.join(thoughts),
            tuple(calls.values()),
            cache_ttl_seconds=_ttl(blocks),
        )

    def _tool_turn(self, block: ToolResultBlock, path: str) -> ChatMessage:
        texts: list[str] = []
        if isinstance(block.content, str):
            texts = [block.content]
        for number, part in enumerate(block.content if isinstance(block.content, list) else []):
            is_image = isinstance(part, ImageBlock)
            texts += [IMAGE_IN_RESULT] if is_image else self._text_of(part, f"{path}.content.{number}")
        text = BLOCK_SEPARATOR.join(texts)
        parts = block.content if isinstance(block.content, list) else []
        return ChatMessage(
            Role.TOOL,
            text,
            tool_call_id=block.tool_use_id,
            is_error=bool(block.is_error),
            cache_ttl_seconds=_ttl([block, *parts]),
        )

    def _text_of(self, block: Block, path: str) -> list[str]:
        """The text of a block; none for an unknown type, which must not break the conversation."""
        match block:
            case TextBlock():
                return [block.text]
            case DocumentBlock():
                return [document_text(block, path)]
            case ToolReferenceBlock():
                return self._reference(block)
            case ImageBlock():
                raise ValidationError(path, IMAGE_REFUSED)
            case _:
                log.warning("ignoring a content block of the unknown type %.40r", block.type)
                return []

    def _reference(self, block: ToolReferenceBlock) -> list[str]:
        tool = self._tools.get(block.tool_name)
        if tool is None:
            return []
        self.referenced.append(tool.name)
        return [json.dumps(tool_as_json(tool), ensure_ascii=False)] if tool.deferred else []


def system_turn(content: Content | None) -> ChatMessage | None:
    """The system prompt in canonical form (C1); None if it is empty."""
    if content is None or isinstance(content, str):
        text = canonical_system_text(content or "")
        return ChatMessage(Role.SYSTEM, text) if text else None
    texts = (canonical_system_text(block.text) for block in content if isinstance(block, TextBlock))
    text = BLOCK_SEPARATOR.join(text for text in texts if text)
    return ChatMessage(Role.SYSTEM, text, cache_ttl_seconds=_ttl(content)) if text else None


def _ttl(blocks: Sequence[Block]) -> int | None:
    """The longest TTL that any block of the turn requests. A cached prompt always ends with a whole turn."""
    return longest_ttl(*(cache_ttl_seconds(block.cache_control) for block in blocks))


def check_calls(messages: Sequence[WireMessage]) -> None:
    """Require that each tool_use is answered in the next message. System messages in between do not count.

    Raises:
        ValidationError: a call or a result has no counterpart; the message names it.
    """
    open_ids: set[str] = set()
    opened_at = 0
    for number, message in enumerate(messages):
        if message.role == "system":
            continue
        blocks = message.content if isinstance(message.content, list) else []
        answered = [block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)]
        for tool_use_id in answered:
            if tool_use_id not in open_ids:
                raise ValidationError(
                    f"messages.{number}.content",
                    f"unexpected tool_use_id in a tool_result block: {tool_use_id}. Each tool_result must answer a "
                    "tool_use in the message before it",
                )
        _check_answered(open_ids - set(answered), opened_at)
        calls = {block.id for block in blocks if isinstance(block, ToolUseBlock)}
        open_ids, opened_at = calls if message.role == "assistant" else set(), number
    _check_answered(open_ids, opened_at)


def _check_answered(left_open: set[str], opened_at: int) -> None:
    if left_open:
        ids = ", ".join(sorted(left_open))
        raise ValidationError(
            f"messages.{opened_at}", f"tool_use ids were found without tool_result blocks right after them: {ids}"
        )
