"""Content blocks, as Anthropic's API reference defines them (W12). Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from pensieve.api.http.wire_model import Name, WireModel


class WireBlock(WireModel):
    """A content block. Any `cache_control` is accepted, because it is not part of the prompt (C1)."""

    cache_control: Any = None


class TextBlock(WireBlock):
    type: Literal["text"]
    text: str


class ImageBlock(WireBlock):
    type: Literal["image"]


class DocumentSource(WireModel):
    type: str
    media_type: str | None = None
    data: str | None = None
    content: Any = None


class DocumentBlock(WireBlock):
    type: Literal["document"]
    source: DocumentSource
    title: str | None = None
    context: str | None = None


class ToolUseBlock(WireBlock):
    type: Literal["tool_use"]
    id: Name
    name: Name
    input: dict[str, Any]


class ToolResultBlock(WireBlock):
    type: Literal["tool_result"]
    tool_use_id: Name
    content: Content | None = None
    is_error: bool | None = None


class ToolReferenceBlock(WireBlock):
    type: Literal["tool_reference"]
    tool_name: Name


class ThinkingBlock(WireBlock):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class OtherBlock(WireBlock):
    """A block of any other type."""

    type: str


_KNOWN_BLOCKS = {"text", "image", "document", "tool_use", "tool_result", "tool_reference", "thinking"}


def _kind_of_block(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return kind if isinstance(kind, str) and kind in _KNOWN_BLOCKS else "other"


Block = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[DocumentBlock, Tag("document")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[ToolReferenceBlock, Tag("tool_reference")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[OtherBlock, Tag("other")],
    Discriminator(_kind_of_block),
]


def _kind_of_content(content: Any) -> str:
    return "blocks" if isinstance(content, list | tuple) else "string"


Content = Annotated[
    Annotated[str, Tag("string")] | Annotated[list[Block], Tag("blocks")], Discriminator(_kind_of_content)
]


ToolResultBlock.model_rebuild()
