"""The embedded model in a real server, used through the official SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic

from contracts.checks import check_inference_model
from pensieve.engine.engine import Engine
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.resolve import resolve
from tests.support.engines import start_engine

FRANCE: anthropic.types.MessageParam = {"role": "user", "content": "What is the capital of France?"}
GREEDY = {"temperature": 0}  # passed as extra_body, because the SDK no longer has a parameter for it


def test_it_knows_the_capital_of_france(embedded_client: anthropic.Anthropic) -> None:
    with embedded_client.messages.stream(
        model="claude-any", max_tokens=32, messages=[FRANCE], extra_body=GREEDY
    ) as stream:
        assert "Paris" in "".join(stream.text_stream)
        assert stream.get_final_message().stop_reason == "end_turn"


def test_a_stream_equals_the_non_streaming_answer(embedded_client: anthropic.Anthropic) -> None:
    plain = embedded_client.messages.create(model="claude-any", max_tokens=24, messages=[FRANCE], extra_body=GREEDY)
    with embedded_client.messages.stream(
        model="claude-any", max_tokens=24, messages=[FRANCE], extra_body=GREEDY
    ) as stream:
        streamed = stream.get_final_message()
    assert [block.to_dict()["text"] for block in plain.content] == [
        block.to_dict()["text"] for block in streamed.content
    ]
    assert plain.stop_reason == streamed.stop_reason
    assert plain.usage == streamed.usage


def test_the_embedded_model_fulfils_the_contract() -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[Engine]:
        engine = await start_engine(resolve(SMOLLM2.name, progress=ConsoleProgress()))
        try:
            yield engine
        finally:
            await engine.aclose()

    asyncio.run(check_inference_model(make))
