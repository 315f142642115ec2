"""Faults in reading the blocks of a conversation, one per function."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.mutants.faults.messages import refused
from tests.mutants.wire import Json, ProxiedAnswer, ProxiedCall


@dataclass(frozen=True, slots=True)
class Drops:
    """Drops blocks of these types silently, and messages that have no others."""

    kinds: frozenset[str]

    @classmethod
    def of(cls, *kinds: str) -> Drops:
        return cls(frozenset(kinds))

    def __call__(self, call: ProxiedCall) -> ProxiedCall:
        return call.with_json(self._without_blocks) if call.method == "POST" else call

    def _without_blocks(self, body: Json) -> Json:
        messages = self._without(body.get("messages", []))
        return {**body, "messages": [message for message in messages if message["content"]]}

    def _without(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._without(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self._without(part) for part in value if not self._is_dropped(part)]
        return value

    def _is_dropped(self, part: Any) -> bool:
        return isinstance(part, dict) and part.get("type") in self.kinds


def keeps_compacted_messages(call: ProxiedCall) -> ProxiedCall:
    """Reads a summary as one more text."""
    changed = call.body.replace(b'"type": "compaction", "content"', b'"type": "text", "text"')
    return ProxiedCall(call.method, call.path, call.headers, changed)


def keeps_cleared_messages(call: ProxiedCall) -> ProxiedCall:
    return call.with_json(lambda body: _with_system(body, lambda message: {**message, "clear_at": "never"}))


def clears_messages_at_once(call: ProxiedCall) -> ProxiedCall:
    return call.with_json(lambda body: _with_system(body, lambda message: None if "clear_at" in message else message))


def refuses(word: str) -> Callable[[ProxiedCall, ProxiedAnswer], ProxiedAnswer]:
    """Refuses every request with this word in it, as a server does that does not know it."""

    def answers(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
        is_known = word not in json.dumps(json.loads(call.body or b"{}"))
        return answer if is_known else refused(answer, 400, "invalid_request_error", "messages: cannot be read")

    return answers


def _with_system(body: Json, change: Callable[[Json], Json | None]) -> Json:
    changed = [change(it) if it["role"] == "system" else it for it in body.get("messages", [])]
    return {**body, "messages": [message for message in changed if message is not None]}
