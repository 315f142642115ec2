"""What a Messages request says of thinking: `thinking`, `output_config.effort` and `context_management`."""

from __future__ import annotations

from contracts.values.vocabulary import Thinking
from pensieve.api.anthropic.types import ClearThinking, ContextManagement, CountTokensBody
from pensieve.core.errors import ValidationError


def thinking_of(wire: CountTokensBody) -> Thinking:
    """
    Raises:
        ValidationError: thinking is enabled without a budget.
    """
    asked = wire.thinking
    effort = wire.output_config.effort if wire.output_config is not None else None
    keeps_past = _keeps_past(wire.context_management)
    if asked is None or asked.type in ("disabled", "between_tools"):  # the latter thinks as little; see wire_types
        return Thinking(effort=effort, keeps_past=keeps_past)
    if asked.type == "enabled" and asked.budget_tokens is None:
        raise ValidationError("thinking.budget_tokens", "Field required")
    return Thinking(True, asked.budget_tokens, asked.display == "omitted", effort, keeps_past)  # noqa: FBT003


def _keeps_past(management: ContextManagement | None) -> bool | None:
    """Whether thinking of earlier turns is kept, by the API's documentation of context editing.

    Templates keep the thinking of all turns or of the last one. Of a request to keep more than one turn, all are kept:
    nothing is missing that was to be there, and dropping a turn's thinking with each new one would change the prompt
    from there on, which costs more than it saves.
    """
    edits = (management.edits or ()) if management is not None else ()
    keep = next((edit.keep for edit in edits if isinstance(edit, ClearThinking)), None)
    if keep is None:
        return None
    return keep == "all" or keep.type == "all" or (keep.value or 1) > 1
