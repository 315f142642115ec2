"""Faults with schemas that cannot be enforced as a whole, one per function."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tests.mutants.wire import Json, ProxiedAnswer, ProxiedCall

_REFUSAL: Json = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "a tool's schema cannot be enforced"},
}
_ANY_OBJECT: Json = {"type": "object"}


def refuses_what_it_cannot_enforce(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    """One tool's schema fails the request, whichever tool is to be called."""
    if not any(_is_odd(tool) for tool in _tools(_request(call))):
        return answer
    return dataclasses.replace(answer, status=400, body=json.dumps(_REFUSAL).encode())


def refuses_beside_the_forced_tool(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    forced = (_request(call).get("tool_choice") or {}).get("type") == "tool"
    return refuses_what_it_cannot_enforce(call, answer) if forced else answer


def relaxes_the_whole_schema(call: ProxiedCall) -> ProxiedCall:
    """Any object is accepted as input if one keyword cannot be enforced."""

    def relaxed(body: Json) -> Json:
        for tool in filter(_is_odd, _tools(body)):
            tool["input_schema"] = _ANY_OBJECT
        return body

    return call.with_json(relaxed)


def ignores_strict(call: ProxiedCall) -> ProxiedCall:
    def lenient(body: Json) -> Json:
        for tool in _tools(body):
            tool.pop("strict", None)
        return body

    return call.with_json(lenient)


def fails_on_the_impossible(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    body = {"type": "error", "error": {"type": "api_error", "message": "the grammar failed"}}
    return dataclasses.replace(answer, status=500, body=json.dumps(body).encode()) if answer.status == 400 else answer


def relaxes_the_whole_format(call: ProxiedCall) -> ProxiedCall:
    def relaxed(body: Json) -> Json:
        wanted = (body.get("output_config") or {}).get("format")
        if wanted is not None and "(?" in json.dumps(wanted):
            wanted["schema"] = _ANY_OBJECT
        return body

    return call.with_json(relaxed)


def _request(call: ProxiedCall) -> Json:
    request: Json = json.loads(call.body or b"{}")
    return request


def _tools(body: Json) -> list[Json]:
    tools: Any = body.get("tools")
    return tools if isinstance(tools, list) else []


def _is_odd(tool: Json) -> bool:
    return "(?" in json.dumps(tool.get("input_schema"))
