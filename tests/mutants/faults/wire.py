"""Faults in how bodies travel, in OpenAI's API beyond the plain chat, and in loading models, one per function."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.mutants.faults.messages import refused
from tests.mutants.wire import Frame, Frames, Json, ProxiedAnswer, ProxiedCall


def gzip_taken_for_json(call: ProxiedCall) -> ProxiedCall:
    headers = {name: value for name, value in call.headers.items() if name != "content-encoding"}
    return dataclasses.replace(call, headers=headers)


def hello_is_unknown(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    if call.path != "/api/hello":
        return answer
    return dataclasses.replace(answer, status=404)


def refuses_if(is_refused: Callable[[Json], bool], field: str) -> Callable[[ProxiedCall, ProxiedAnswer], ProxiedAnswer]:
    """Refuses a request with an object that `is_refused` holds for, anywhere in its body."""

    def answers(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
        try:
            found = any(map(is_refused, _objects(json.loads(call.body or b"null"))))
        except ValueError:
            found = False
        return refused(answer, 400, "invalid_request_error", f"{field}: not supported") if found else answer

    return answers


def is_call_without_text(value: Json) -> bool:
    return "arguments" in value and not (isinstance(value["arguments"], str) and value["arguments"])


def is_call_with_broken_arguments(value: Json) -> bool:
    try:
        return "arguments" in value and not isinstance(json.loads(value["arguments"]), dict)
    except ValueError:
        return True


def is_function_without_a_type(value: Json) -> bool:
    return "name" in value and "arguments" not in value and "type" not in (value.get("parameters") or {})


def is_image(value: Json) -> bool:
    return value.get("type") == "image_url"


def _objects(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else []:
        yield from _objects(inner)


def any_origin_is_foreign(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return refused(answer, 403, "permission_error", "origin: foreign") if "origin" in call.headers else answer


def unknown_models_load(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return ProxiedAnswer(200, answer.headers, b"{}") if call.path.startswith("/models/") else answer


def loading_fails(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return refused(answer, 500, "api_error", "it failed") if call.path == "/models/load" else answer


def cut_off(frames: Frames) -> Frames:
    """As if the model had been unloaded under its stream."""
    for frame in frames:
        if frame.name == "message_stop":
            yield Frame("error", {"type": "error", "error": {"type": "api_error", "message": "the model was unloaded"}})
            return
        yield frame
