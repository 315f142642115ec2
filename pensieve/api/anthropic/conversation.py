"""From the messages of the wire to the turns that a chat template sees (W12)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

from contracts.values.vocabulary import ChatMessage, Role, Tool, ToolCall
from pensieve.api.anthropic.documents import document_text
from pensieve.api.anthropic.types import (
    Block,
    Content,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
    WireMessage,
)
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.core.errors import ValidationError
from pensieve.core.prompts.canonical import cache_ttl_seconds, canonical_system_text, longest_ttl

log = logging.getLogger(__name__)

BLOCK_SEPARATOR = "\n\n"
"""Between the text blocks of one message. One constant: the prompt's stability hangs on it (C1)."""

IMAGE_REFUSED = "this model reads text only: take the image out, or describe it"
IMAGE_IN_RESULT = "[an image, which this model cannot see]"
"""Stands for an image in a tool's result: the result is in the history for good, and must not end it."""


class Conversation:
    """Decodes the messages of one request. `tools` are all of the request's, by name: a reference tells one."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self.referenced: list[str] = []
        """Names of deferred tools that the conversation refers to, in order."""

    def turns(self, messages: Sequence[WireMessage]) -> list[ChatMessage]:
        """All of them, in their places.

        Raises:
            ValidationError: an empty message, an image, a call without its result or a result without its call.
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
            raise ValidationError(path, "must not be empty, except in a last message of the assistant")
        if message.role == "system":
            return self._note(message.content, path)
        if isinstance(message.content, str):
            return [ChatMessage(Role(message.role), message.content)]
        if message.role == "assistant":
            return [self._answer(message.content, path)]
        return self._asked(message.content, path)

    def _asked(self, blocks: Sequence[Block], path: str) -> list[ChatMessage]:
        """What comes from outside: results are turns of their own, in their order among the text."""
        turns: list[ChatMessage] = []
        said: list[Block] = []
        for number, block in enumerate(blocks):
            if isinstance(block, ToolResultBlock):
                if said:
                    turns += self._spoken(said, path, number - len(said))
                    said = []
                turns.append(self._result(block, f"{path}.{number}"))
            else:
                said.append(block)
        if said or not turns:
            turns += self._spoken(said, path, len(blocks) - len(said)) or [ChatMessage(Role.USER, "")] * (not turns)
        return turns

    def _spoken(self, blocks: Sequence[Block], path: str, first: int) -> list[ChatMessage]:
        """What the user says between results, as one turn, or none where no block has words."""
        texts = [
            text for number, block in enumerate(blocks, first) for text in self._text_of(block, f"{path}.{number}")
        ]
        turn = ChatMessage(Role.USER, BLOCK_SEPARATOR.join(texts), cache_ttl_seconds=_ttl(blocks))
        return [turn] if texts else []

    def _note(self, content: Content, path: str) -> list[ChatMessage]:
        """A system message, in its place; none where it says only what changes by itself."""
        blocks = [TextBlock(type="text", text=content)] if isinstance(content, str) else content
        texts = [text for number, block in enumerate(blocks) for text in self._text_of(block, f"{path}.{number}")]
        kept = [canon for canon in map(canonical_system_text, texts) if canon]
        turn = ChatMessage(Role.SYSTEM, BLOCK_SEPARATOR.join(kept), cache_ttl_seconds=_ttl(blocks))
        return [turn] if kept or not texts else []

    def _answer(self, blocks: Sequence[Block], path: str) -> ChatMessage:
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

    def _result(self, block: ToolResultBlock, path: str) -> ChatMessage:
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
        """The text that a block stands for. What is not understood stands for none, and ends no conversation."""
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
                log.warning("a content block of type %.40r is not understood here and is left out", block.type)
                return []

    def _reference(self, block: ToolReferenceBlock) -> list[str]:
        tool = self._tools.get(block.tool_name)
        if tool is None:
            return []
        self.referenced.append(tool.name)
        return [json.dumps(tool_as_json(tool), ensure_ascii=False)] if tool.deferred else []


def system_turn(content: Content | None) -> ChatMessage | None:
    """The system text, of a string or of text blocks, in canonical form (C1); None where nothing is left of it."""
    if content is None or isinstance(content, str):
        text = canonical_system_text(content or "")
        return ChatMessage(Role.SYSTEM, text) if text else None
    texts = (canonical_system_text(block.text) for block in content if isinstance(block, TextBlock))
    text = BLOCK_SEPARATOR.join(text for text in texts if text)
    return ChatMessage(Role.SYSTEM, text, cache_ttl_seconds=_ttl(content)) if text else None


def _ttl(blocks: Sequence[Block]) -> int | None:
    """The longest wish of any of a turn's blocks: what counts is the end of the turn."""
    return longest_ttl(*(cache_ttl_seconds(block.cache_control) for block in blocks))


def check_calls(messages: Sequence[WireMessage]) -> None:
    """Calls and results answer each other from one turn to the next, as the API has it. Notes of the system between
    them do not count.

    Raises:
        ValidationError: naming the message, and the id.
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
