"""Which tools a conversation offers to the model, as its blocks name, add and remove them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from contracts.values.vocabulary import Tool
from pensieve.api.anthropic.tools.decode import tool_of, visible_tools
from pensieve.api.anthropic.wire.blocks import ToolChangeBlock
from pensieve.api.anthropic.wire.expansion import Expansion
from pensieve.api.anthropic.wire.tools import AnyTool, WireTool, WireToolChoice
from pensieve.api.http.schemas.json_schemas import ToolTotals
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.core.errors import ValidationError


class OfferedTools:
    """Starts from the request's own tools, by name. A deferred tool is offered once a block has named it.

    A tool at the head of the prompt stays there when it is removed, or else the whole prompt would have to be computed
    again (C1): it is withdrawn, which the conversation says where that happens, and it can no longer be called.
    """

    def __init__(self, tools: Mapping[str, Tool], expansion: Expansion) -> None:
        self._tools = dict(tools)
        self._expansion = expansion
        self._redefined: dict[str, Tool] = {}
        """Tools at the head of the prompt whose name now stands for another definition."""
        self._named: set[str] = set()
        self._withdrawn: set[str] = set()

    @cached_property
    def _totals(self) -> ToolTotals:
        totals = ToolTotals()
        totals.add([json.loads(tool.input_schema) for tool in self._tools.values()], "tools")
        return totals

    def visible(self, choice: WireToolChoice | None) -> tuple[Tool, ...]:
        """The tools that are described in the prompt, withdrawn ones included."""
        tools = {name: replace(tool, withdrawn=name in self._withdrawn) for name, tool in self._tools.items()}
        shown = visible_tools(tools, self._named, choice)
        places = ((self._redefined.get(tool.name), tool) for tool in shown)
        return tuple(tool for place in places for tool in place if tool is not None)

    def named(self, name: str, path: str) -> str:
        """The text of a reference to a tool: its description, unless that is at the head of the prompt.

        Raises:
            ValidationError: the references of the request repeat too much.
        """
        tool = self._tools.get(name)
        if tool is None:
            return f"[a tool named {name}, which is not among the tools of this request]"
        self._named.add(name)
        return self._expansion.add(self._description(tool), path)

    def changed(self, block: ToolChangeBlock, path: str) -> str:
        """The text of a change.

        Raises:
            ValidationError: the tool is incomplete, or cannot be offered here.
        """
        change = block.tool
        if change.type.startswith("mcp_"):
            raise ValidationError(f"{path}.tool", "tools of MCP servers are not supported: offer them as your own")
        if change.type == "tool_definition" and block.type == "tool_addition":
            return self._defined(change.definition, f"{path}.tool.definition")
        if change.name is None:
            raise ValidationError(f"{path}.tool.name", "Field required")
        is_added = block.type == "tool_addition"
        return self._added(change.name, f"{path}.tool.name") if is_added else self._removed(change.name)

    def _defined(self, definition: AnyTool | None, path: str) -> str:
        if definition is None:
            raise ValidationError(path, "Field required")
        self._totals.add([definition.input_schema if isinstance(definition, WireTool) else None], path)
        tool = tool_of(definition, path)
        if tool is None:
            raise ValidationError(path, "this server runs no tool search: define the tools that it would find")
        former = self._tools.get(tool.name)
        if former is not None and not former.deferred:
            self._redefined[tool.name] = replace(former, withdrawn=True)
        self._tools[tool.name] = replace(tool, deferred=True)
        return self._added(tool.name, path)

    def _added(self, name: str, path: str) -> str:
        self._withdrawn.discard(name)
        return f"A tool is available from now on: {self.named(name, path)}"

    def _removed(self, name: str) -> str:
        self._withdrawn.add(name)
        return f"A tool is no longer available: {name}"

    def _description(self, tool: Tool) -> str:
        return json.dumps(tool_as_json(tool), ensure_ascii=False) if tool.deferred else tool.name
