"""Clients with keys of their own, through the official SDKs: none learns anything of another's prompts (W19)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from pensieve.api.http.keys import hashed
from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.servers import serving
from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until

ALICE, BOB, CI, EDITOR = "sk-of-alice-1", "sk-of-bob-22", "sk-of-ci-333", "sk-of-editor-4"
_numbers = itertools.count()


@dataclass(frozen=True)
class Served:
    url: str
    log: Path

    def anthropic(self, key: str) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key=key, max_retries=0)

    def openai(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)


def key_file(folder: Path, content: str) -> Path:
    path = folder / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def served(tiny_folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("keys")
    path = key_file(folder, f'alice = "{ALICE}"\nbob = "{hashed(BOB)}"\n[team]\nci = "{CI}"\neditor = "{EDITOR}"\n')
    home, log = {"PENSIEVE_HOME": str(folder / "home")}, folder / "log"
    arguments = ("--model", str(tiny_folder.path), "--api-keys", str(path), "--log-level", "info")
    with log.open("w", encoding="utf-8") as stderr, serving(*arguments, environment=home, stderr=stderr) as process:
        yield Served(process.url, log)


@pytest.fixture
def prompt() -> dict[str, Any]:
    """A prompt that no other test has sent."""
    system = f"Number {next(_numbers)} knows every lighthouse by its light. " * 10
    return {"system": system, "messages": [{"role": "user", "content": "Which one?"}]}


def usage_of(client: anthropic.Anthropic, prompt: dict[str, Any], **more: Any) -> anthropic.types.Usage:
    with client.messages.stream(model="claude-any", max_tokens=4, **prompt, **more) as stream:
        return stream.get_final_message().usage


def test_one_client_reads_nothing_of_another_s_prompt(served: Served, prompt: dict[str, Any]) -> None:
    user = {"metadata": {"user_id": "the-same-user"}}
    first = usage_of(served.anthropic(ALICE), prompt, **user)
    other = usage_of(served.anthropic(BOB), prompt, **user)
    assert first.cache_read_input_tokens == other.cache_read_input_tokens == 0
    assert first.input_tokens == other.input_tokens > 50
    for key in (ALICE, BOB):
        again = usage_of(served.anthropic(key), prompt)
        assert (again.cache_read_input_tokens or 0) > 0.9 * first.input_tokens, "each has a cache of its own"


def test_clients_whose_keys_are_in_one_table_share_a_cache(served: Served, prompt: dict[str, Any]) -> None:
    first = usage_of(served.anthropic(CI), prompt)
    other = usage_of(served.anthropic(EDITOR), prompt)
    assert first.cache_read_input_tokens == 0
    assert (other.cache_read_input_tokens or 0) > 0.9 * first.input_tokens


def test_openai_s_cache_key_and_user_open_nothing(served: Served, prompt: dict[str, Any]) -> None:
    def share_read(key: str) -> float:
        completion = served.openai(key).chat.completions.create(
            model=served.openai(key).models.list().data[0].id,
            max_tokens=4,
            messages=[{"role": "system", "content": prompt["system"]}, {"role": "user", "content": "Which one?"}],
            prompt_cache_key="the-same-key",
            user="the-same-user",
        )
        assert completion.usage is not None
        assert completion.usage.prompt_tokens_details is not None
        return (completion.usage.prompt_tokens_details.cached_tokens or 0) / completion.usage.prompt_tokens

    first, other, again = (share_read(key) for key in (ALICE, BOB, ALICE))
    assert max(first, other) < 0.2, "a client's own prompts may begin alike"
    assert again > 0.9


def test_a_reply_does_not_compare_a_prompt_with_another_client_s(served: Served, prompt: dict[str, Any]) -> None:
    def ask_with(key: str, previous: str | None) -> httpx.Response:
        body = {"model": "claude-any", "max_tokens": 4, **prompt, "diagnostics": {"previous_message_id": previous}}
        return httpx.post(f"{served.url}/v1/messages", json=body, headers={"x-api-key": key}, timeout=300)

    first = ask_with(ALICE, None)
    prompt["system"] = prompt["system"].replace("Number", "No", 1)
    other = ask_with(BOB, first.json()["id"])
    assert other.json()["diagnostics"] == {"cache_miss_reason": {"type": "previous_message_not_found"}}
    own = ask_with(ALICE, first.json()["id"])
    assert own.json()["diagnostics"]["cache_miss_reason"]["type"] == "system_changed"


@pytest.mark.parametrize("how", ["api_key", "auth_token"])
def test_an_unknown_key_is_refused_in_either_header(served: Served, how: str) -> None:
    def client(key: str) -> anthropic.Anthropic:
        credentials: dict[str, Any] = {"api_key": None, how: key}
        return anthropic.Anthropic(base_url=served.url, max_retries=0, **credentials)

    for key in ("sk-of-carol", hashed(BOB), ALICE[:-1]):
        with pytest.raises(anthropic.AuthenticationError):
            client(key).models.list()
        with pytest.raises(openai.AuthenticationError):
            served.openai(key).models.list()
    assert client(BOB).models.list().data


def logged(log: Path) -> list[tuple[str, int, str]]:
    """Path, status and key of each complete line. A request's line is written after its answer has been read."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]
    return [(line.get("path"), line.get("status"), line.get("key")) for line in lines]


def test_the_log_and_the_metrics_have_names_and_no_keys(served: Served) -> None:
    with pytest.raises(anthropic.NotFoundError):
        served.anthropic(BOB).messages.create(
            model="absent", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
        )
    wait_until(lambda: ("/v1/messages", 404, "bob") in logged(served.log))
    log = served.log.read_text(encoding="utf-8")
    metrics = httpx.get(f"{served.url}/metrics", headers={"authorization": f"Bearer {BOB}"}).text
    assert 'pensieve_key_requests_total{key="bob"}' in metrics
    for key in (ALICE, BOB, CI, EDITOR):
        assert key not in log
        assert key not in metrics
    assert httpx.get(f"{served.url}/metrics").status_code == 401


def test_each_key_has_a_rate_limit_of_its_own(tmp_path: Path) -> None:
    path = key_file(tmp_path, f'alice = "{ALICE}"\nbob = "{BOB}"\n')
    with scripted_server(tmp_path, api_keys=str(path), rate_limit="2") as client:

        def statuses(key: str, number: int) -> list[int]:
            sent = (client.post("/v1/messages", json=ask(), headers={"x-api-key": key}) for _ in range(number))
            return [response.status_code for response in sent]

        assert statuses(ALICE, 3) == [200, 200, 429]
        assert statuses(BOB, 2) == [200, 200], "another key from the same address"


def test_a_key_stops_and_starts_working_without_a_restart(tmp_path: Path) -> None:
    path = key_file(tmp_path, f'alice = "{ALICE}"\nbob = "{BOB}"\n')
    with scripted_server(tmp_path, api_keys=str(path)) as client:

        def statuses() -> list[int]:
            keys = (ALICE, BOB, CI)
            return [client.get("/v1/models", headers={"x-api-key": key}).status_code for key in keys]

        assert statuses() == [200, 200, 401]
        path.write_text(f'bob = "{BOB}"\nci = "{CI}"\n', encoding="utf-8")
        assert statuses() == [401, 200, 200]
        path.write_text("bob = ", encoding="utf-8")
        assert statuses() == [401, 200, 200], "a broken file changes nothing"
