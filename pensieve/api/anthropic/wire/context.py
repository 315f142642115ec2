"""`context_management`: edits of the conversation before it is read (W12)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from pensieve.api.http.wire_model import WireModel


class ThinkingTurns(WireModel):
    """The number of latest turns that keep their thinking."""

    type: Literal["thinking_turns", "all"]
    value: Annotated[int, Field(ge=1)] | None = None


def _kind_of_keep(keep: Any) -> str:
    return "string" if isinstance(keep, str) else "other"


class ClearThinking(WireModel):
    """`keep` is "all", `{"type": "all"}` or `{"type": "thinking_turns", "value": N}`."""

    type: Literal["clear_thinking_20251015"]
    keep: (
        Annotated[
            Annotated[Literal["all"], Tag("string")] | Annotated[ThinkingTurns, Tag("other")],
            Discriminator(_kind_of_keep),
        ]
        | None
    ) = None


class OtherEdit(WireModel):
    type: str


def _kind_of_edit(edit: Any) -> str:
    kind = edit.get("type") if isinstance(edit, dict) else getattr(edit, "type", None)
    return "blocks" if kind == "clear_thinking_20251015" else "other"


Edit = Annotated[
    Annotated[ClearThinking, Tag("blocks")] | Annotated[OtherEdit, Tag("other")], Discriminator(_kind_of_edit)
]


class ContextManagement(WireModel):
    edits: list[Edit] | None = None
