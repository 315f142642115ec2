"""Decodes `tools` and `tool_choice` (W14)."""

from __future__ import annotations

import logging

from contracts.values.vocabulary import Tool, ToolChoice, ToolMode
from pensieve.api.anthropic.wire.tools import AnyTool, WireTool, WireToolChoice
from pensieve.api.http.json_schemas import require_schema
from pensieve.core.errors import ValidationError

log = logging.getLogger(__name__)


def tools_of(wire: list[AnyTool] | tuple[()]) -> dict[str, Tool]:
    tools: dict[str, Tool] = {}
    for number, tool in enumerate(wire):
        if not isinstance(tool, WireTool):
            log.warning("ignoring a tool of type %.40r, which only Anthropic's servers run", tool.type)
            continue
        if tool.name in tools:
            raise ValidationError(f"tools.{number}.name", f"tool names must be unique, but {tool.name} is used twice")
        if tool.input_schema.get("type") != "object":
            raise ValidationError(f"tools.{number}.input_schema.type", "must be 'object'")
        schema = require_schema(tool.input_schema, f"tools.{number}.input_schema")
        tools[tool.name] = Tool(tool.name, tool.description or "", schema, bool(tool.defer_loading))
    return tools


def tool_choice_of(wire: WireToolChoice | None, tools: tuple[Tool, ...]) -> ToolChoice:
    if wire is None:
        return ToolChoice()
    tools = tuple(tool for tool in tools if not tool.withdrawn)
    mode = ToolMode(wire.type)
    if mode in (ToolMode.ANY, ToolMode.TOOL) and not tools:
        raise ValidationError("tool_choice", f"type {wire.type} requires tools")
    if mode is ToolMode.TOOL and not any(tool.name == wire.name for tool in tools):
        raise ValidationError("tool_choice.name", f"{wire.name!r} is not the name of a tool")
    return ToolChoice(mode, wire.name if mode is ToolMode.TOOL else None, not wire.disable_parallel_tool_use)
