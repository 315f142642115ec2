"""Requests without sampling parameters, as from Claude Code, get the defaults of model and operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pensieve.cli.wiring import components_for
from pensieve.core.errors import ValidationError
from tests.support.running_server import ask, running_server, scripted_server, settings_for
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

SCRIPT = '[[reply]]\ntext = "<think>\\nLet me see.\\n</think>\\n\\nYes."\n'
AS_CLAUDE_CODE: dict[str, Any] = {
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models with the same weights. The generation_config.json of the first has a top_k of 1."""
    home = tmp_path_factory.mktemp("models")
    tokenizer = write_byte_tokenizer(home / "tokenizer")
    narrow, wide = (
        write_tiny_model(home / name, tokenizer_folder=tokenizer, vocab_size=259) for name in ("narrow", "wide")
    )
    (narrow / "generation_config.json").write_text(json.dumps({"temperature": 1.0, "top_k": 1}), encoding="utf-8")
    return narrow, wide


@contextmanager
def both(folders: tuple[Path, Path], **given: str) -> Iterator[httpx.Client]:
    settings = settings_for(
        model=str(folders[0]), allow_models=str(folders[1]), cache_disk="0", cache_memory="10MB", **given
    )
    with running_server(settings, components_for(settings)) as url, httpx.Client(base_url=url, timeout=300) as client:
        yield client


def answer(client: httpx.Client, model: str, **fields: object) -> str:
    body = {**ask("Hello", max_tokens=16), **AS_CLAUDE_CODE, **fields, "model": model}
    reply = client.post("/v1/messages", json=body)
    assert reply.status_code == 200, reply.text
    return json.dumps(reply.json()["content"])


def four_answers(client: httpx.Client, model: str, **fields: object) -> set[str]:
    return {answer(client, model, **fields) for _ in range(4)}


def defaults(client: httpx.Client) -> dict[str, Any]:
    return {model["id"]: model["defaults"] for model in client.get("/health").json()["models"]}


def test_a_request_without_sampling_gets_the_recommended_sampling(folders: tuple[Path, Path]) -> None:
    with both(folders) as client:
        assert four_answers(client, "narrow") == {answer(client, "narrow", temperature=0)}
        assert len(four_answers(client, "narrow", top_k=0)) > 1
        assert len(four_answers(client, "wide")) > 1
        chat = {"model": "narrow", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}
        texts = {
            client.post("/v1/chat/completions", json=chat).json()["choices"][0]["message"]["content"] for _ in "123"
        }
        assert len(texts) == 1
        assert defaults(client) == {
            "narrow": {"sampling": sampling(top_k=1), "thinking": "auto", "max_thinking_tokens": None},
            "wide": {"sampling": sampling(), "thinking": "auto", "max_thinking_tokens": None},
        }


def sampling(**changed: float) -> dict[str, float]:
    penalties = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
    return {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, **penalties, **changed}


def test_flags_apply_to_every_model_and_a_table_to_its_own(folders: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(f'[narrow]\ntop_k = 0\n["{folders[1]}"]\nthinking = "off"\nmin_p = 1.0\n', encoding="utf-8")
    with both(folders, temperature="0.8", max_thinking_tokens="2000", model_settings=str(file)) as client:
        assert defaults(client) == {
            "narrow": {"sampling": sampling(temperature=0.8), "thinking": "auto", "max_thinking_tokens": 2000},
            "wide": {"sampling": sampling(temperature=0.8, min_p=1.0), "thinking": "off", "max_thinking_tokens": 2000},
        }
        assert len(four_answers(client, "narrow")) > 1
        assert len(four_answers(client, "wide")) == 1
        assert defaults(client)["wide"]["thinking"] == "off", "after it was loaded"


def test_a_table_for_an_unknown_model_stops_the_start(folders: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text("[narow]\ntop_k = 0\n", encoding="utf-8")
    settings = settings_for(model=str(folders[0]), cache_disk="0", model_settings=str(file))
    with pytest.raises(ValidationError, match=r"models\.toml: \['narow'\] is not a model of this server.*narrow"):
        components_for(settings)


def test_thinking_off_overrides_the_request(tmp_path: Path) -> None:
    for given, kinds in ({}, ["thinking", "text"]), ({"thinking": "off"}, ["text"]):
        script = tmp_path / "script.toml"
        script.write_text(SCRIPT, encoding="utf-8")
        settings = settings_for(script=str(script), **given)
        with running_server(settings, components_for(settings)) as url:
            reply = httpx.post(f"{url}/v1/messages", json={**ask(), **AS_CLAUDE_CODE})
            assert [block["type"] for block in reply.json()["content"]] == kinds
            assert reply.json()["content"][-1]["text"] == "Yes."
            chat = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
            body = {**chat, "chat_template_kwargs": {"enable_thinking": True}}
            message = httpx.post(f"{url}/v1/chat/completions", json=body).json()["choices"][0]["message"]
            assert ("reasoning_content" in message) == (len(kinds) == 2)


def test_an_unknown_effort_is_refused(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        refused = client.post("/v1/messages", json={**ask(), "output_config": {"effort": "immense"}})
        assert refused.status_code == 400
        assert refused.json()["error"]["message"].startswith("output_config.effort: ")
