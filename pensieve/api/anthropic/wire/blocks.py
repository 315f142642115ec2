"""Content blocks, as Anthropic's API reference defines them (W12). Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from pensieve.api.anthropic.wire.tools import AnyTool
from pensieve.api.http.wire_model import Blocks, Kind, Name, ToolList, WireModel


class WireBlock(WireModel):
    """A content block. Any `cache_control` is accepted, because it is not part of the prompt (C1)."""

    cache_control: Any = None


class TextBlock(WireBlock):
    type: Literal["text"]
    text: str


class ImageBlock(WireBlock):
    type: Literal["image"]


class DocumentSource(WireModel):
    type: Kind
    media_type: str | None = None
    data: str | None = None
    content: Content | None = None
    url: str | None = None
    file_id: str | None = None


class DocumentBlock(WireBlock):
    type: Literal["document"]
    source: DocumentSource
    title: str | None = None
    context: str | None = None


class SearchResultBlock(WireBlock):
    """A passage that the client found, with where it is from."""

    type: Literal["search_result"]
    title: str
    source: str
    content: Content


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


class BrowserStateBlock(WireBlock):
    """The open tabs of the client's browser, in the result of one of its tools."""

    type: Literal["browser_state"]
    tabs: Blocks[Any]
    state_changes: Blocks[Any] | None = None


class ThinkingBlock(WireBlock):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(WireBlock):
    type: Literal["redacted_thinking"]


class ServerCallBlock(WireBlock):
    """A call of a tool that another server ran: one of Anthropic's own, or one of an MCP server."""

    type: Literal["server_tool_use", "mcp_tool_use"]
    id: Name
    name: Name
    input: dict[str, Any]
    server_name: Name | None = None


class ServerResultBlock(WireBlock):
    """The result of such a call. Each tool has a type of its own, whose content differs, also with its versions."""

    type: Kind
    tool_use_id: Name
    content: Any = None
    is_error: bool | None = None


class McpTool(WireModel):
    name: Name
    description: str | None = None
    input_schema: dict[str, Any]


class McpToolListingBlock(WireBlock):
    type: Literal["mcp_tool_listing"]
    mcp_server_name: Name
    tools: ToolList[McpTool]


class ToolChange(WireModel):
    """The tool that is added or removed: by name, by the name of its MCP server, or with its definition."""

    type: Literal["tool_reference", "tool_definition", "mcp_tool_reference", "mcp_toolset_reference"]
    name: Name | None = None
    server_name: Name | None = None
    definition: AnyTool | None = None


class ToolChangeBlock(WireBlock):
    """In a system message: a tool is available from here on, or is not any more."""

    type: Literal["tool_addition", "tool_removal"]
    tool: ToolChange


class CompactionBlock(WireBlock):
    """A summary that replaces the whole conversation before it; null where the summarising failed."""

    type: Literal["compaction"]
    content: Annotated[str, Field(min_length=1)] | None = None
    tool_changes: Blocks[ToolChangeBlock] | None = None


class ContainerUploadBlock(WireBlock):
    type: Literal["container_upload"]
    file_id: str


class FallbackBlock(WireBlock):
    """Another model continued the answer from here on. It is not part of the prompt."""

    type: Literal["fallback"]


class OtherBlock(WireBlock):
    """A block of any other type."""

    type: Kind


_KNOWN_BLOCKS = {
    "text",
    "image",
    "document",
    "search_result",
    "tool_use",
    "tool_result",
    "tool_reference",
    "browser_state",
    "thinking",
    "redacted_thinking",
    "mcp_tool_listing",
    "compaction",
    "container_upload",
    "fallback",
}
_SHARED_CLASSES = {
    "server_tool_use": "server call",
    "mcp_tool_use": "server call",
    "tool_addition": "tool change",
    "tool_removal": "tool change",
}


def _kind_of_block(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    if not isinstance(kind, str):
        return "other"
    if kind in _KNOWN_BLOCKS:
        return kind
    if kind.endswith("_tool_result") and _has_call(block):
        return "server result"
    return _SHARED_CLASSES.get(kind, "other")


def _has_call(block: Any) -> bool:
    return isinstance(block, ServerResultBlock) or (isinstance(block, dict) and "tool_use_id" in block)


Block = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[DocumentBlock, Tag("document")]
    | Annotated[SearchResultBlock, Tag("search_result")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[ToolReferenceBlock, Tag("tool_reference")]
    | Annotated[BrowserStateBlock, Tag("browser_state")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[RedactedThinkingBlock, Tag("redacted_thinking")]
    | Annotated[ServerCallBlock, Tag("server call")]
    | Annotated[ServerResultBlock, Tag("server result")]
    | Annotated[McpToolListingBlock, Tag("mcp_tool_listing")]
    | Annotated[ToolChangeBlock, Tag("tool change")]
    | Annotated[CompactionBlock, Tag("compaction")]
    | Annotated[ContainerUploadBlock, Tag("container_upload")]
    | Annotated[FallbackBlock, Tag("fallback")]
    | Annotated[OtherBlock, Tag("other")],
    Discriminator(_kind_of_block),
]


def _kind_of_content(content: Any) -> str:
    return "blocks" if isinstance(content, list | tuple) else "string"


Content = Annotated[
    Annotated[str, Tag("string")] | Annotated[Blocks[Block], Tag("blocks")], Discriminator(_kind_of_content)
]


for _model in (DocumentSource, DocumentBlock, SearchResultBlock, ToolResultBlock):
    _model.model_rebuild()

BLOCK: TypeAdapter[Block] = TypeAdapter(Block)
"""Reads a block that stands inside the result of another server's tool."""
