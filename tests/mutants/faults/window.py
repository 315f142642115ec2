"""Faults at the limit of the context window, one per function."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from tests.mutants.faults.messages import refused
from tests.mutants.wire import Frames, Json, ProxiedAnswer, ProxiedCall

WINDOW_TOKENS = 8192
"""The window of the correct server, which plays the script."""

_CONTEXT_LIMIT = "input length and `max_tokens` exceed context limit: {count} + {max_tokens} > {window}"
NO_BACKTICKS = _CONTEXT_LIMIT.replace("`", "")
WITH_ADVICE = f"{_CONTEXT_LIMIT}, decrease input length or `max_tokens` and try again (raise --memory-limit)"
AS_A_LONG_PROMPT = "prompt is too long: {max_tokens} tokens > {window} maximum"


def refused_over_the_window(wording: str) -> Callable[[ProxiedCall, ProxiedAnswer], ProxiedAnswer]:
    """Refuses a max_tokens of the window and more, in these words."""

    def answers(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
        max_tokens = _requested(call)
        if not call.path.startswith("/v1/messages") or max_tokens < WINDOW_TOKENS or answer.status != 200:
            return answer
        count = json.loads(answer.body)["usage"]["input_tokens"]
        message = wording.format(count=count, max_tokens=max_tokens, window=WINDOW_TOKENS)
        return refused(answer, 400, "invalid_request_error", message)

    return answers


def refused_as_a_long_conversation(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    if not call.path.startswith("/v1/chat") or _requested(call) < WINDOW_TOKENS:
        return answer
    error = {
        "message": f"max_tokens: at most {WINDOW_TOKENS}",
        "type": "invalid_request_error",
        "param": "max_tokens",
        "code": "context_length_exceeded",
    }
    return dataclasses.replace(answer, status=400, body=json.dumps({"error": error}).encode())


def ends_as_max_tokens(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    full = "model_context_window_exceeded"
    return answer.with_json(
        lambda body: {**body, "stop_reason": "max_tokens"} if body.get("stop_reason") == full else body
    )


def stream_that_ends_as_max_tokens(frames: Frames) -> Frames:
    for frame in frames:
        if frame.kind == "message_delta" and frame.data["delta"]["stop_reason"] == "model_context_window_exceeded":
            frame.data["delta"]["stop_reason"] = "max_tokens"
        yield frame


def long_prompt_with_advice(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def advises(body: Json) -> Json:
        if body.get("type") == "error" and "too long" in body["error"]["message"]:
            body["error"]["message"] += " (of the memory limit, most is taken: raise --memory-limit)"
        return body

    return answer.with_json(advises)


def limit_where_none_is_set(call: ProxiedCall) -> ProxiedCall:
    return call.with_json(lambda body: {"max_tokens": 4096, **body} if call.path.startswith("/v1/chat") else body)


def _requested(call: ProxiedCall) -> int:
    body = json.loads(call.body) if call.body else {}
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)
