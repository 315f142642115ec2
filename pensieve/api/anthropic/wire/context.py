"""`context_management`, `compaction` and `diagnostics`: requests about the prompt rather than the answer (W12)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from pensieve.api.http.wire_model import Name, Names, WireModel

Count = Annotated[int, Field(ge=0)]

MAX_EDITS = 16
"""There are fewer types of them, and each may be listed once."""


class ThinkingTurns(WireModel):
    """The number of latest turns that keep their thinking."""

    type: Literal["thinking_turns", "all"]
    value: Annotated[int, Field(ge=1)] | None = None


def _kind_of_value(value: Any) -> str:
    return "string" if isinstance(value, str) else "other"


class WireClearThinking(WireModel):
    """`keep` is "all", `{"type": "all"}` or `{"type": "thinking_turns", "value": N}`."""

    type: Literal["clear_thinking_20251015"]
    keep: (
        Annotated[
            Annotated[Literal["all"], Tag("string")] | Annotated[ThinkingTurns, Tag("other")],
            Discriminator(_kind_of_value),
        ]
        | None
    ) = None


class Trigger(WireModel):
    type: Literal["input_tokens", "tool_uses"]
    value: Count


class KeptToolUses(WireModel):
    type: Literal["tool_uses"]
    value: Count


class InputTokens(WireModel):
    type: Literal["input_tokens"]
    value: Count


def _kind_of_inputs(inputs: Any) -> str:
    return "blocks" if isinstance(inputs, list | tuple) else "other"


class WireClearToolUses(WireModel):
    type: Literal["clear_tool_uses_20250919"]
    trigger: Trigger | None = None
    keep: KeptToolUses | None = None
    clear_at_least: InputTokens | None = None
    exclude_tools: Names | None = None
    clear_tool_inputs: (
        Annotated[Annotated[bool, Tag("other")] | Annotated[Names, Tag("blocks")], Discriminator(_kind_of_inputs)]
        | None
    ) = None


def _refused(kind: str) -> str:
    raise PydanticCustomError(
        "unsupported",
        "{kind} is not supported: this server applies clear_tool_uses_20250919 and clear_thinking_20251015",
        {"kind": repr(kind[:80])},
    )


class UnsupportedEdit(WireModel):
    type: Annotated[str, AfterValidator(_refused)]


_KINDS_OF_EDIT = {"clear_thinking_20251015": "blocks", "clear_tool_uses_20250919": "custom"}


def _kind_of_edit(edit: Any) -> str:
    kind = edit.get("type") if isinstance(edit, dict) else getattr(edit, "type", None)
    return _KINDS_OF_EDIT.get(kind, "other") if isinstance(kind, str) else "other"


WireEdit = Annotated[
    Annotated[WireClearThinking, Tag("blocks")]
    | Annotated[WireClearToolUses, Tag("custom")]
    | Annotated[UnsupportedEdit, Tag("other")],
    Discriminator(_kind_of_edit),
]


def _without_repetition(edits: list[WireEdit]) -> list[WireEdit]:
    kinds = [edit.type for edit in edits]
    if len(set(kinds)) < len(kinds):
        raise PydanticCustomError("repeated", "each type of edit may be listed only once")
    return edits


class ContextManagement(WireModel):
    edits: (
        Annotated[list[WireEdit], Field(max_length=MAX_EDITS, fail_fast=True), AfterValidator(_without_repetition)]
        | None
    ) = None


class Compaction(WireModel):
    type: Literal["summarize"]
    instructions: str | None = None


class DiagnosticsRequest(WireModel):
    previous_message_id: Name | None = None
