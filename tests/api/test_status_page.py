"""What the server answers to a browser, and what it reports for the page."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pensieve.api import history
from pensieve.api.page.page_files import HEADERS, read_page_files
from pensieve.api.recent_log import MAX_CHARACTERS, MAX_LINES, RecentLog
from pensieve.core.errors import ValidationError
from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until

SCRIPT = """
[[reply]]
when = "wait"
prefill_seconds = 1000

[[reply]]
when = "slowly"
text = "word "
repeat = 4000
seconds_per_token = 0.02

[[reply]]
text = "one two three"
"""
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
log = logging.getLogger("pensieve.test")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with scripted_server(tmp_path_factory.mktemp("page"), SCRIPT) as client:
        yield client


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_a_client_that_probes_the_server_gets_json(client: httpx.Client, accept: str) -> None:
    reply = client.get("/", headers={"accept": accept})
    assert reply.json()["service"] == "pensieve"
    assert reply.headers["vary"] == "accept"
    assert client.head("/", headers={"accept": accept}).status_code == 200


def test_a_browser_gets_the_page_with_its_policy(client: httpx.Client) -> None:
    reply = client.get("/", headers=BROWSER)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["vary"] == "accept"
    assert HEADERS.items() <= dict(reply.headers).items()


def test_every_file_is_served_with_its_type(client: httpx.Client) -> None:
    for name, file in read_page_files().items():
        reply = client.get(f"/page/{name}")
        assert reply.content == file.content
        assert reply.headers["content-type"] == file.content_type
        assert HEADERS.items() <= dict(reply.headers).items()


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpage_files.py", "__init__.py", "%2e%2e/page_files.py"])
def test_nothing_else_is_served(client: httpx.Client, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_is_open_and_its_figures_require_the_key(tmp_path: Path) -> None:
    with scripted_server(tmp_path, SCRIPT, api_key="secret") as client:
        assert client.get("/", headers=BROWSER).status_code == 200
        assert client.get("/page/page.js").status_code == 200
        assert client.get("/logs").status_code == 401
        assert client.get("/history").status_code == 401
        assert "requests" not in client.get("/health").json()
        assert client.get("/logs", headers={"x-api-key": "secret"}).status_code == 200
        assert client.get("/history", headers={"x-api-key": "secret"}).status_code == 200


def progress(client: httpx.Client) -> list[dict[str, Any]]:
    requests = client.get("/health").json()["requests"]
    assert requests["active"] == len(requests["progress"])
    found: list[dict[str, Any]] = requests["progress"]
    return found


def test_running_requests_are_reported_with_their_progress(client: httpx.Client) -> None:
    body = ask("slowly", max_tokens=4000, stream=True)
    with client.stream("POST", "/v1/messages", json=body) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if "content_block_delta" in line)
        (first,) = progress(client)
        wait_until(lambda: progress(client)[0]["output_tokens"] > first["output_tokens"])
    assert first["model"] == "scripted"
    assert first["stage"] == "answering"
    assert first["key"] is None
    assert first["prefilled_tokens"] == first["prompt_tokens"] == 2
    assert 0 < first["output_tokens"] < first["max_output_tokens"] == 4000
    assert 0 < first["first_token_seconds"] <= first["seconds"]
    wait_until(lambda: not progress(client))
    assert client.get("/health").json()["totals"]["requests"]["cancelled"] == 1


def test_a_request_whose_prompt_is_read_says_so(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/messages", json=ask("wait", stream=True)) as stream:
        next(lines := stream.iter_lines())
        assert [each["stage"] for each in progress(client)] == ["prefilling"]
        del lines
    wait_until(lambda: not progress(client))


def keys_file(folder: Path) -> Path:
    path = folder / "keys.toml"
    path.write_text('alice = "alices-key-000000"\nbob = "bobs-key-00000000"\n', encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_named_key_sees_neither_the_requests_of_others_nor_the_log(tmp_path: Path) -> None:
    flags = {"api_keys": str(keys_file(tmp_path)), "api_key": "the-owners-key"}
    with scripted_server(tmp_path, SCRIPT, **flags) as client:
        alice, bob, owner = ({"x-api-key": key} for key in ("alices-key-000000", "bobs-key-00000000", "the-owners-key"))
        body = ask("slowly", max_tokens=4000, stream=True)
        with client.stream("POST", "/v1/messages", json=body, headers=alice) as stream:
            next(lines := stream.iter_lines())
            seen = {
                name: client.get("/health", headers=headers).json()
                for name, headers in (("alice", alice), ("bob", bob), ("owner", owner))
            }
            del lines
        assert {name: len(each["requests"]["progress"]) for name, each in seen.items()} == {
            "alice": 1,
            "bob": 0,
            "owner": 1,
        }
        assert {each["requests"]["active"] for each in seen.values()} == {1}
        assert seen["owner"]["requests"]["progress"][0]["key"] == "alice"
        assert [each["last_log_line"] is None for each in seen.values()] == [True, True, False]
        refused = client.get("/logs", headers=bob)
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
        assert client.get("/logs", headers=owner).status_code == 200
        assert client.get("/history", headers=bob).status_code == 200, "it has sums alone, as /health has"


def test_the_log_is_read_from_where_the_page_has_it(client: httpx.Client) -> None:
    before = client.get("/health").json()["last_log_line"]
    for number in range(3):
        log.warning("line %d", number)
    assert client.get("/health").json()["last_log_line"] >= before + 3
    lines = client.get(f"/logs?after={before}").json()["lines"]
    ours = [line for line in lines if line["logger"] == log.name]
    assert [(line["level"], line["text"]) for line in ours] == [("WARNING", f"line {n}") for n in range(3)]
    last = ours[-1]["number"]
    assert last not in [line["number"] for line in client.get(f"/logs?after={last}").json()["lines"]]


def test_lines_of_debug_are_left_out_since_reading_the_log_makes_some() -> None:
    recent, logger = RecentLog(), logging.Logger("apart", logging.DEBUG)
    logger.addHandler(recent)
    logger.debug("a probe")
    logger.info("a request")
    assert [line.text for line in recent.lines_after(0)] == ["a request"]
    assert recent.last_number == 1


def test_the_log_is_bounded(client: httpx.Client) -> None:
    for _ in range(MAX_LINES + 10):
        log.warning("x" * 10 * MAX_CHARACTERS)
    lines = client.get("/logs").json()["lines"]
    assert len(lines) == MAX_LINES
    assert max(len(line["text"]) for line in lines) == MAX_CHARACTERS


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 5000])
def test_a_wrong_line_number_is_refused_by_name(client: httpx.Client, after: str) -> None:
    refused = client.get(f"/logs?after={after}")
    assert refused.status_code in (400, 414)
    if refused.status_code == 400:
        assert refused.json()["error"]["message"] == str(ValidationError("after", "must be the number of a line"))


def test_the_last_hour_is_read_from_where_the_page_has_it(client: httpx.Client) -> None:
    answered = client.get("/history").json()
    assert (answered["interval_seconds"], answered["max_samples"]) == (10.0, 360)
    first = answered["samples"][0]
    assert first["number"] == 1
    assert {*first} == {
        *("number", "time", "reserved_bytes", "measured_bytes", "tokens_per_second", "running", "waiting")
    }
    assert client.get(f"/history?after={answered['last_number']}").json()["samples"] == []
    for after in ("-1", "x", "9" * 20):
        refused = client.get(f"/history?after={after}")
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == str(ValidationError("after", "must be the number of a sample"))


def test_running_requests_are_in_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "INTERVAL_SECONDS", 0.05)
    with scripted_server(tmp_path, SCRIPT) as client:

        def seen() -> bool:
            samples = client.get("/history").json()["samples"]
            return any(each["running"] == 1 and each["tokens_per_second"] > 0 for each in samples)

        assert not seen()
        body = ask("slowly", max_tokens=4000, stream=True)
        with client.stream("POST", "/v1/messages", json=body) as stream:
            next(lines := stream.iter_lines())
            wait_until(seen)
            reserved = sum(client.get("/health").json()["reserved"].values())
            wait_until(lambda: client.get("/history").json()["samples"][-1]["reserved_bytes"] == reserved > 0)
            del lines
        wait_until(lambda: client.get("/history").json()["samples"][-1]["running"] == 0)


def test_the_figures_are_json_that_every_browser_reads(client: httpx.Client) -> None:
    json.loads(client.get("/health").text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
