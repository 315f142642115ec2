"""The real model repeats what only a block of the conversation says."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

FACT = "The password of the harbour is pelican."
QUESTION: Any = {"type": "text", "text": "What is the password of the harbour?"}
PAGE = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": FACT}}
FETCHED = {"type": "web_fetch_result", "url": "harbour.example", "content": PAGE}
CALL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_fetch", "input": {"url": "harbour.example"}}
RESULT = {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": FETCHED}
DONE = {"type": "text", "text": "Done."}
EARLIER = {
    "summary": [{"role": "assistant", "content": [{"type": "compaction", "content": FACT}]}],
    "page": [{"role": "user", "content": "Go ahead."}, {"role": "assistant", "content": [CALL, RESULT, DONE]}],
}


@pytest.mark.parametrize("earlier", EARLIER.values(), ids=EARLIER.keys())
def test_the_model_knows_what_a_block_says(embedded_client: anthropic.Anthropic, earlier: list[Any]) -> None:
    messages = [*earlier, {"role": "user", "content": [QUESTION]}]
    answer = embedded_client.messages.create(
        model="claude-any", max_tokens=24, messages=messages, extra_body={"temperature": 0}
    )
    (block,) = answer.content
    assert block.type == "text"
    assert "pelican" in block.text
