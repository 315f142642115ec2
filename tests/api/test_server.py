"""The reference server over real sockets, with a script in place of a model, under the contracts."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.streams.message_stream import StreamMonitor
from pensieve.api.app import MAX_BODY_BYTES
from pensieve.cli.serve.command import bind
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import scripted_components
from tests.support.running_server import ask, running_server, scripted_server, settings_for

SLOW = '[[reply]]\ntext = "one two three four five"\nrepeat = 200\nseconds_per_token = 0.02\n'


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line.startswith("data: ")]


def wait_until_idle(client: httpx.Client, seconds: float = 5) -> float:
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if client.get("/health").json()["requests"]["active"] == 0:
            return time.monotonic() - began
        time.sleep(0.01)
    pytest.fail(f"a request is still active after {seconds} s")


def test_a_stream_and_a_plain_answer_say_the_same(tmp_path: Path) -> None:
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


def test_a_silence_is_filled_with_pings(tmp_path: Path) -> None:
    with (
        scripted_server(tmp_path, '[[reply]]\nprefill_seconds = 6\ntext = "x"') as client,
        client.stream("POST", "/v1/messages", json=ask(stream=True)) as response,
    ):
        kinds = [event["type"] for event in events_of(response)]
    assert kinds[:2] == ["message_start", "ping"]


def test_a_failure_in_mid_stream_is_one_error_event_and_the_end(tmp_path: Path) -> None:
    with scripted_server(tmp_path, "[[reply]]\nfail_after_tokens = 2") as client:
        with client.stream("POST", "/v1/messages", json=ask(stream=True)) as response:
            events = events_of(response)
        plain = client.post("/v1/messages", json=ask())
    assert [event["type"] for event in events].count("error") == 1
    assert events[-1]["type"] == "error"
    assert events[-1]["request_id"] == response.headers["request-id"]
    assert plain.status_code == 500
    assert plain.json()["request_id"] == plain.headers["request-id"]


def test_a_client_that_leaves_a_stream_is_noticed(tmp_path: Path) -> None:
    with scripted_server(tmp_path, SLOW) as client:
        with client.stream("POST", "/v1/messages", json=ask(stream=True, max_tokens=900)) as response:
            lines = response.iter_lines()
            next(lines)
            assert client.get("/health").json()["requests"]["active"] == 1
        assert wait_until_idle(client) < 1
        assert client.get("/health").json()["memory"]["kv_cache_bytes"] == 0


def test_a_client_that_leaves_a_plain_answer_is_noticed(tmp_path: Path) -> None:
    with scripted_server(tmp_path, SLOW) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/messages", json=ask(max_tokens=900), timeout=0.5)
        assert wait_until_idle(client) < 1


def test_a_foreign_host_and_a_foreign_page_are_refused(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        foreign_host = client.get("/v1/models", headers={"host": "evil.example"})
        foreign_page = client.post("/v1/messages", json=ask(), headers={"origin": "https://evil.example"})
    for response in (foreign_host, foreign_page):
        assert response.status_code == 403
        assert response.json()["error"]["type"] == "permission_error"
        assert "access-control-allow-origin" not in response.headers


def test_a_page_that_was_granted_may_ask(tmp_path: Path) -> None:
    page = {"origin": "https://page.example"}
    with scripted_server(tmp_path, cors_origins="https://page.example") as client:
        asked = client.options("/v1/messages", headers={**page, "access-control-request-method": "POST"})
        answered = client.post("/v1/messages", json=ask(), headers=page)
    assert asked.status_code == 204
    assert answered.status_code == 200
    assert answered.headers["access-control-allow-origin"] == "https://page.example"


def test_a_key_guards_everything_but_the_signs_of_life(tmp_path: Path) -> None:
    with scripted_server(tmp_path, api_key="secret") as client:
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/messages"), ("GET", "/nothing")):
            refused = client.request(method, path)
            assert refused.status_code == 401
            assert refused.headers["x-should-retry"] == "false"
        assert client.head("/").status_code == 200
        assert "performance" not in client.get("/health").json()
        with_key = client.get("/health", headers={"x-api-key": "secret"})
        assert "performance" in with_key.json()


def test_a_body_that_is_too_large_is_refused_in_the_right_form(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        response = client.post("/v1/messages", content=b"x" * (MAX_BODY_BYTES + 1))
        assert response.status_code == 413
        assert response.json()["error"]["type"] == "request_too_large"
        assert client.post("/v1/messages", json=ask()).status_code == 200


def test_unknown_paths_and_methods_answer_in_the_right_form(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        unknown, wrong = client.get("/v1/nothing"), client.get("/v1/messages")
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")
    assert "POST" in wrong.headers["allow"]


def test_models_are_listed_page_by_page(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        everything = client.get("/v1/models").json()
        assert [model["id"] for model in everything["data"]] == ["scripted"]
        assert client.get("/v1/models?after_id=scripted").json()["data"] == []
        assert client.get("/v1/models?before_id=scripted").json()["data"] == []
        assert client.get("/v1/models?after_id=nobody").json()["data"] == []
        assert client.get("/v1/models?limit=0").status_code == 400
        assert client.get("/v1/models?after_id=a&before_id=b").status_code == 400
        assert client.get("/v1/models/claude-anything").json()["id"] == "scripted"
        assert client.get("/v1/models/nobody").status_code == 404


def test_running_answers_may_finish_when_the_server_stops(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text('[[reply]]\ntext = "one two three four"\nseconds_per_token = 0.2', encoding="utf-8")
    kinds = _stream_over_a_stop(settings_for(grace_seconds="10"), script)
    assert kinds[-1] == "message_stop"


def test_answers_that_outlast_the_grace_end_with_an_error_event(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text(SLOW, encoding="utf-8")
    kinds = _stream_over_a_stop(settings_for(grace_seconds="0.3"), script)
    assert kinds[-1] == "error"


def _stream_over_a_stop(settings: Settings, script: Path) -> list[str]:
    kinds: list[str] = []
    with running_server(settings, scripted_components(script)) as url:
        started = threading.Event()

        def read() -> None:
            with httpx.stream(
                "POST", f"{url}/v1/messages", json=ask(stream=True, max_tokens=900), timeout=20
            ) as response:
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        kinds.append(json.loads(line[6:])["type"])
                        started.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert started.wait(10)
    reader.join(20)
    return kinds


def test_new_requests_are_sent_away_while_the_server_stops(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text(SLOW, encoding="utf-8")
    refusals: list[httpx.Response] = []
    with running_server(settings_for(grace_seconds="1"), scripted_components(script)) as url:
        client = httpx.Client(base_url=url, timeout=20)
        streaming = client.stream("POST", "/v1/messages", json=ask(stream=True, max_tokens=900))
        response = streaming.__enter__()
        lines = response.iter_lines()
        next(lines)

        def ask_again() -> None:
            time.sleep(0.3)
            refusals.append(httpx.post(f"{url}/v1/messages", json=ask(), timeout=5))

        late = threading.Thread(target=ask_again)
        late.start()
    late.join()
    client.close()
    assert refusals[0].status_code == 529
    assert refusals[0].headers["retry-after"] == "10"


def test_a_port_that_is_taken_is_not_taken_again(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", taken.getsockname()[1])
