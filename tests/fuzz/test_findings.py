"""What random requests found, each in its minimal form."""

from __future__ import annotations

import json

from pensieve.api.anthropic.decode import decode_count


def test_a_list_as_the_type_of_an_object_in_a_result_of_another_server_is_text() -> None:
    result = {"type": "web_fetch_tool_result", "tool_use_id": "x", "content": [{"a": {"type": []}}]}
    body = {"model": "m", "messages": [{"role": "assistant", "content": [result]}]}
    assert "a" in str(decode_count(json.dumps(body).encode()).prompt)
