"""Loading and unloading models through HTTP, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until

SCRIPT = """
[[reply]]
when = "slowly"
text = "word "
repeat = 4000
seconds_per_token = 0.05

[[reply]]
text = "Hello."
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with scripted_server(tmp_path_factory.mktemp("loading"), SCRIPT) as client:
        yield client


def state(client: httpx.Client) -> str:
    text: str = client.get("/health").json()["models"][0]["state"]
    return text


def post(client: httpx.Client, action: str, name: str = "scripted") -> httpx.Response:
    return client.post(f"/models/{action}", json={"model": name})


def test_a_model_is_unloaded_and_loaded_again(client: httpx.Client) -> None:
    for action, expected in (("unload", "unloaded"), ("load", "loaded"), ("load", "loaded")):
        reply = post(client, action)
        assert (reply.status_code, reply.json()) == (200, {"model": "scripted", "state": expected})
        assert state(client) == expected


def test_a_request_loads_an_unloaded_model(client: httpx.Client) -> None:
    post(client, "unload")
    assert client.post("/v1/messages", json=ask()).status_code == 200
    assert state(client) == "loaded"


def test_a_model_that_is_not_loaded_cannot_be_unloaded(client: httpx.Client) -> None:
    post(client, "unload")
    refused = post(client, "unload")
    assert refused.status_code == 404
    assert refused.json()["error"] == {"type": "not_found_error", "message": "model scripted is not loaded"}
    post(client, "load")


@pytest.mark.parametrize("action", ["load", "unload"])
def test_an_unknown_model_is_refused_with_those_that_exist(client: httpx.Client, action: str) -> None:
    refused = post(client, action, "unknown")
    assert refused.status_code == 404
    assert "served: scripted" in refused.json()["error"]["message"]


@pytest.mark.parametrize("action", ["load", "unload"])
@pytest.mark.parametrize(
    ("body", "field"), [({}, "model"), ({"model": 3}, "model"), ([], "body"), ({"model": ""}, "model")]
)
def test_a_wrong_body_is_refused_by_the_name_of_its_field(
    client: httpx.Client, action: str, body: object, field: str
) -> None:
    refused = client.post(f"/models/{action}", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(field)


def test_a_model_in_use_is_not_unloaded(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/messages", json=ask("slowly", max_tokens=4000, stream=True)) as stream:
        lines = stream.iter_lines()
        next(lines)
        refused = post(client, "unload")
        assert refused.status_code == 529
        assert "scripted is in use" in refused.json()["error"]["message"]
        assert state(client) == "loaded"
    wait_until(lambda: client.get("/health").json()["requests"]["active"] == 0)
    assert post(client, "unload").status_code == 200


def test_only_the_servers_own_page_may_load_a_model(client: httpx.Client) -> None:
    own = f"http://{client.base_url.netloc.decode()}"
    replies = {
        origin: client.post("/models/load", json={"model": "scripted"}, headers={"origin": origin}).status_code
        for origin in (own, "https://evil.example", "null", own + "0")
    }
    assert replies == {own: 200, "https://evil.example": 403, "null": 403, own + "0": 403}


@pytest.mark.parametrize("action", ["load", "unload"])
def test_loading_requires_the_key(tmp_path: Path, action: str) -> None:
    with scripted_server(tmp_path, SCRIPT, api_key="secret") as client:
        assert post(client, action).status_code == 401
        client.headers["x-api-key"] = "secret"
        assert post(client, action).status_code == 200
