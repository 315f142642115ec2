"""Faults in requests for another kind of answer, and in what replies say about their prompts."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.mutants.faults.messages import ignores
from tests.mutants.wire import Frames, Json, ProxiedAnswer, ProxiedCall


def ignores_choices(call: ProxiedCall) -> ProxiedCall:
    """Drops what it does not understand instead of refusing it."""
    for field in ("service_tier", "output_config", "thinking", "tool_choice", "speed"):
        call = ignores(field)(call)
    return call


def ignores_edits(call: ProxiedCall) -> ProxiedCall:
    """Answers as if there were nothing to clear, like a server that does not know the field."""
    return ignores("context_management")(call)


def _with(name: str, value: object) -> Callable[[Json], Json]:
    return lambda message: {**message, name: value} if message.get("type") == "message" else message


def no_edit_reported(_: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(_with("context_management", {"applied_edits": []}))


def always_an_edit(_: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    edit = {"type": "clear_tool_uses_20250919", "cleared_tool_uses": 1, "cleared_input_tokens": 9}
    return answer.with_json(_with("context_management", {"applied_edits": [edit]}))


def inputs_kept(call: ProxiedCall) -> ProxiedCall:
    return _with_edits(call, lambda edit: edit.pop("clear_tool_inputs", None))


def excluded_tools_cleared(call: ProxiedCall) -> ProxiedCall:
    return _with_edits(call, lambda edit: edit.pop("exclude_tools", None))


def _with_edits(call: ProxiedCall, change: Callable[[Json], object]) -> ProxiedCall:
    def changed(body: Json) -> Json:
        for edit in (body.get("context_management") or {}).get("edits", []):
            change(edit)
        return body

    return call.with_json(changed)


def no_edits_in_the_stream(frames: Frames) -> Frames:
    for frame in frames:
        frame.data.pop("context_management", None)
        yield frame


def count_before_the_edits(call: ProxiedCall) -> ProxiedCall:
    return ignores_edits(call) if call.path.startswith("/v1/messages/count_tokens") else call


def a_token_generated_anyway(call: ProxiedCall) -> ProxiedCall:
    return call.with_json(lambda body: {**body, "max_tokens": body.get("max_tokens") or 1})


def without_max_tokens_of_0(call: ProxiedCall) -> ProxiedCall:
    """Drops what a max_tokens of 0 cannot be combined with."""

    def changed(body: Json) -> Json:
        dropped = ("stream", "thinking", "output_config") if body.get("max_tokens") == 0 else ()
        return {name: value for name, value in body.items() if name not in dropped}

    return call.with_json(changed)


def always_a_miss(_: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    reason = {"type": "system_changed", "cache_missed_input_tokens": 9}
    return answer.with_json(_with("diagnostics", {"cache_miss_reason": reason}))


def never_a_miss(_: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(_with("diagnostics", None))


def no_diagnostics_in_the_stream(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "message_start":
            frame.data["message"].pop("diagnostics", None)
        yield frame


def thinking_tokens_of_everything(_: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def changed(body: Json) -> Json:
        usage = body.get("usage") or {}
        if "output_tokens_details" in usage:
            usage["output_tokens_details"] = {"thinking_tokens": usage["output_tokens"]}
        if "completion_tokens_details" in usage:
            usage["completion_tokens_details"] = {"reasoning_tokens": usage["completion_tokens"]}
        return body

    return answer.with_json(changed)


def calls_as_text(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    """Shows the model's notation where a call was cut off."""

    def changed(message: Json) -> Json:
        if json.loads(call.body or "{}").get("tools"):
            if message.get("stop_reason") == "max_tokens":
                message["content"].append({"type": "text", "text": '<tool_call> {"name":'})
            for choice in message.get("choices", []):
                choice["message"]["content"] += ' <tool_call> {"name":'
        return message

    return answer.with_json(changed)
