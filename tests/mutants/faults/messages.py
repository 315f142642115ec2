"""Faults in requests, replies and streams, one per function: how a faulty server changes a correct server's answer."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable

from tests.mutants.wire import Frame, Frames, Json, ProxiedAnswer, ProxiedCall

_KNOWN_FIELDS = {
    "model",
    "messages",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "system",
    "stop_sequences",
    "stream",
}


def delta_before_its_block(frames: Frames) -> Frames:
    held: Frame | None = None
    for frame in frames:
        if frame.kind == "content_block_start":
            held = frame
            continue
        yield frame
        if held is not None and frame.kind == "content_block_delta":
            yield held
            held = None


def without_block_stop(frames: Frames) -> Frames:
    return (frame for frame in frames if frame.kind != "content_block_stop")


def second_block_of_one_index(frames: Frames) -> Frames:
    for frame in frames:
        yield frame
        if frame.kind == "content_block_stop":
            empty = {"type": "text", "text": ""}
            start = {"type": "content_block_start", "index": frame.data["index"], "content_block": empty}
            yield Frame("content_block_start", start)
            yield frame


def one_output_token_more(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "message_delta":
            frame.data["usage"]["output_tokens"] += 1
        yield frame


def another_prompt_at_the_end(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "message_delta":
            frame.data["usage"]["input_tokens"] = 1
        yield frame


def without_message_stop(frames: Frames) -> Frames:
    return (frame for frame in frames if frame.kind != "message_stop")


def with_an_unknown_event(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "message_delta":
            yield Frame("message_progress", {"type": "message_progress"})
        yield frame


def content_in_message_start(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "message_start":
            frame.data["message"]["content"] = [{"type": "text", "text": ""}]
        yield frame


def thinking_in_a_text_block(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "content_block_delta":
            frame.data["delta"] = {"type": "thinking_delta", "thinking": frame.data["delta"]["text"]}
        yield frame


def without_stop_reason(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "message_delta":
            frame.data["delta"]["stop_reason"] = None
        yield frame


def text_in_block_start(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "content_block_start":
            frame.data["content_block"]["text"] = "So: "
        yield frame


def unnamed(frames: Frames) -> Frames:
    return (dataclasses.replace(frame, name="message") for frame in frames)


def without_the_last_delta(frames: Frames) -> Frames:
    held: Frame | None = None
    for frame in frames:
        if frame.kind == "content_block_delta":
            if held is not None:
                yield held
            held = frame
        else:
            yield frame


def stop_sequence_in_the_stream(frames: Frames) -> Frames:
    """The block's end is held back until the stop reason is known; the stop sequence is then sent before it."""
    end: Frame | None = None
    for frame in frames:
        if frame.kind == "content_block_stop":
            end = frame
            continue
        if frame.kind == "message_delta" and end is not None:
            if sequence := frame.data["delta"]["stop_sequence"]:
                delta = {"type": "text_delta", "text": sequence}
                leak = {"type": "content_block_delta", "index": end.data["index"], "delta": delta}
                yield Frame("content_block_delta", leak)
            yield end
        yield frame


def stop_sequence_in_the_text(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def leaks(body: Json) -> Json:
        if body.get("stop_reason") == "stop_sequence":
            body["content"] = [*body["content"], {"type": "text", "text": body["stop_sequence"]}]
        return body

    return answer.with_json(leaks)


def ignores(field: str) -> Callable[[ProxiedCall], ProxiedCall]:
    def calls(call: ProxiedCall) -> ProxiedCall:
        return call.with_json(lambda body: {name: value for name, value in body.items() if name != field})

    return calls


def refuses_unknown_fields(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    unknown = set(json.loads(call.body)) - _KNOWN_FIELDS if call.body else set()
    return (
        refused(answer, 400, "invalid_request_error", f"{unknown}: extra inputs are not permitted")
        if unknown
        else answer
    )


def another_model(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(lambda body: {**body, "model": "claude-of-our-own"} if "model" in body else body)


def count_off_by_one(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    if not call.path.startswith("/v1/messages/count_tokens") or answer.status != 200:
        return answer
    return answer.with_json(lambda body: {"input_tokens": body["input_tokens"] + 1})


def failure_on_wrong_json(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    try:
        json.loads(call.body or b"{}")
    except ValueError:
        return refused(answer, 500, "api_error", "Internal server error")
    return answer


def refusal_without_a_name(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return refused(answer, 400, "invalid_request_error", "Something is wrong.") if answer.status == 400 else answer


def error_without_request_id(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(lambda body: {name: value for name, value in body.items() if name != "request_id"})


def one_request_id(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_header("request-id", "req_1")


def list_without_has_more(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_json(lambda body: {name: value for name, value in body.items() if name != "has_more"})


def model_released_at_a_number(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    """A model as in OpenAI's lists."""

    def renamed(model: Json) -> Json:
        return {**{name: value for name, value in model.items() if name != "created_at"}, "created": 1732406400}

    return answer.with_json(lambda body: {**body, "data": [renamed(model) for model in body.get("data", [])]})


def outdated_list(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    """Lists a model that no request can reach."""

    def with_one_more(body: Json) -> Json:
        absent = {**body["data"][0], "id": "a-model-of-yesterday"}
        return {**body, "data": [*body["data"], absent], "last_id": absent["id"]}

    return answer.with_json(lambda body: with_one_more(body) if body.get("data") else body)


def counters_that_stand_still(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    is_metrics = answer.headers.get("content-type", "").startswith("text/plain")
    still = re.sub(rb"(?m)^(\w+_total(?:\{.*\})?) .*$", rb"\1 1.0", answer.body)
    return dataclasses.replace(answer, body=still) if is_metrics else answer


def milliseconds_in_metrics(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return dataclasses.replace(answer, body=answer.body.replace(b"_duration_seconds", b"_duration_ms"))


def any_origin(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.with_header("access-control-allow-origin", "*") if "origin" in call.headers else answer


def retry_a_wrong_key(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.without_header("x-should-retry")


def echo_of_the_key(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    key = call.headers.get("x-api-key", "")
    return refused(answer, 401, "authentication_error", f"unknown key {key}") if answer.status == 401 else answer


def refused(answer: ProxiedAnswer, status: int, kind: str, message: str) -> ProxiedAnswer:
    """A well-formed refusal that replaces the answer."""
    body = {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": answer.headers.get("request-id"),
    }
    headers = {**answer.headers, "content-type": "application/json"}
    return ProxiedAnswer(status, headers, json.dumps(body).encode())
