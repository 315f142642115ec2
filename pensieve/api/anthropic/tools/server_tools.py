"""Tools that Anthropic's own servers run, and this server cannot (server_tools.toml)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

_TOOL_SEARCH: Final = re.compile(r"tool_search_tool_(bm25|regex)(_\d{8})?")
_DATED: Final = re.compile(r"(?P<kind>\w+?)_\d{8}")


@dataclass(frozen=True, slots=True)
class ServerTool:
    """Its calls fail with the API's own error, in a block of the type `result`."""

    name: str
    description: str
    input_schema: str
    result: str
    instead: str
    """What a client can do without it."""

    def failed(self, call_id: str) -> dict[str, object]:
        """The content block that reports a failed call."""
        error = {"type": f"{self.result}_error", "error_code": "unavailable"}
        return {"type": self.result, "tool_use_id": call_id, "content": error}


def server_tool(kind: str) -> ServerTool | None:
    """The tool of a type such as web_search_20250305, of any date."""
    dated = _DATED.fullmatch(kind)
    return server_tools().get(dated["kind"]) if dated is not None else None


def server_call_id(call_id: str) -> str:
    """The id of a call that the client must not run, in the form that the API prescribes: srvtoolu_…"""
    return f"srv{call_id}"


def own_call_id(call_id: str) -> str:
    """The id under which the call was generated, if it was generated here."""
    return call_id.removeprefix("srv")


def is_tool_search(kind: str) -> bool:
    return _TOOL_SEARCH.fullmatch(kind) is not None


def why_refused(kind: str) -> str:
    """Why a tool of this type cannot even be offered to the model, or "" if that is not known."""
    return next((entry["why"] for entry in _data()["refused"] if re.fullmatch(entry["types"], kind)), "")


@cache
def server_tools() -> Mapping[str, ServerTool]:
    """By name, which is also the type without its date."""
    return {entry["type"]: _tool(entry) for entry in _data()["tool"]}


def _tool(entry: Mapping[str, Any]) -> ServerTool:
    properties = entry["properties"]
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    description = (
        f"{entry['description']} Not available at the moment: every call fails. Answer without it, and tell the user "
        "what you could not look up or do."
    )
    return ServerTool(entry["type"], description, json.dumps(schema), entry["result"], entry["instead"])


@cache
def _data() -> Mapping[str, Any]:
    text = (files("pensieve.api.anthropic.tools") / "server_tools.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
