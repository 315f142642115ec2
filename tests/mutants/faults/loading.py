"""Faults with loading models, and with pages of the server itself, one per function."""

from __future__ import annotations

from tests.mutants.faults.messages import refused
from tests.mutants.wire import Frame, Frames, ProxiedAnswer, ProxiedCall


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
