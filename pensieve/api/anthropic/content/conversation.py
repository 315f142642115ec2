"""Wire messages as the turns that a chat template renders (W12)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.api.anthropic.content.assistant import AssistantTurns, server_result_turn
from pensieve.api.anthropic.content.calls import answered_by_servers, check_calls
from pensieve.api.anthropic.content.offered_tools import OfferedTools
from pensieve.api.anthropic.content.placed import PlacedMessage, since_compaction, ttl_seconds
from pensieve.api.anthropic.content.placeholders import refused, replaced
from pensieve.api.anthropic.content.reading import BLOCK_SEPARATOR, BlockReader
from pensieve.api.anthropic.wire.blocks import Block, Content, ServerResultBlock, TextBlock, ToolResultBlock
from pensieve.api.anthropic.wire.bodies import WireMessage
from pensieve.api.anthropic.wire.expansion import Expansion
from pensieve.core.errors import ValidationError, listed
from pensieve.core.prompts.canonical import canonical_system_text

log = logging.getLogger(__name__)


class ConversationDecoder:
    """Decodes the messages of one request. `tools` are the request's tools by name, deferred ones included.

    An image or document that the model cannot read is refused in the newest user message and in the system prompt, and
    replaced in older messages, which would otherwise be refused in every turn from then on.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        expansion = Expansion()
        self.offered = OfferedTools(tools, expansion)
        self._unknown: Counter[str] = Counter()
        self._strict = BlockReader(self.offered, refused, self._unknown, expansion)
        self._lenient = BlockReader(self.offered, replaced, self._unknown, expansion)

    def system_turn(self, content: Content | None) -> ChatMessage | None:
        """The system prompt in canonical form (C1); None if it is empty."""
        blocks = _as_blocks(content)
        texts = self._strict.texts((f"system.{number}", block) for number, block in enumerate(blocks))
        return next(iter(_system_turns(texts, blocks)), None)

    def turns(self, messages: Sequence[WireMessage]) -> list[ChatMessage]:
        """The turns of all messages since the last compaction, in order.

        Raises:
            ValidationError: a message is empty, a call and its result do not match, or the newest user message has an
                image or document that cannot be read.
        """
        placed = since_compaction(messages)
        check_calls(placed)
        for message in placed:
            _check_content(message, is_last=message is placed[-1])
        newest = max((message.number for message in placed if message.is_user), default=0)
        answered = answered_by_servers(placed)
        turns = [turn for message in placed for turn in self._turns(message, newest, answered)]
        if all(turn.role is Role.SYSTEM for turn in turns):
            raise ValidationError("messages", "at least one user or assistant message is required")
        self._log_unknown()
        return turns

    def _turns(self, message: PlacedMessage, newest: int, answered: frozenset[str]) -> list[ChatMessage]:
        content = message.message.content
        if message.is_system:
            return self._system_turns(message, is_past=message.number < newest)
        if isinstance(content, str):
            return [ChatMessage(Role(message.message.role), content)]
        if not message.is_user:
            return AssistantTurns(self._lenient, answered).of_message(message)
        return self._user_turns(message, self._strict if message.number == newest else self._lenient, answered)

    def _user_turns(self, message: PlacedMessage, reader: BlockReader, answered: frozenset[str]) -> list[ChatMessage]:
        """Each tool result becomes a turn of its own, in order with the text around it."""
        turns: list[ChatMessage] = []
        pending: list[tuple[str, Block]] = []
        for path, block in message.placed_blocks():
            if isinstance(block, ToolResultBlock):
                turns += [*_user_turn(pending, reader), self._tool_turn(block, path)]
                pending = []
            elif isinstance(block, ServerResultBlock) and block.tool_use_id in answered:
                turns += [*_user_turn(pending, reader), server_result_turn(block, reader)]
                pending = []
            else:
                pending.append((path, block))
        return turns + _user_turn(pending, reader)

    def _tool_turn(self, block: ToolResultBlock, path: str) -> ChatMessage:
        text = self._lenient.joined(block.content, f"{path}.content")
        parts = block.content if isinstance(block.content, list) else []
        ttl = ttl_seconds([block, *parts])
        return ChatMessage(
            Role.TOOL, text, tool_call_id=block.tool_use_id, is_error=bool(block.is_error), cache_ttl_seconds=ttl
        )

    def _system_turns(self, message: PlacedMessage, *, is_past: bool) -> list[ChatMessage]:
        """A system message within the conversation; none if only volatile text was in it (C1).

        Source: the SDK's BetaSystemMessageParam. A message with `clear_at` is not shown any more once there is a later
        user message.
        """
        cleared = is_past and message.message.clear_at == "next_user_message"
        content = message.message.content
        placed = [(message.path, block) for block in _as_blocks(content)] if isinstance(content, str) else None
        shown = [
            (path, block)
            for path, block in placed or message.placed_blocks()
            if not (cleared and isinstance(block, TextBlock))
        ]
        return _system_turns(self._lenient.texts(shown), [block for _, block in shown])

    def _log_unknown(self) -> None:
        """One line for all of them, however many a request has."""
        if self._unknown:
            num_blocks, types = self._unknown.total(), listed(self._unknown)
            log.warning("replaced %d content blocks of unknown types by placeholders: %s", num_blocks, types)


def _as_blocks(content: Content | None) -> list[Block]:
    return [TextBlock(type="text", text=content)] if isinstance(content, str) else content or []


def _system_turns(texts: Sequence[str], blocks: Sequence[Block]) -> list[ChatMessage]:
    text = BLOCK_SEPARATOR.join(kept for kept in map(canonical_system_text, texts) if kept)
    return [ChatMessage(Role.SYSTEM, text, cache_ttl_seconds=ttl_seconds(blocks))] if text else []


def _user_turn(placed_blocks: Sequence[tuple[str, Block]], reader: BlockReader) -> list[ChatMessage]:
    """The user's text between tool results as one turn; none if no block has text."""
    texts = reader.texts(placed_blocks)
    ttl = ttl_seconds(block for _, block in placed_blocks)
    return [ChatMessage(Role.USER, BLOCK_SEPARATOR.join(texts), cache_ttl_seconds=ttl)] if texts else []


def _check_content(message: PlacedMessage, *, is_last: bool) -> None:
    wire = message.message
    if wire.role == "system":
        sets_effort = wire.output_config is not None and wire.output_config.effort is not None
        may_be_empty = sets_effort
    else:
        may_be_empty = is_last and wire.role == "assistant"
        if wire.clear_at is not None or wire.output_config is not None:
            name = "clear_at" if wire.clear_at is not None else "output_config"
            raise ValidationError(f"messages.{message.number}.{name}", "is only allowed in system messages")
    if wire.content is None and not (wire.role == "system" and may_be_empty):
        raise ValidationError(message.path, "Field required")
    if not wire.content and not may_be_empty:
        raise ValidationError(message.path, "must not be empty, except in a final assistant message")
