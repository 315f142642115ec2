"""The server over real sockets, with a script in place of a model and the contracts checked."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.streams.message_stream import StreamMonitor
from pensieve.api.http.connections.limits import MAX_BODY_BYTES
from pensieve.cli.serve.listener import bind
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import scripted_components
from tests.support.running_server import ask, running_server, scripted_server, settings_for, with_quick_pings
from tests.support.waiting import wait_until

SLOW = '[[reply]]\ntext = "one two three four five"\nrepeat = 200\nseconds_per_token = 1\n'
"""An answer of 900 tokens outlasts every wait of these tests, so that only a disconnect ends it."""


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line.startswith("data: ")]


def wait_until_idle(client: httpx.Client) -> None:
    wait_until(lambda: client.get("/health").json()["requests"]["active"] == 0)


def test_a_stream_equals_the_non_streaming_answer(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        plain = client.post("/v1/messages", json=ask()).json()
        with client.stream("POST", "/v1/messages", json=ask(stream=True)) as response:
            events = events_of(response)
    monitor = StreamMonitor()
    for event in events:
        monitor.see(event)
    monitor.finish()
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert plain["content"] == [{"type": "text", "text": text}]
    assert plain["usage"] == events[-2]["usage"]


def test_pings_fill_a_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_quick_pings(monkeypatch)
    with (
        scripted_server(tmp_path, '[[reply]]\nprefill_seconds = 2\ntext = "x"') as client,
        client.stream("POST", "/v1/messages", json=ask(stream=True)) as response,
    ):
        kinds = [event["type"] for event in events_of(response)]
    assert kinds[:2] == ["message_start", "ping"]


def test_a_failure_during_a_stream_ends_it_with_one_error_event(tmp_path: Path) -> None:
    with scripted_server(tmp_path, "[[reply]]\nfail_after_tokens = 2") as client:
        with client.stream("POST", "/v1/messages", json=ask(stream=True)) as response:
            events = events_of(response)
        plain = client.post("/v1/messages", json=ask())
    assert [event["type"] for event in events].count("error") == 1
    assert events[-1]["type"] == "error"
    assert events[-1]["request_id"] == response.headers["request-id"]
    assert plain.status_code == 500
    assert plain.json()["request_id"] == plain.headers["request-id"]


def test_disconnecting_from_a_stream_ends_the_generation(tmp_path: Path) -> None:
    with scripted_server(tmp_path, SLOW) as client:
        with client.stream("POST", "/v1/messages", json=ask(stream=True, max_tokens=900)) as response:
            lines = response.iter_lines()
            next(lines)
            assert client.get("/health").json()["requests"]["active"] == 1
        wait_until_idle(client)
        assert client.get("/health").json()["memory"]["kv_cache_bytes"] == 0


def test_disconnecting_from_a_non_streaming_answer_ends_the_generation(tmp_path: Path) -> None:
    with scripted_server(tmp_path, SLOW) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/messages", json=ask(max_tokens=900), timeout=0.5)
        wait_until_idle(client)


def test_a_foreign_host_and_a_foreign_page_are_refused(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        foreign_host = client.post("/v1/messages", json=ask(), headers={"host": "evil.example"})
        foreign_page = client.post("/v1/messages", json=ask(), headers={"origin": "https://evil.example"})
    for response in (foreign_host, foreign_page):
        assert response.status_code == 403
        assert response.json()["error"]["type"] == "permission_error"
        assert "access-control-allow-origin" not in response.headers


def test_an_allowed_web_page_may_use_the_server(tmp_path: Path) -> None:
    page = {"origin": "https://page.example"}
    with scripted_server(tmp_path, cors_origins="https://page.example") as client:
        preflight = client.options("/v1/messages", headers={**page, "access-control-request-method": "POST"})
        answered = client.post("/v1/messages", json=ask(), headers=page)
    assert preflight.status_code == 204
    assert answered.status_code == 200
    assert answered.headers["access-control-allow-origin"] == "https://page.example"


def test_everything_but_the_health_check_requires_the_key(tmp_path: Path) -> None:
    with scripted_server(tmp_path, api_key="secret") as client:
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/messages"), ("GET", "/nothing")):
            refused = client.request(method, path)
            assert refused.status_code == 401
            assert refused.headers["x-should-retry"] == "false"
        assert client.head("/").status_code == 200
        assert "performance" not in client.get("/health").json()
        with_key = client.get("/health", headers={"x-api-key": "secret"})
        assert "performance" in with_key.json()


def test_a_body_over_the_limit_gets_an_error_in_the_right_format(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        response = client.post("/v1/messages", content=b"x" * (MAX_BODY_BYTES + 1))
        assert response.status_code == 413
        assert response.json()["error"]["type"] == "request_too_large"
        assert client.post("/v1/messages", json=ask()).status_code == 200


def test_unknown_paths_and_methods_get_errors_in_the_right_format(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        unknown, wrong = client.get("/v1/nothing"), client.get("/v1/messages")
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")
    assert "POST" in wrong.headers["allow"]


def test_the_list_of_models_is_paginated(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        everything = client.get("/v1/models").json()
        assert [model["id"] for model in everything["data"]] == ["scripted"]
        assert client.get("/v1/models?after_id=scripted").json()["data"] == []
        assert client.get("/v1/models?before_id=scripted").json()["data"] == []
        assert client.get("/v1/models?after_id=unknown").json()["data"] == []
        assert client.get("/v1/models?limit=0").status_code == 400
        assert client.get("/v1/models?after_id=a&before_id=b").status_code == 400
        assert client.get("/v1/models/claude-anything").json()["id"] == "scripted"
        assert client.get("/v1/models/unknown").status_code == 404


def test_running_answers_finish_during_the_grace_period(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text('[[reply]]\ntext = "one two three four"\nseconds_per_token = 0.2', encoding="utf-8")
    kinds = _stream_until_stopped(settings_for(grace_seconds="10"), script)
    assert kinds[-1] == "message_stop"


def test_answers_beyond_the_grace_period_end_with_an_error_event(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text(SLOW, encoding="utf-8")
    kinds = _stream_until_stopped(settings_for(grace_seconds="0.3"), script)
    assert kinds[-1] == "error"


def _stream_until_stopped(settings: Settings, script: Path) -> list[str]:
    kinds: list[str] = []
    with running_server(settings, scripted_components(script)) as url:
        started = threading.Event()

        def read() -> None:
            with httpx.stream(
                "POST", f"{url}/v1/messages", json=ask(stream=True, max_tokens=900), timeout=300
            ) as response:
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        kinds.append(json.loads(line[6:])["type"])
                        started.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert started.wait(300)
    reader.join(300)
    return kinds


def test_new_requests_are_refused_while_the_server_stops(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text(SLOW, encoding="utf-8")
    refusals: list[httpx.Response] = []
    with running_server(settings_for(grace_seconds="300"), scripted_components(script)) as url:
        client = httpx.Client(base_url=url, timeout=300)
        streaming = client.stream("POST", "/v1/messages", json=ask(stream=True, max_tokens=900))
        response = streaming.__enter__()
        lines = response.iter_lines()
        next(lines)

        def ask_until_refused() -> None:
            while (reply := httpx.post(f"{url}/v1/messages", json=ask(max_tokens=1), timeout=300)).status_code == 200:
                pass
            refusals.append(reply)
            streaming.__exit__(None, None, None)

        late = threading.Thread(target=ask_until_refused)
        late.start()
    late.join()
    client.close()
    assert refusals[0].status_code == 529
    assert refusals[0].headers["retry-after"] == "10"


def test_a_port_in_use_cannot_be_bound(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", taken.getsockname()[1])
