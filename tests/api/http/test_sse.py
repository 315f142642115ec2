"""An event is one line of data, to every reader of lines."""

from __future__ import annotations

import json

from pensieve.api.http.sse import encode_data


def test_what_ends_a_line_for_some_readers_is_escaped_in_the_data() -> None:
    text = "one\x85two\u2028three\u2029four\x0bfive\nsix\rseven é 漢"
    data = encode_data({"text": text}).decode()
    assert len(data.splitlines()) == 2
    assert "é 漢" in data
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
