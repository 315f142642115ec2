"""A request that is refused late gets the same status and headers as one that is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from contracts.values.generation import GenerationEvent, GenerationStarted
from contracts.values.vocabulary import GenerationRequest
from pensieve.cli.wiring import scripted_components
from pensieve.core.errors import GenerationError, OverloadedError, PensieveError, PromptTooLongError
from pensieve.engine.scripted.engine import ScriptedEngine
from pensieve.engine.scripted.script import Script
from tests.support.running_server import ask, running_server, settings_for, with_quick_pings

PATHS = ("/v1/messages", "/v1/chat/completions", "/v1/completions")
OVERLOADED = OverloadedError("the server is full", retry_after_seconds=7)
TOO_LONG = PromptTooLongError(9, 8)


@contextmanager
def refusing(folder: Path, error: PensieveError, *, starts: bool) -> Iterator[httpx.Client]:
    """A client of a server that refuses every request with `error` after many ping intervals, and that accepts it
    before if `starts`.
    """

    class Refusing(ScriptedEngine):
        async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:  # noqa: ARG002
            if starts:
                yield GenerationStarted(1)
            await asyncio.sleep(0.35)
            raise error

    path = folder / "script.toml"
    path.write_text("", encoding="utf-8")
    components = scripted_components(path)

    async def start(source: str) -> ScriptedEngine:
        return Refusing(Script(), components.memory, components.monitor)

    with (
        running_server(settings_for(), replace(components, start=start)) as url,
        httpx.Client(base_url=url, timeout=600) as client,
    ):
        yield client


def body(path: str, *, stream: bool) -> dict[str, object]:
    fields = {**ask(stream=stream)}
    if path == "/v1/completions":
        fields["prompt"] = "Hello"
        del fields["messages"]
    return fields


def test_a_late_refusal_of_a_stream_has_its_own_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_quick_pings(monkeypatch)
    with refusing(tmp_path, OVERLOADED, starts=False) as client:
        for path in PATHS:
            response = client.post(path, json=body(path, stream=True))
            assert (response.status_code, response.headers.get("retry-after")) == (529, "7"), path
            assert "error" in response.json()


@pytest.mark.parametrize(
    ("error", "status"), [(OVERLOADED, 529), (TOO_LONG, 400), (GenerationError("the model failed"), 500)]
)
def test_a_whole_answer_that_fails_after_its_start_has_the_status_of_its_error(
    tmp_path: Path, error: PensieveError, status: int
) -> None:
    with refusing(tmp_path, error, starts=True) as client:
        for path in PATHS:
            response = client.post(path, json=body(path, stream=False))
            assert response.status_code == status, path
            assert response.headers.get("retry-after") == ("7" if status == 529 else None)
            assert response.headers.get("x-should-retry") == ("false" if status == 400 else None)
            assert response.json()["error"]["message"] == str(error)
