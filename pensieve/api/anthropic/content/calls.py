"""That each call of a tool and its result belong together."""

from __future__ import annotations

from collections.abc import Sequence

from pensieve.api.anthropic.content.placed import PlacedMessage
from pensieve.api.anthropic.wire.blocks import ServerCallBlock, ServerResultBlock, ToolResultBlock, ToolUseBlock
from pensieve.core.errors import ValidationError, listed


def check_calls(messages: Sequence[PlacedMessage]) -> None:
    """Require that each tool_use is answered in the next message. System messages in between do not count.

    Raises:
        ValidationError: a call or a result has no counterpart; the message names it.
    """
    open_ids: set[str] = set()
    opened_at = 0
    for message in messages:
        if message.is_system:
            continue
        answered = [block.tool_use_id for block in message.blocks if isinstance(block, ToolResultBlock)]
        for tool_use_id in answered:
            if tool_use_id not in open_ids:
                raise ValidationError(
                    message.path,
                    f"unexpected tool_use_id in a tool_result block: {tool_use_id}. Each tool_result must answer a "
                    "tool_use in the message before it",
                )
        _check_answered(open_ids - set(answered), opened_at)
        calls = {block.id for block in message.blocks if isinstance(block, ToolUseBlock)}
        open_ids, opened_at = set() if message.is_user else calls, message.number
    _check_answered(open_ids, opened_at)


def answered_by_servers(messages: Sequence[PlacedMessage]) -> frozenset[str]:
    """The ids of the calls that another server ran, and whose result follows in the same message or in the next one."""
    answered: set[str] = set()
    open_ids: set[str] = set()
    for message in messages:
        if message.is_system:
            continue
        called: set[str] = set()
        for block in message.blocks:
            if isinstance(block, ServerCallBlock) and not message.is_user:
                called.add(block.id)
            elif isinstance(block, ServerResultBlock) and any(block.tool_use_id in ids for ids in (called, open_ids)):
                answered.add(block.tool_use_id)
        open_ids = called
    return frozenset(answered)


def _check_answered(left_open: set[str], opened_at: int) -> None:
    if left_open:
        ids = listed(left_open)
        raise ValidationError(
            f"messages.{opened_at}", f"tool_use ids were found without tool_result blocks right after them: {ids}"
        )
