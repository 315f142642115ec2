"""The real Claude Code removes an image or PDF that the model cannot read after one refusal, and goes on (W12)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from features.harness.scene.media import document_block, image_block
from tests.claude_code.client import ClaudeCode

STILL_THERE = {"type": "text", "text": "Still there?"}
IMAGE = image_block(64, 64)
BROKEN_PDF = document_block(b"%PDF-1.4 cut off")


@pytest.mark.parametrize(
    ("block", "refusal"),
    [(IMAGE, "Could not process image: messages.0.content.0: "), (BROKEN_PDF, "Could not process PDF: messages.0.")],
    ids=["image", "PDF"],
)
def test_the_client_goes_on_without_what_was_refused(claude: ClaudeCode, block: dict[str, Any], refusal: str) -> None:
    result = claude.send([[block, STILL_THERE], [STILL_THERE]], "--bare")
    assert (result["is_error"], result["result"]) == (False, "Still here.")
    refused, *answered = claude.recorder.exchanges
    assert refused.status == 400
    assert f'"message":"{refusal}' in refused.text
    assert [exchange.status for exchange in answered] == [200, 200]
    assert all(block["type"] not in types_in(exchange.request_json) for exchange in answered)


def test_an_image_that_a_tool_read_is_not_refused(claude: ClaudeCode) -> None:
    (claude.folder / "photo.png").write_bytes(base64.b64decode(IMAGE["source"]["data"]))
    result = claude.ask("Look at photo.png.", "--bare", "--allowedTools", "Read")
    assert (result["is_error"], result["result"]) == (False, "I cannot see it.")
    assert [exchange.status for exchange in claude.recorder.exchanges] == [200, 200]


def types_in(request: Mapping[str, Any]) -> set[str]:
    contents = (message["content"] for message in request["messages"])
    return {block["type"] for content in contents if isinstance(content, list) for block in content}
