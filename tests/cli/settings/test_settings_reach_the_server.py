"""Every setting of a model that the settings file names has its effect on a real server (U5)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pensieve.cli.launch.running_servers import find_server
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings_file import read_settings_file
from pensieve.cli.wiring import model_components
from pensieve.core.errors import ModelLoadingError
from tests.support.running_server import running_server
from tests.support.tiny_model import CHATML, write_byte_tokenizer, write_tiny_model
from tests.support.waiting import wait_until

TEMPLATE = "{{ style | default('') }}" + CHATML


def tiny_model(folder: Path) -> Path:
    write_byte_tokenizer(folder, chat_template=TEMPLATE)
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def settings_of(folder: Path, text: str, **flags: str) -> Any:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    given = argparse.Namespace(port="0", checked="true", cache_disk="0", **flags)
    return read_settings(given, {}, read_settings_file(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With three models."""
    folder = tmp_path_factory.mktemp("settings")
    for name in ("plain", "set", "draft"):
        tiny_model(folder / name)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    """Of a server of the models `plain`, which is the main one, and `set`, which has a table."""
    text = f"""
        model = "{folder / "plain"}"
        allow_models = ["nick"]
        temperature = 0.3
        context = 1500

        [models."{folder / "set"}"]
        alias = "nick"
        context = 600
        temperature = 0.0
        top_p = 0.9
        top_k = 5
        min_p = 0.01
        repetition_penalty = 1.1
        presence_penalty = 0.2
        frequency_penalty = 0.1
        thinking = "off"
        max_thinking_tokens = 7
        draft_model = "{folder / "draft"}"
        idle_unload = "1s"
        template_arguments = {{ style = "0123456789" }}
    """
    settings = settings_of(folder, text)
    with running_server(settings, model_components(settings)) as url, httpx.Client(base_url=url, timeout=600) as client:
        yield client


def state_of(client: httpx.Client, name: str) -> dict[str, Any]:
    return next(model for model in client.get("/health").json()["models"] if model["id"] == name)


def ask(client: httpx.Client, model: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hello"}]
    reply = client.post("/v1/messages", json={"model": model, "max_tokens": 4, "messages": messages})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_the_window_is_that_of_the_table_or_of_the_file_and_a_longer_prompt_is_refused(client: httpx.Client) -> None:
    assert client.get("/v1/models/nick").json()["max_input_tokens"] == 600
    assert client.get("/v1/models/plain").json()["max_input_tokens"] == 1500
    messages = [{"role": "user", "content": "a" * 700}]
    request = {"max_tokens": 1, "messages": messages}
    refused = client.post("/v1/messages", json={"model": "nick", **request})
    assert refused.status_code == 400
    assert "> 600 maximum" in refused.json()["error"]["message"]
    assert client.post("/v1/messages", json={"model": "plain", **request}).status_code == 200


def test_sampling_and_thinking_of_the_table_are_the_models_defaults(client: httpx.Client) -> None:
    defaults = state_of(client, "set")["defaults"]
    assert (defaults["thinking"], defaults["max_thinking_tokens"]) == ("off", 7)
    assert defaults["sampling"] == {
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.01,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.1,
    }
    assert state_of(client, "plain")["defaults"]["sampling"]["temperature"] == 0.3
    assert ask(client, "nick")["content"] == ask(client, "nick")["content"]  # greedy


def test_an_alias_is_a_name_for_clients_and_in_settings(client: httpx.Client) -> None:
    assert ask(client, "nick")["stop_reason"] == "max_tokens"
    assert state_of(client, "set")["alias"] == "nick"
    running = find_server(str(client.base_url).rstrip("/"), None, "nick")
    assert running is not None
    assert (running.model, running.window_tokens) == ("set", 600)


def test_template_arguments_are_in_the_prompt(client: httpx.Client) -> None:
    request = {"messages": [{"role": "user", "content": "Hello"}]}
    tokens = {
        name: client.post("/v1/messages/count_tokens", json={"model": name, **request}).json()["input_tokens"]
        for name in ("plain", "nick")
    }
    assert tokens["nick"] - tokens["plain"] == len("0123456789")


def test_a_model_that_is_not_the_main_one_has_its_own_draft_model(client: httpx.Client) -> None:
    ask(client, "nick")
    assert state_of(client, "set")["draft_model"] == "draft"
    assert state_of(client, "set")["weights_bytes"] == 2 * state_of(client, "plain")["weights_bytes"]  # both are loaded
    assert state_of(client, "plain")["draft_model"] is None
    assert [state_of(client, name)["speculation"] for name in ("set", "plain")] == ["draft_model", "prompt_lookup"]


def test_a_model_is_unloaded_after_the_idle_time_of_its_table(client: httpx.Client) -> None:
    ask(client, "nick")
    wait_until(lambda: state_of(client, "set")["state"] == "unloaded")
    assert state_of(client, "plain")["state"] == "loaded"


def test_a_template_argument_that_the_template_does_not_read_is_refused_with_the_likely_one(folder: Path) -> None:
    text = f'model = "{folder / "plain"}"\n[models.plain]\ntemplate_arguments = {{ stile = "x" }}'
    settings = settings_of(folder, text)
    with (
        pytest.raises(ModelLoadingError, match="reads no variable stile; did you mean style"),
        running_server(settings, model_components(settings)),
    ):
        pass


def test_a_flag_overrides_the_table(folder: Path) -> None:
    text = f'[models."{folder / "plain"}"]\ntemperature = 0.1\ncontext = 300\nalias = "mine"'
    components = model_components(settings_of(folder, text, model="mine", temperature="0.9"))
    (model,) = components.models
    assert model.settings.sampling.temperature == 0.9
    assert model.info.context_window_tokens == 300


def test_a_table_of_a_model_that_is_not_served_has_no_effect(folder: Path) -> None:
    (model,) = model_components(
        settings_of(folder, '[models."org/other"]\ncontext = 500', model=str(folder / "plain"))
    ).models
    assert model.info.context_window_tokens == 2048


def test_a_context_beyond_the_models_window_is_named_with_both_figures(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (model,) = model_components(settings_of(folder, "context = 5000", model=str(folder / "plain"))).models
    assert model.info.context_window_tokens == 2048
    assert "plain has a window of 2048 tokens, not the 5000 of --context" in caplog.text
