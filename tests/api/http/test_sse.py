"""An event is one line of data for every kind of line reader."""

from __future__ import annotations

import json

from pensieve.api.http.sse import encode_data


def test_unicode_line_separators_are_escaped() -> None:
    text = "one\x85two\u2028three\u2029four\x0bfive\nsix\rseven é 漢"
    data = encode_data({"text": text}).decode()
    assert len(data.splitlines()) == 2
    assert "é 漢" in data
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
