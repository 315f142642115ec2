"""Faults in calls, thinking, structured output and token counts, one per function."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.mutants.wire import Frame, Frames, Json, ProxiedAnswer, ProxiedCall

_ONE_ID = "toolu_01"


def input_outside_the_schema(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def invents(body: Json) -> Json:
        for block in _calls(body):
            block["input"] = {**block["input"], "invented": True}
        return body

    return answer.with_json(invents)


def call_that_ends_the_turn(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(lambda body: {**body, "stop_reason": "end_turn"} if _calls(body) else body)


def tool_use_without_a_call(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(lambda body: {**body, "stop_reason": "tool_use"} if "stop_reason" in body else body)


def one_call_id(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def repeats(body: Json) -> Json:
        for block in _calls(body):
            block["id"] = _ONE_ID
        return body

    return answer.with_json(repeats)


def a_second_call(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def calls_again(body: Json) -> Json:
        again = [{**block, "id": f"{block['id']}_again"} for block in _calls(body)]
        return {**body, "content": [*body["content"], *again]} if again else body

    return answer.with_json(calls_again)


def input_in_block_start(frames: Frames) -> Frames:
    """Sends the whole input in content_block_start and no deltas, which the SDKs do not read."""
    start: Frame | None = None
    text = ""
    for frame in frames:
        if _starts(frame, "tool_use"):
            start, text = frame, ""
        elif start is not None and frame.kind == "content_block_delta":
            text += frame.data["delta"]["partial_json"]
        else:
            if start is not None:
                start.data["content_block"]["input"] = json.loads(text or "{}")
                yield start
                start = None
            yield frame


def another_input_in_the_stream(frames: Frames) -> Frames:
    """The deltas of a call join to JSON other than the reply's input."""
    return _with_whole_inputs(frames, lambda _: "{}")


def input_at_once(frames: Frames) -> Frames:
    """Holds an input back until it is complete."""
    return _with_whole_inputs(frames, lambda text: text)


def _with_whole_inputs(frames: Frames, change: Callable[[str], str]) -> Frames:
    """Sends one delta per call, just before its end, with the input's JSON as `change` returns it."""
    text: str | None = None
    for frame in frames:
        if _starts(frame, "tool_use"):
            text = ""
        elif text is not None and frame.kind == "content_block_delta":
            text += frame.data["delta"]["partial_json"]
            continue
        elif text is not None and frame.kind == "content_block_stop":
            delta = {"type": "input_json_delta", "partial_json": change(text)}
            event = {"type": "content_block_delta", "index": frame.data["index"], "delta": delta}
            yield Frame("content_block_delta", event)
            text = None
        yield frame


def unsigned_thinking(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def unsigned(body: Json) -> Json:
        for block in _blocks(body, "thinking"):
            block["signature"] = ""
        return body

    return answer.with_json(unsigned)


def without_signature_deltas(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind != "content_block_delta" or frame.data["delta"]["type"] != "signature_delta":
            yield frame


def unrequested_thinking(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    requested = (_request_of(call).get("thinking") or {}).get("type", "disabled")
    block = {"type": "thinking", "thinking": "Any number will do.", "signature": "c2lnbmVk"}
    if requested != "disabled":
        return answer
    return answer.with_json(lambda body: {**body, "content": [block, *body["content"]]} if "content" in body else body)


def thinking_not_counted(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    """Leaves thinking tokens out of the usage."""

    def uncounted(body: Json) -> Json:
        if _blocks(body, "thinking"):
            words = sum(len(block["text"].split()) for block in _blocks(body, "text"))
            body["usage"]["output_tokens"] = words
        return body

    return answer.with_json(uncounted)


def fenced_json(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def fenced(body: Json) -> Json:
        for block in _blocks(body, "text"):
            block["text"] = f"```json\n{block['text']}\n```"
        return body

    return answer.with_json(fenced)


def count_without_tools(call: ProxiedCall) -> ProxiedCall:
    if not call.path.startswith("/v1/messages/count_tokens"):
        return call
    return call.with_json(lambda body: {name: value for name, value in body.items() if not name.startswith("tool")})


def _request_of(call: ProxiedCall) -> Json:
    request: Json = json.loads(call.body or b"{}")
    return request


def _blocks(body: Json, kind: str) -> list[Json]:
    content = body.get("content")
    return [block for block in content if block["type"] == kind] if isinstance(content, list) else []


def _calls(body: Json) -> list[Json]:
    return _blocks(body, "tool_use")


def _starts(frame: Frame, kind: str) -> bool:
    return frame.kind == "content_block_start" and frame.data["content_block"]["type"] == kind
