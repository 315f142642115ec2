"""What the log says of one request: figures, names and ids, but never text (U7)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    GenerationStarted,
    TextGenerated,
    ThinkingGenerated,
)
from pensieve.api.http.error_reply import reply_to_error
from pensieve.core.errors import PensieveError

MAX_CHARACTERS: Final = 120
"""Of a path or a model's name, which the client chooses."""

_current: ContextVar[RequestRecord] = ContextVar("request_record")


@dataclass(slots=True)
class _Generation:
    """`first_token_at` is a time of `time.monotonic`."""

    read_tokens: int
    prompt_tokens: int
    output_tokens: int = 0
    first_token_at: float | None = None
    ended_at: float = 0.0

    @property
    def decoding_seconds(self) -> float:
        return max(0.0, self.ended_at - self.first_token_at) if self.first_token_at is not None else 0.0


@dataclass(slots=True)
class RequestRecord:
    """Filled in while the request runs. Used on the event loop.

    A request has several generations if the model calls tools that this server cannot run.
    """

    method: str
    path: str
    began_at: float = field(default_factory=time.monotonic)
    request_id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")
    key: str = ""
    """The name of the client's key, if it has one."""
    model: str = ""
    status: int | None = None
    error: str = ""
    stop_reason: str = ""
    is_answered: bool = False
    """The last byte of the answer has been passed on."""
    generations: list[_Generation] = field(default_factory=list)

    def note_event(self, event: GenerationEvent) -> None:
        if isinstance(event, GenerationStarted):
            self.generations.append(_Generation(event.cached_tokens, event.input_tokens))
            return
        if not self.generations:
            return
        generation = self.generations[-1]
        generation.ended_at = time.monotonic()
        if isinstance(event, GenerationFinished):
            self._note_end(generation, event)
            return
        if generation.first_token_at is None:
            generation.first_token_at = generation.ended_at
        if isinstance(event, TextGenerated | ThinkingGenerated):
            generation.output_tokens = event.output_tokens

    def note_error(self, error: PensieveError) -> None:
        self.error = reply_to_error(error).type

    def _note_end(self, generation: _Generation, event: GenerationFinished) -> None:
        usage = event.usage
        generation.read_tokens, generation.output_tokens = usage.cached_tokens, usage.output_tokens
        generation.first_token_at = event.first_token_at or generation.first_token_at
        self.stop_reason = event.stop_reason.value

    def fields(self) -> dict[str, str | int | float]:
        """In the order of the log line. What is unknown is left out."""
        now = time.monotonic()
        found: dict[str, str | int | float | None] = {
            "method": printable(self.method, 16),
            "path": printable(self.path),
            "status": self.status,
            "seconds": round(now - self.began_at, 3),
            "key": printable(self.key),
            "model": printable(self.model),
            **self._tokens(),
            "stop_reason": self._outcome(),
            "error": self.error,
            "request_id": self.request_id,
        }
        return {name: value for name, value in found.items() if value not in (None, "")}

    def _outcome(self) -> str:
        if self.error or self.is_answered:
            return self.stop_reason
        return "cancelled"

    def _tokens(self) -> dict[str, int | float | None]:
        if not self.generations:
            return {}
        read = sum(each.read_tokens for each in self.generations)
        output = sum(each.output_tokens for each in self.generations)
        first_at = self.generations[0].first_token_at
        seconds = sum(each.decoding_seconds for each in self.generations)
        following = output - len(self.generations)  # the first token of each comes with its prompt
        return {
            "read_tokens": read,
            "computed_tokens": None
            if first_at is None
            else sum(each.prompt_tokens for each in self.generations) - read,
            "generated_tokens": output,
            "first_token_seconds": None if first_at is None else round(first_at - self.began_at, 3),
            "tokens_per_second": round(following / seconds, 1) if seconds and following > 0 else None,
        }


@contextmanager
def recording(record: RequestRecord) -> Iterator[None]:
    """Make it the record of the request that is handled in this context."""
    token = _current.set(record)
    try:
        yield
    finally:
        _current.reset(token)


def current_record() -> RequestRecord:
    """The record of the request that is handled now. Without the log's middleware, one that is not used."""
    return _current.get(None) or RequestRecord("", "")


def printable(text: str, max_characters: int = MAX_CHARACTERS) -> str:
    """Text from a client in a form that cannot fill the log or forge a part of it: cut, and without control codes."""
    cut = text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)
