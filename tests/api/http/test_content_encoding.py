"""Compressed bodies are read within the limit, or refused."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from pensieve.api.http.content_encoding import decompressed, is_compressed
from pensieve.core.errors import ValidationError
from tests.support.running_server import ask, scripted_server

_GZIPPED = gzip.compress(b"{}", mtime=0)


@given(st.binary(max_size=100))
def test_gzip_is_read(content: bytes) -> None:
    assert decompressed(gzip.compress(content), 100) == content


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{}", _GZIPPED[:-1], _GZIPPED * 2],
    ids=["empty", "not compressed", "cut off", "two members"],
)
def test_damaged_gzip_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValidationError, match="body: "):
        decompressed(damaged, 100)


def test_a_bomb_is_refused_without_being_decompressed() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    tracemalloc.start()
    with pytest.raises(RequestEntityTooLarge):
        decompressed(bomb, 100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(("header", "is_gzip"), [("", False), ("identity", False), ("gzip", True), ("X-GZIP ", True)])
def test_plain_and_gzip_are_accepted(header: str, is_gzip: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_compressed(header) is is_gzip


@pytest.mark.parametrize("header", ["br", "zstd", "deflate", "gzip, gzip"])
def test_other_encodings_are_refused_by_name(header: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        is_compressed(header)
    assert caught.value.description is not None
    for part in ("content-encoding", header, "gzip"):
        assert part in caught.value.description


def test_a_compressed_request_gets_the_same_answer(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        sent = gzip.compress(json.dumps(ask()).encode())
        answered = client.post("/v1/messages", content=sent, headers={"content-encoding": "gzip"})
        refused = client.post("/v1/messages", content=sent, headers={"content-encoding": "br"})
        too_large = client.post(
            "/v1/messages", content=gzip.compress(bytes(33_000_000)), headers={"content-encoding": "gzip"}
        )
        assert answered.json()["content"] == client.post("/v1/messages", json=ask()).json()["content"]
    assert (refused.status_code, refused.headers["accept-encoding"]) == (415, "gzip")
    assert refused.json()["error"]["message"].startswith("content-encoding: 'br'")
    assert too_large.status_code == 413
