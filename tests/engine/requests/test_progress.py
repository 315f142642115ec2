"""The progress of a running request, as the status page shows it."""

import asyncio
from contextlib import aclosing

import pytest

from contracts.values.measurements import RequestProgress, RequestStage
from pensieve.device.device import device_info
from pensieve.engine.memory.probe import CHUNK_TOKENS
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.support.generate import until, user_request
from tests.support.engines import start_engine


def test_the_progress_of_a_request_goes_through_its_prompt_to_its_answer(
    tiny_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHUNK_TOKENS, device_info().backend, 16)

    async def play() -> None:
        engine = await start_engine(tiny_folder)
        seen: list[RequestProgress] = []

        def has_reached(stage: RequestStage) -> bool:
            seen.extend(engine.progress())
            return any(each.stage is stage for each in seen)

        async with aclosing(engine.generate(user_request("word " * 300, 50))) as events:
            await anext(events)
            await until(lambda: has_reached(RequestStage.ENDED))
        assert engine.progress() == ()
        assert [each.prefilled_tokens for each in seen] == sorted(each.prefilled_tokens for each in seen)
        assert [each.output_tokens for each in seen] == sorted(each.output_tokens for each in seen)
        last = seen[-1]
        assert last.prefilled_tokens == last.prompt_tokens > 300
        assert last.output_tokens == last.max_output_tokens == 50
        assert last.first_token_seconds is not None
        await engine.aclose()

    asyncio.run(play())
