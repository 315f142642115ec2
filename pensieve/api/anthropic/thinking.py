"""Thinking in a Messages request: `thinking`, `output_config.effort` and `context_management`."""

from __future__ import annotations

from contracts.values.vocabulary import Thinking
from pensieve.api.anthropic.content.effort import effort_of
from pensieve.api.anthropic.wire.bodies import CountTokensBody
from pensieve.api.anthropic.wire.context import ContextManagement, WireClearThinking
from pensieve.core.errors import ValidationError


def thinking_of(wire: CountTokensBody) -> Thinking:
    """
    Raises:
        ValidationError: thinking is enabled without a budget.
    """
    config = wire.thinking
    effort = effort_of(wire.messages) or (wire.output_config.effort if wire.output_config is not None else None)
    keeps_past = _keeps_past(wire.context_management)
    if config is None or config.type in ("disabled", "between_tools"):  # see WireThinking
        return Thinking(effort=effort, keeps_past=keeps_past)
    if config.type == "enabled" and config.budget_tokens is None:
        raise ValidationError("thinking.budget_tokens", "Field required")
    return Thinking(True, config.budget_tokens, config.display == "omitted", effort, keeps_past)  # noqa: FBT003


def _keeps_past(management: ContextManagement | None) -> bool | None:
    """True if the client says which thinking to keep: the edit removes the rest, and the template must keep that.
    Otherwise the template decides. Source: Anthropic's documentation, "Context editing".
    """
    edits = (management.edits or ()) if management is not None else ()
    return True if any(isinstance(edit, WireClearThinking) and edit.keep is not None for edit in edits) else None
