"""Several models in one server, over real sockets: loaded on request, unloaded for lack of memory or use."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import mlx.core as mx
import pytest

from pensieve.cli.wiring import model_components
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.memory.memos import MemoSizes
from tests.support.running_server import ask, running_server, settings_for
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model
from tests.support.waiting import wait_until

WEIGHTS_BYTES = 27_286_528
"""Eight layers, in f32."""
ROOM_FOR_ONE = 59_000_000
"""Besides its memos; two do not fit."""
NAMES = ("hither", "thither")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Two models whose weights dominate their memory."""
    home = tmp_path_factory.mktemp("models")
    tokenizer = write_byte_tokenizer(home / "tokenizer")
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8, "vocab_size": 259}
    return tuple(
        write_tiny_model(home / name, tokenizer_folder=tokenizer, seed=seed, **sizes) for seed, name in enumerate(NAMES)
    )


@contextmanager
def both(folders: tuple[Path, ...], room_bytes: int = ROOM_FOR_ONE, **given: str) -> Iterator[httpx.Client]:
    """A client of a server of both models, which may use `room_bytes` in addition to what the process itself uses, and
    to the memos of one model, which grow with the limit and so with the process.
    """
    settings = settings_for(
        model=str(folders[0]), allow_models=str(folders[1]), cache_disk="0", cache_memory="10MB", **given
    )
    components = model_components(settings)
    memory = components.memory
    assert isinstance(memory, DeviceMemory)
    memory.reserve_for_process()
    memory.capacity_bytes = memory.reserved_bytes() + room_bytes
    memory.capacity_bytes += MemoSizes.within(memory.capacity_bytes).total_bytes
    with running_server(settings, components) as url, httpx.Client(base_url=url, timeout=300) as client:
        yield client


def request(client: httpx.Client, name: str, **fields: object) -> httpx.Response:
    return client.post("/v1/messages", json={**ask(model=name, max_tokens=8, temperature=0), **fields})


def answer(client: httpx.Client, name: str) -> str:
    reply = request(client, name)
    assert reply.status_code == 200, reply.text
    assert reply.json()["model"] == name
    return json.dumps(reply.json()["content"])


def statuses(client: httpx.Client) -> dict[str, str]:
    return {model["id"]: model["state"] for model in client.get("/health").json()["models"]}


def test_two_models_take_turns_if_only_one_fits(folders: tuple[Path, ...]) -> None:
    with both(folders) as client:
        assert statuses(client) == {"hither": "loaded", "thither": "unloaded"}
        first = {name: answer(client, name) for name in NAMES}
        assert first["hither"] != first["thither"]
        assert statuses(client) == {"hither": "unloaded", "thither": "loaded"}
        for _ in range(2):
            assert {name: answer(client, name) for name in NAMES} == first
        health = client.get("/health").json()
        assert health["reserved"]["model_weights_bytes"] == WEIGHTS_BYTES
        assert health["memory"]["total_bytes"] < 50_000_000
        assert answer(client, "claude-opus-5") == first["hither"].replace("hither", "claude-opus-5")


def test_the_list_has_all_models_loaded_or_not(folders: tuple[Path, ...]) -> None:
    with both(folders) as client:
        listed = client.get("/v1/models").json()["data"]
        assert [model["id"] for model in listed] == list(NAMES)
        for model in listed:
            assert client.get(f"/v1/models/{model['id']}").json() == model
            assert model["max_input_tokens"] == 2048
            counted = client.post(
                "/v1/messages/count_tokens", json={"model": model["id"], "messages": ask()["messages"]}
            )
            assert counted.json()["input_tokens"] > 0
        refused = request(client, "unknown")
        assert refused.status_code == 404
        assert "hither, thither" in refused.text or "thither, hither" in refused.text
        chat = {"model": "hither", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
        assert client.post("/v1/chat/completions", json=chat).status_code == 200


def test_sixteen_clients_alternate_between_two_models(folders: tuple[Path, ...]) -> None:
    async def ask_all(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=300) as client:
            posts = [
                client.post("/v1/messages", json=ask(str(number), model=NAMES[number % 2], max_tokens=16))
                for number in range(16)
            ]
            return await asyncio.gather(*posts)

    with both(folders) as client:
        replies = asyncio.run(ask_all(str(client.base_url)))
        assert [reply.status_code for reply in replies] == [200] * 16
        assert [reply.json()["model"] for reply in replies] == [NAMES[number % 2] for number in range(16)]
        assert client.get("/health").json()["requests"]["active"] == 0


def test_a_model_is_not_unloaded_during_a_stream(folders: tuple[Path, ...]) -> None:
    body = ask("Go on", model="hither", max_tokens=600, stream=True)
    with both(folders) as client, client.stream("POST", "/v1/messages", json=body) as stream:
        lines = stream.iter_lines()
        next(lines)
        with httpx.Client(base_url=client.base_url, timeout=300) as other:
            began = time.monotonic()
            assert request(other, "thither").status_code == 200  # it waited for the stream
            waited = time.monotonic() - began
        text = "\n".join(lines)
        assert "message_stop" in text, f"the stream was cut after {waited:.1f} s: {text[-200:]}"
        assert "event: error" not in text


def test_an_idle_model_is_unloaded_and_loaded_again_on_request(folders: tuple[Path, ...]) -> None:
    gc.collect()
    others_bytes = mx.get_active_memory()  # what earlier tests of this process still hold
    with both(folders, 10**9, idle_unload="0.3s") as client:
        first = answer(client, "hither")
        wait_until(lambda: set(statuses(client).values()) == {"unloaded"})
        health = client.get("/health").json()
        assert health["reserved"]["model_weights_bytes"] == 0
        assert health["memory"]["total_bytes"] - others_bytes < WEIGHTS_BYTES / 10
        assert health["model"] == "hither"
        assert answer(client, "hither") == first


def test_models_that_fit_together_stay_loaded(folders: tuple[Path, ...]) -> None:
    with both(folders, 200_000_000) as client:
        for name in NAMES:
            answer(client, name)
        assert set(statuses(client).values()) == {"loaded"}


def test_a_model_that_can_never_fit_is_refused_with_the_figures(folders: tuple[Path, ...], tmp_path: Path) -> None:
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "vocab_size": 259}
    large = write_tiny_model(tmp_path / "large", tokenizer_folder=folders[0].parent / "tokenizer", **sizes)
    with both((folders[0], large)) as client:
        refused = request(client, "large")
        assert refused.status_code == 400
        assert "insufficient memory for the weights of" in refused.json()["error"]["message"]
        assert statuses(client) == {"hither": "loaded", "large": "unloaded"}


def test_a_damaged_model_is_reported_and_the_other_keeps_working(folders: tuple[Path, ...], tmp_path: Path) -> None:
    spoilt = write_tiny_model(tmp_path / "spoilt", tokenizer_folder=folders[0].parent / "tokenizer", vocab_size=259)
    with both((folders[0], spoilt)) as client:
        (spoilt / "model.safetensors").write_bytes(b"nonsense")
        refused = request(client, "spoilt")
        assert refused.status_code == 500
        assert "model.safetensors" in refused.json()["error"]["message"]
        assert answer(client, "hither")
