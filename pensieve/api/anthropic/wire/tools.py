"""Tools and tool_choice, as Anthropic's API reference defines them (W14)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from pensieve.api.http.wire_model import WireModel


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
