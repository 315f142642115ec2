"""An assistant's message as turns, with the results of tools that another server ran between them."""

from __future__ import annotations

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.api.anthropic.content.placed import PlacedMessage, ttl_seconds
from pensieve.api.anthropic.content.placeholders import NOT_RUN, REDACTED_THINKING
from pensieve.api.anthropic.content.reading import BLOCK_SEPARATOR, BlockReader, arguments_of, tool_name
from pensieve.api.anthropic.tools.server_tools import own_call_id
from pensieve.api.anthropic.wire.blocks import (
    Block,
    CompactionBlock,
    RedactedThinkingBlock,
    ServerCallBlock,
    ServerResultBlock,
    ThinkingBlock,
    ToolUseBlock,
)

FAILURE_SUFFIX = "_error"
"""Ends the type of a result that reports a failure."""


class AssistantTurns:
    """Tools that another server ran are rendered like those of the client: as calls in the model's own form, each with
    its result in a turn of its own. The model neither takes a result for its own words nor learns to write one itself.

    `answered` are the ids of the calls of such tools whose result follows.
    """

    def __init__(self, reader: BlockReader, answered: frozenset[str]) -> None:
        self._reader = reader
        self._answered = answered
        self._turns: list[ChatMessage] = []
        self._start_turn()

    def of_message(self, message: PlacedMessage) -> list[ChatMessage]:
        """The turns of one message, in order. One that has nothing for the prompt has no turn."""
        self._turns = []
        for path, block in message.placed_blocks():
            self._add(block, path)
        self._end_turn()
        return self._turns if message.blocks else [ChatMessage(Role.ASSISTANT, "")]

    def _start_turn(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[str, ToolCall] = {}
        self._unanswered: list[str] = []
        self._blocks: list[Block] = []

    def _add(self, block: Block, path: str) -> None:
        if isinstance(block, CompactionBlock):
            self._add_turn(Role.USER, self._reader.text(block, path), block)
        elif isinstance(block, ServerResultBlock) and block.tool_use_id in self._answered:
            turn = server_result_turn(block, self._reader)
            self._end_turn()
            self._turns.append(turn)
        else:
            self._blocks.append(block)
            self._add_part(block, path)

    def _add_part(self, block: Block, path: str) -> None:
        if isinstance(block, ThinkingBlock | RedactedThinkingBlock):
            self._thoughts.append(self._reader.text(block, path) or "")
        elif isinstance(block, ToolUseBlock):
            self._calls.setdefault(block.id, ToolCall(block.id, block.name, arguments_of(block)))
        elif isinstance(block, ServerCallBlock):
            self._add_server_call(block)
        elif (text := self._reader.text(block, path)) is not None:
            self._texts.append(text)

    def _add_server_call(self, block: ServerCallBlock) -> None:
        call_id = own_call_id(block.id)
        if call_id in self._calls:
            return
        self._calls[call_id] = ToolCall(call_id, tool_name(block), arguments_of(block))
        if block.id not in self._answered:
            self._unanswered.append(call_id)

    def _add_turn(self, role: Role, text: str | None, block: Block) -> None:
        if text is not None:
            self._end_turn()
            self._turns.append(ChatMessage(role, text, cache_ttl_seconds=ttl_seconds([block])))

    def _end_turn(self) -> None:
        """End the assistant's own turn, if it has anything. Encrypted thinking alone would leave it empty."""
        if not self._texts and not self._calls and any(isinstance(it, RedactedThinkingBlock) for it in self._blocks):
            self._texts = [REDACTED_THINKING]
        if self._texts or self._thoughts or self._calls:
            self._turns.append(
                ChatMessage(
                    Role.ASSISTANT,
                    BLOCK_SEPARATOR.join(self._texts),
                    BLOCK_SEPARATOR.join(self._thoughts),
                    tuple(self._calls.values()),
                    cache_ttl_seconds=ttl_seconds(self._blocks),
                )
            )
        self._turns += [
            ChatMessage(Role.TOOL, NOT_RUN, tool_call_id=call_id, is_error=True) for call_id in self._unanswered
        ]
        self._start_turn()


def server_result_turn(block: ServerResultBlock, reader: BlockReader) -> ChatMessage:
    kind = block.content.get("type") if isinstance(block.content, dict) else None
    failed = bool(block.is_error) or (isinstance(kind, str) and kind.endswith(FAILURE_SUFFIX))
    return ChatMessage(
        Role.TOOL,
        reader.of_results().result(block),
        tool_call_id=own_call_id(block.tool_use_id),
        is_error=failed,
        cache_ttl_seconds=ttl_seconds([block]),
    )
