"""Faults in OpenAI's API and in limits, one per function."""

from __future__ import annotations

from collections.abc import Callable

from tests.mutants.wire import DONE, Frames, Json, ProxiedAnswer, ProxiedCall


def without_finish_reason(frames: Frames) -> Frames:
    for frame in frames:
        for choice in frame.data.get("choices", []):
            choice["finish_reason"] = None
        yield frame


def without_done(frames: Frames) -> Frames:
    return (frame for frame in frames if frame is not DONE)


def without_the_last_word(frames: Frames) -> Frames:
    """Drops the last chunk that has content."""
    held = None
    for frame in frames:
        if any(choice["delta"].get("content") for choice in frame.data.get("choices", [])):
            if held is not None:
                yield held
            held = frame
        else:
            yield frame


def new_id_per_chunk(frames: Frames) -> Frames:
    for number, frame in enumerate(frames):
        if frame is not DONE:
            frame.data["id"] = f"chatcmpl-{number}"
        yield frame


def wrong_total(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def miscounts(body: Json) -> Json:
        if "total_tokens" in body.get("usage", {}):
            body["usage"]["total_tokens"] += 1
        return body

    return answer.with_json(miscounts)


def anthropics_envelope(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def enveloped(body: Json) -> Json:
        if "error" not in body:
            return body
        error = {"type": "invalid_request_error", "message": body["error"]["message"]}
        return {"type": "error", "error": error, "request_id": answer.headers.get("request-id")}

    return answer.with_json(enveloped)


def models_without_an_owner(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    def unowned(body: Json) -> Json:
        for model in body.get("data", []):
            model.pop("owned_by", None)
        return body

    return answer.with_json(unowned)


def without_retry_after(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.without_header("retry-after")


def retry_after(seconds: str) -> Callable[[ProxiedCall, ProxiedAnswer], ProxiedAnswer]:
    """Replaces the retry-after of the correct server with `seconds`."""

    def answers(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
        return answer.with_header("retry-after", seconds) if "retry-after" in answer.headers else answer

    return answers
