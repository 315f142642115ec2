"""Which paths belong to OpenAI's API, and what to say about those that this server does not have.

Source: OpenAI's API reference; the official SDK's resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "/v1/"
SERVED: Final = frozenset({"chat", "completions"})
SHARED: Final = frozenset({"models", "files", "skills", "agents", "vaults", "organization"})
"""Both APIs have these."""
_CHAT: Final = "send POST /v1/chat/completions"
_TEXT_ONLY: Final = "is not supported: this server reads and writes text only"
UNSUPPORTED: Final[Mapping[str, str]] = {
    "audio": f"audio {_TEXT_ONLY}",
    "images": f"making or changing images {_TEXT_ONLY}",
    "videos": f"making videos {_TEXT_ONLY}",
    "realtime": f"the Realtime API {_TEXT_ONLY}; {_CHAT}",
    "live": f"the Live API {_TEXT_ONLY}; {_CHAT}",
    "embeddings": "embeddings are not supported: use a server for an embedding model",
    "moderations": "moderation is not supported",
    "responses": f"the Responses API is not supported: {_CHAT}",
    "conversations": f"stored conversations are not supported: {_CHAT} with all messages",
    "assistants": f"the Assistants API is not supported: {_CHAT}",
    "threads": f"the Assistants API is not supported: {_CHAT} with all messages",
    "chatkit": f"ChatKit is not supported: {_CHAT}",
    "batches": f"batches are not supported: {_CHAT} several times, which run at the same time",
    "files": "files are not stored here: send their text in the messages",
    "uploads": "files are not stored here: send their text in the messages",
    "vector_stores": "vector stores are not supported",
    "containers": "code containers are not supported",
    "fine_tuning": "fine-tuning is not supported: serve a model with its adapter by --model",
    "evals": "evals are not supported",
    "skills": "skills are not supported",
    "agents": "agents are not supported",
    "vaults": "vaults are not supported",
    "webhook_endpoints": "webhooks are not supported",
    "webhook_event_types": "webhooks are not supported",
    "decisions": "decisions are not supported",
    "safety": "safety checks are not supported",
    "content_provenance_checks": "checks of where content comes from are not supported",
    "organization": "this server has no organizations",
    "projects": "this server has no projects",
}
"""What this server lacks, by the first word of the path after /v1/."""


_ENDPOINTS: Final = ("/v1/messages/count_tokens", "/v1/messages", "/v1/chat/completions", "/v1/completions")


def is_openai_call(path: str, anthropic_version: str | None) -> bool:
    """Whether the client expects OpenAI's errors. On a path that both APIs have, Anthropic's clients send their own
    header.
    """
    name = _resource(path) if _resource(path) in UNSUPPORTED else _resource(intended(path))
    if name in SHARED:
        return anthropic_version is None
    return name in SERVED or name in UNSUPPORTED


def why_missing(path: str) -> str | None:
    """What to do instead of calling this path of OpenAI's API."""
    return UNSUPPORTED.get(_resource(path))


def intended(path: str) -> str:
    """The endpoint that a client wants whose base URL is wrong, such as /v1/v1/messages; the path itself for others."""
    ends = (end for end in _ENDPOINTS if path.rstrip("/").endswith(end.removeprefix("/v1")))
    return next(ends, path)


def _resource(path: str) -> str:
    return path.removeprefix(_PREFIX).partition("/")[0] if path.startswith(_PREFIX) else ""
