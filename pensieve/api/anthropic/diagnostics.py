"""`diagnostics`: compares a request with an earlier one and reports why the prompt cache missed (C2)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from contracts.values.generation import GenerationStarted
from contracts.values.vocabulary import GenerationRequest
from pensieve.core.prompts.request_fingerprint import RequestFingerprint

MAX_FINGERPRINTS: Final = 512

_REASONS = {part: f"{part}_changed" for part in ("model", "system", "tools", "messages")}


def fingerprint_of(request: GenerationRequest, model_name: str, edits: object) -> RequestFingerprint:
    settings = (request.thinking, request.tool_choice, request.output_schema, edits)
    return RequestFingerprint.of(model_name, request.messages, request.tools, settings)


class Fingerprints:
    """The fingerprints of the latest requests with `diagnostics`, by namespace and the ids of their messages."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[RequestFingerprint, int]] = OrderedDict()

    def record(
        self, message_id: str, fingerprint: RequestFingerprint, started: GenerationStarted, namespace: str = ""
    ) -> None:
        self._known[namespace, message_id] = (fingerprint, started.input_tokens)
        while len(self._known) > MAX_FINGERPRINTS:
            self._known.popitem(last=False)

    def diagnosis(
        self, fingerprint: RequestFingerprint, previous_message_id: str | None, namespace: str = ""
    ) -> dict[str, object] | None:
        """The reply's `diagnostics`: None if there is nothing to compare, or no difference."""
        if previous_message_id is None:
            return None
        previous = self._known.get((namespace, previous_message_id))
        if previous is None:
            return {"cache_miss_reason": {"type": "previous_message_not_found"}}
        difference = fingerprint.difference(*previous)
        if difference is None:
            return None
        part, missed_tokens = difference
        if part not in _REASONS:
            return {"cache_miss_reason": {"type": "unavailable"}}
        return {"cache_miss_reason": {"type": _REASONS[part], "cache_missed_input_tokens": missed_tokens}}
