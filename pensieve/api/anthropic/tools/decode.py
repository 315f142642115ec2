"""Decodes `tools` and `tool_choice` (W14, W22)."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from contracts.values.vocabulary import Tool, ToolChoice, ToolMode
from pensieve.api.anthropic.tools.client_tools import ClientTool, client_tools
from pensieve.api.anthropic.tools.server_tools import is_tool_search, server_tool, server_tools, why_refused
from pensieve.api.anthropic.wire.tools import AnthropicTool, AnyTool, ToolFields, WireTool, WireToolChoice
from pensieve.api.http.schemas.json_schemas import ToolTotals, require_schema
from pensieve.core.errors import ValidationError, listed

log = logging.getLogger(__name__)


def tools_of(wire: Sequence[AnyTool]) -> dict[str, Tool]:
    """The tools of a request by name, deferred ones included.

    This server runs no tool search. A request that has one gets all deferred tools at once, in the order given.

    Raises:
        ValidationError: a tool is wrong or cannot be offered here, or none of them can be run.
    """
    ToolTotals().add([entry.input_schema for entry in wire if isinstance(entry, WireTool)], "tools")
    tools: dict[str, Tool] = {}
    for number, entry in enumerate(wire):
        tool = tool_of(entry, f"tools.{number}")
        if tool is None:
            continue
        if tool.name in tools:
            raise ValidationError(f"tools.{number}.name", f"tool names must be unique, but {tool.name} is used twice")
        tools[tool.name] = tool
    _require_one_that_runs(wire, tools)
    if any(isinstance(entry, AnthropicTool) and is_tool_search(entry.type) for entry in wire):
        log.info("this server runs no tool search: the model is shown all deferred tools")
        tools = {name: replace(tool, deferred=False) for name, tool in tools.items()}
    return tools


def tool_of(wire: AnyTool, path: str) -> Tool | None:
    """One tool; None for a tool search.

    Raises:
        ValidationError: it is wrong, or cannot be offered here.
    """
    _check_callers(wire, path)
    tool = _custom_tool(wire, path) if isinstance(wire, WireTool) else _anthropic_tool(wire, path)
    if tool is None:
        return None
    description = _with_examples(tool.description, wire.input_examples or [])
    return replace(
        tool, description=description, deferred=bool(wire.defer_loading), strict=bool(wire.strict), place=path
    )


def _with_examples(description: str, examples: list[dict[str, Any]]) -> str:
    """Examples of input follow the description, as chat templates have no place of their own for them."""
    texts = [json.dumps(example, ensure_ascii=False) for example in examples]
    return "\n".join([description, "Examples of input:", *texts]).strip() if texts else description


def _custom_tool(wire: WireTool, path: str) -> Tool:
    if wire.input_schema.get("type") != "object":
        raise ValidationError(f"{path}.input_schema.type", "must be 'object'")
    return Tool(wire.name, wire.description or "", require_schema(wire.input_schema, f"{path}.input_schema"))


def _anthropic_tool(wire: AnthropicTool, path: str) -> Tool | None:
    if why := why_refused(wire.type):
        raise ValidationError(f"{path}.type", f"this server cannot offer {wire.type}: {why}")
    if is_tool_search(wire.type):
        return None
    if (known := client_tools().get(wire.type)) is not None:
        return _client_tool(known, wire, path)
    if (absent := server_tool(wire.type)) is not None:
        _require_name(wire, absent.name, path)
        return Tool(absent.name, absent.description, absent.input_schema, unavailable=True)
    types = ", ".join(client_tools())
    raise ValidationError(
        f"{path}.type",
        f"this server does not know tools of the type {wire.type!r}: send one of {types}, or a tool with name and "
        "input_schema and no type",
    )


def _client_tool(known: ClientTool, wire: AnthropicTool, path: str) -> Tool:
    _require_name(wire, known.name, path)
    if wire.max_characters is not None and not known.limits_characters:
        raise ValidationError(f"{path}.max_characters", f"{wire.type} does not have it: remove it")
    return Tool(known.name, known.described(wire.max_characters), known.input_schema)


def _require_name(wire: AnthropicTool, name: str, path: str) -> None:
    if wire.name != name:
        raise ValidationError(f"{path}.name", f"must be {name!r} for a tool of the type {wire.type}")


def _check_callers(wire: ToolFields, path: str) -> None:
    if wire.allowed_callers is not None and "direct" not in wire.allowed_callers:
        raise ValidationError(
            f"{path}.allowed_callers",
            "without 'direct' only code on the server may call the tool, and this server runs none: add 'direct'",
        )


def _require_one_that_runs(wire: Sequence[AnyTool], tools: Mapping[str, Tool]) -> None:
    if not wire or not all(tool.unavailable for tool in tools.values()):
        return
    kind = wire[0].type if isinstance(wire[0], AnthropicTool) else ""
    absent = server_tool(kind)
    instead = absent.instead if absent is not None else "send tools for it to find"
    raise ValidationError(
        "tools.0.type", f"this server cannot run {kind}, and there is no other tool: remove it, or {instead}"
    )


def visible_tools(
    tools: Mapping[str, Tool], referenced: Collection[str], choice: WireToolChoice | None
) -> tuple[Tool, ...]:
    """Those that are described in the prompt: a deferred tool needs a reference, or a tool_choice that names it."""
    forced = choice.name if choice is not None and choice.type == "tool" else None
    shown = (
        replace(tool, deferred=False) if tool.name == forced and tool.name not in referenced else tool
        for tool in tools.values()
    )
    return tuple(tool for tool in shown if not tool.deferred or tool.name in referenced)


def require_one_shown(wire: Sequence[AnyTool], shown: Sequence[Tool]) -> None:
    """
    Raises:
        ValidationError: a request has tools, and the model sees none of them.
    """
    if wire and not shown:
        raise ValidationError(
            "tools", "all of them have defer_loading set, and no message names one: send at least one without it"
        )


def tool_choice_of(wire: WireToolChoice | None, tools: tuple[Tool, ...]) -> ToolChoice:
    """
    Raises:
        ValidationError: there is no such tool, or the only tool that may be called cannot be run, or was removed.
    """
    if wire is None:
        return ToolChoice()
    mode = ToolMode(wire.type)
    if mode is ToolMode.TOOL:
        _require_callable(wire.name, tools)
    elif mode is ToolMode.ANY:
        _require_any_callable(tools)
    return ToolChoice(mode, wire.name if mode is ToolMode.TOOL else None, not wire.disable_parallel_tool_use)


def _require_callable(name: str | None, tools: Sequence[Tool]) -> None:
    if name is None:
        raise ValidationError("tool_choice.name", "Field required")
    if is_tool_search(name):
        raise ValidationError(
            "tool_choice.name", f"this server cannot run {name}: name one of the tools that it would find"
        )
    named = [tool for tool in tools if tool.name == name]
    if not named:
        raise ValidationError("tool_choice.name", f"{name!r} is not the name of a tool")
    offered = next((tool for tool in named if not tool.withdrawn), None)
    if offered is None:
        raise ValidationError("tool_choice.name", f"the conversation has removed {name}: add it again, or name another")
    if offered.unavailable:
        instead = server_tools()[name].instead
        raise ValidationError("tool_choice.name", f"this server cannot run {name}: {instead}")


def _require_any_callable(tools: Sequence[Tool]) -> None:
    if not tools:
        raise ValidationError("tool_choice", "type any requires tools")
    offered = [tool for tool in tools if not tool.withdrawn]
    if any(not tool.unavailable for tool in offered):
        return
    removed = {tool.name for tool in tools} - {tool.name for tool in offered}
    reasons = (
        f"the conversation has removed {listed(removed)}" if removed else "",
        f"this server cannot run {listed([tool.name for tool in offered])}" if offered else "",
    )
    raise ValidationError(
        "tool_choice", f"type any requires a tool that can be called; {', and '.join(filter(None, reasons))}"
    )
