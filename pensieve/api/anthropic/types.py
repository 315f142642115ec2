"""Request bodies, as Anthropic's API reference defines them (W12 to W16). Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Temperature = Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
StopSequence = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=256)]

MAX_STOP_SEQUENCES = 64
"""A limit of this server, because every token is compared with all of them."""

MIN_THINKING_TOKENS = 1024
"""The API's own minimum of thinking.budget_tokens."""


class WireModel(BaseModel):
    """Strict: "5" is not accepted as a number, and neither is true."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, protected_namespaces=())


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


class WireMessage(WireModel):
    role: Literal["user", "assistant", "system"]
    content: Content


class WireTool(WireModel):
    """A tool that the client runs."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, Any]
    description: str | None = None
    defer_loading: bool | None = None
    cache_control: Any = None


class ServerTool(WireModel):
    """A tool that only Anthropic's servers run."""

    type: str


def _kind_of_tool(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return "custom" if kind in (None, "custom") else "server"


AnyTool = Annotated[
    Annotated[WireTool, Tag("custom")] | Annotated[ServerTool, Tag("server")], Discriminator(_kind_of_tool)
]


class WireToolChoice(WireModel):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class WireThinking(WireModel):
    """`between_tools` turns thinking off, except that text between two tool calls appears as thinking. Local models
    have no such mode, so it means `disabled` here.
    """

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=MIN_THINKING_TOKENS)] | None = None
    display: str | None = None


class OutputFormat(WireModel):
    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(WireModel):
    format: OutputFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


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


class Metadata(WireModel):
    user_id: str | None = None


class CountTokensBody(WireModel):
    """`POST /v1/messages/count_tokens` (W2), and what a Messages request shares with it."""

    model: Name
    messages: Annotated[list[WireMessage], Field(min_length=1)]
    system: Content | None = None
    tools: list[AnyTool] | None = None
    tool_choice: WireToolChoice | None = None
    thinking: WireThinking | None = None
    output_config: OutputConfig | None = None
    context_management: ContextManagement | None = None
    thread: Any = None
    cache_control: Any = None
    """On the request itself, it applies to the last message."""


class MessagesBody(CountTokensBody):
    """`POST /v1/messages` (W1)."""

    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    stop_sequences: Annotated[list[StopSequence], Field(max_length=MAX_STOP_SEQUENCES)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None


ToolResultBlock.model_rebuild()
