"""Faults in how tools that Anthropic defines are treated, one per function."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.mutants.wire import Json, ProxiedAnswer, ProxiedCall


def drops_tools(kinds: str) -> Callable[[ProxiedCall], ProxiedCall]:
    """Leaves out tools whose type matches, without a word, and tool_choice with the last of them."""

    def without(body: Json) -> Json:
        if not isinstance(body.get("tools"), list):
            return body
        kept = [tool for tool in body["tools"] if not re.match(kinds, str(tool.get("type", "custom")))]
        others = {name: value for name, value in body.items() if not name.startswith("tool")}
        return {**body, "tools": kept} if kept else others

    return lambda call: call.with_json(without)


def without_input_examples(call: ProxiedCall) -> ProxiedCall:
    def unseen(body: Json) -> Json:
        for tool in body.get("tools") or ():
            tool.pop("input_examples", None)
        return body

    return call.with_json(unseen)


def any_input(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    """Names the argument of a known tool as the model likes."""

    def renamed(body: Json) -> Json:
        for block in body.get("content", ()):
            if block["type"] == "tool_use":
                block["input"] = {"the_argument": block["input"]}
        return body

    return answer.with_json(renamed)


def server_call_without_result(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def unanswered(body: Json) -> Json:
        content = body.get("content")
        if isinstance(content, list):
            body["content"] = [block for block in content if not block["type"].endswith("_tool_result")]
        return body

    return answer.with_json(unanswered)
