"""Tools and tool_choice, as Anthropic's API reference defines them (W14)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from pensieve.api.http.wire_model import Kind, Name, WireModel

MAX_INPUT_EXAMPLES = 64
"""A limit of this server, because each one becomes part of the prompt."""
MAX_CALLERS = 16
"""There are fewer of them."""


Caller = Annotated[str, Field(pattern=r"^(direct|code_execution_\d{8})$")]


class ToolFields(WireModel):
    """What every tool may have. `eager_input_streaming` changes nothing here: input always streams while it is
    generated, and is valid JSON all the same.
    """

    defer_loading: bool | None = None
    allowed_callers: Annotated[list[Caller], Field(max_length=MAX_CALLERS, fail_fast=True)] | None = None
    strict: bool | None = None
    input_examples: Annotated[list[dict[str, Any]], Field(max_length=MAX_INPUT_EXAMPLES, fail_fast=True)] | None = None
    eager_input_streaming: bool | None = None
    cache_control: Any = None


class WireTool(ToolFields):
    """A tool that the client defines and runs."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, Any]
    description: str | None = None


class AnthropicTool(ToolFields):
    """A tool that Anthropic defines, by its type. Toolsets have no name."""

    type: Kind
    name: Name | None = None
    max_characters: Annotated[int, Field(ge=1)] | None = None


def _kind_of_tool(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return "custom" if kind in (None, "custom") else "anthropic"


AnyTool = Annotated[
    Annotated[WireTool, Tag("custom")] | Annotated[AnthropicTool, Tag("anthropic")], Discriminator(_kind_of_tool)
]


class WireToolChoice(WireModel):
    type: Literal["auto", "any", "tool", "none"]
    name: Name | None = None
    disable_parallel_tool_use: bool | None = None
