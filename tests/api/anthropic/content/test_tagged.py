"""What another server returned is read once, however it is nested."""

from __future__ import annotations

from typing import Any

from pensieve.api.anthropic.content.tagged import MAX_TYPED, fields_as_text


def test_what_looks_like_a_block_and_is_none_is_not_read_again_at_each_level() -> None:
    tried: list[dict[str, Any]] = []

    def no_block(value: dict[str, Any]) -> None:
        tried.append(value)

    value: dict[str, Any] = {"type": "text", "name": "the end"}
    for _ in range(4 * MAX_TYPED):
        value = {"type": "search_result", "content": [value]}
    assert "the end" in fields_as_text(value, no_block)
    assert len(tried) == MAX_TYPED
