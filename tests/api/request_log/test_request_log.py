"""One line for each request, however it ends, in both APIs: as a server writes it that clients call over sockets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until

SCRIPT = """
[[reply]]
when = "fail"
text = "one two three"
fail_after_tokens = 2
[[reply]]
when = "slowly"
text = "one two"
repeat = 1000
seconds_per_token = 0.02
[[reply]]
text = "a secret word"
"""


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    caplog.set_level(logging.DEBUG, logger="pensieve.requests")
    return lambda: [vars(record) for record in caplog.records if record.name == "pensieve.requests"]


def test_an_answer_of_either_api_has_a_line_with_its_figures(
    tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    with scripted_server(tmp_path, SCRIPT) as client:
        answers = [
            client.post("/v1/messages", json=ask()),
            client.post("/v1/messages", json=ask(stream=True)),
            client.post("/v1/chat/completions", json=ask()),
            client.post("/v1/completions", json={"model": "scripted", "prompt": "Hello", "stream": True}),
        ]
    assert [answer.status_code for answer in answers] == 4 * [200]
    for line, answer in zip(lines(), answers, strict=True):
        assert (line["method"], line["status"], line["model"]) == ("POST", 200, "scripted")
        assert line["path"] == answer.url.path
        assert line["request_id"] == answer.headers["request-id"]
        assert (line["read_tokens"], line["generated_tokens"], line["stop_reason"]) == (0, 4, "end_turn")
        assert line["computed_tokens"] > 0
        assert 0 < line["first_token_seconds"] <= line["seconds"]
        assert line["tokens_per_second"] > 0
        assert line["levelno"] == logging.INFO
        assert "secret" not in str(line)


def test_refused_requests_have_a_line_with_the_error(tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]) -> None:
    with scripted_server(tmp_path, SCRIPT, api_key="sk-the-key-itself") as client:
        client.post("/v1/messages", json=ask(), headers={"x-api-key": "sk-a-wrong-key"})
        client.headers["x-api-key"] = "sk-the-key-itself"
        client.post("/v1/messages", json=ask(model="absent"))
        client.post("/v1/messages", json=ask(max_tokens=-1))
        client.get("/v1/absent?key=sk-in-the-query")
        client.get("/v1/messages")
        client.post("/v1/messages", json=ask("fail"))
        client.post("/v1/messages", json=ask("fail", stream=True))
        client.post("/v1/chat/completions", json=ask("fail", stream=True))
    found = [(line["status"], line["error"]) for line in lines()]
    assert found == [
        (401, "authentication_error"),
        (404, "not_found_error"),
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (500, "api_error"),
        (200, "api_error"),
        (200, "api_error"),
    ]
    assert lines()[1]["model"] == "absent"
    assert "sk-" not in str(lines())


def test_a_client_that_leaves_has_a_line(tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]) -> None:
    with scripted_server(tmp_path, SCRIPT) as client:
        for path in ("/v1/messages", "/v1/chat/completions"):
            with client.stream("POST", path, json=ask("slowly", stream=True, max_tokens=2000)) as response:
                next(line for line in response.iter_lines() if "one" in line)
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/messages", json=ask("slowly", max_tokens=2000), timeout=0.3)
        wait_until(lambda: len(lines()) == 3)
    assert [line["stop_reason"] for line in lines()] == 3 * ["cancelled"]
    assert [line.get("status") for line in lines()] == [200, 200, None]


def test_probes_are_only_in_a_detailed_log(tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]) -> None:
    with scripted_server(tmp_path) as client:
        for path in ("/", "/health", "/metrics", "/v1/models", "/absent"):
            client.get(path)
    assert [line["levelno"] for line in lines()] == [*3 * [logging.DEBUG], *2 * [logging.INFO]]
