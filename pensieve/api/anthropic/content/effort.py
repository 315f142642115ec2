"""How much effort system messages ask for, from where they stand on."""

from __future__ import annotations

from collections.abc import Sequence

from pensieve.api.anthropic.wire.blocks import ToolResultBlock
from pensieve.api.anthropic.wire.bodies import WireMessage


def effort_of(messages: Sequence[WireMessage]) -> str | None:
    """The effort for the answer to come; None if no message sets one.

    Source: Anthropic's documentation, "Per-message effort". Right after a user's new input, it holds for the answer to
    that; elsewhere, from the next new input on. Results of tools are not new input.
    """
    effort: str | None = None
    announced: str | None = None
    follows_input = False
    for message in messages:
        if message.role == "system":
            requested = message.output_config.effort if message.output_config is not None else None
            if requested is not None and follows_input:
                effort, announced = requested, None
            else:
                announced = requested or announced
            continue
        follows_input = _is_new_input(message)
        if follows_input:
            effort, announced = announced or effort, None
    return effort


def _is_new_input(message: WireMessage) -> bool:
    content = message.content
    if message.role != "user":
        return False
    return isinstance(content, str) or any(not isinstance(block, ToolResultBlock) for block in content or ())
