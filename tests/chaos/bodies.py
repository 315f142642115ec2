"""Bodies of Messages requests."""

from __future__ import annotations


def ask(text: str = "Hello", **fields: object) -> dict[str, object]:
    """One that the default model answers with a token."""
    return {"model": "claude-any", "max_tokens": 1, "messages": [{"role": "user", "content": text}], **fields}
