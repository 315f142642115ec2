"""Faults of the part that speaks OpenAI's API, and of limits: one a function."""

from __future__ import annotations

from collections.abc import Callable

from tests.mutants.wire import DONE, Answer, Call, Frames, Json


def without_finish_reason(frames: Frames) -> Frames:
    for frame in frames:
        for choice in frame.data.get("choices", []):
            choice["finish_reason"] = None
        yield frame


def without_done(frames: Frames) -> Frames:
    return (frame for frame in frames if frame is not DONE)


def without_the_last_word(frames: Frames) -> Frames:
    """The last chunk that has content is lost."""
    held = None
    for frame in frames:
        if any(choice["delta"].get("content") for choice in frame.data.get("choices", [])):
            if held is not None:
                yield held
            held = frame
        else:
            yield frame


def another_id_a_chunk(frames: Frames) -> Frames:
    for number, frame in enumerate(frames):
        if frame is not DONE:
            frame.data["id"] = f"chatcmpl-{number}"
        yield frame


def usage_of_its_own_mind(call: Call, answer: Answer) -> Answer:
    def miscounts(body: Json) -> Json:
        if "total_tokens" in body.get("usage", {}):
            body["usage"]["total_tokens"] += 1
        return body

    return answer.with_json(miscounts)


def anthropics_envelope(call: Call, answer: Answer) -> Answer:
    def enveloped(body: Json) -> Json:
        if "error" not in body:
            return body
        told = {"type": "invalid_request_error", "message": body["error"]["message"]}
        return {"type": "error", "error": told, "request_id": answer.headers.get("request-id")}

    return answer.with_json(enveloped)


def models_without_an_owner(call: Call, answer: Answer) -> Answer:
    def unowned(body: Json) -> Json:
        for model in body.get("data", []):
            model.pop("owned_by", None)
        return body

    return answer.with_json(unowned)


def without_retry_after(call: Call, answer: Answer) -> Answer:
    return answer.without_header("retry-after")


def retry_after(seconds: str) -> Callable[[Call, Answer], Answer]:
    """Whoever is sent away is told to come again in `seconds`, in place of what the right server says."""

    def answers(call: Call, answer: Answer) -> Answer:
        return answer.with_header("retry-after", seconds) if "retry-after" in answer.headers else answer

    return answers
