"""The engine recalls its answers as tokens, and counts them as it reads them (C1)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from contracts.values.generation import GenerationEvent, GenerationFinished, TextGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling, StopReason
from pensieve.engine.engine import Engine
from tests.support.engines import MakeEngine, parts_of

HI = ChatMessage(Role.USER, "Hi")


async def answered(engine: Engine, *messages: ChatMessage, stop: str | None = None) -> tuple[str, GenerationFinished]:
    request = GenerationRequest(messages, 12, Sampling(0.0), (stop,) if stop else ())
    events: list[GenerationEvent] = []
    async with aclosing(engine.generate(request)) as stream:
        events += [event async for event in stream]
    end = events[-1]
    assert isinstance(end, GenerationFinished)
    return "".join(event.text for event in events if isinstance(event, TextGenerated)), end


def with_spaces(text: str) -> ChatMessage:
    """The answer with other white space, which is other tokens when it is encoded."""
    return ChatMessage(Role.ASSISTANT, "\n\n".join(text.split(" ")))


def test_a_prompt_contains_the_sampled_tokens_and_counting_agrees_with_usage(make_engine: MakeEngine) -> None:
    async def scenario() -> None:
        async with make_engine() as engine:
            text, end = await answered(engine, HI)
            history = (HI, with_spaces(text), ChatMessage(Role.USER, "And?"))
            bare = (HI, ChatMessage(Role.ASSISTANT, "?"), ChatMessage(Role.USER, "And?"))
            one = await engine.count_tokens(GenerationRequest(bare, 1).prompt)
            counted = await engine.count_tokens(GenerationRequest(history, 1).prompt)
            assert counted == one - 1 + end.usage.output_tokens
            _, later = await answered(engine, *history)
            assert later.usage.input_tokens == counted
            parts_of(engine).answers.close()
            assert await engine.count_tokens(GenerationRequest(history, 1).prompt) != counted

    asyncio.run(scenario())


def test_an_answer_that_a_stop_sequence_ended_is_not_stored(make_engine: MakeEngine) -> None:
    async def scenario() -> None:
        async with make_engine() as engine:
            text, _ = await answered(engine, HI)
            middle = text[len(text) // 2 :][:3]
            _, end = await answered(engine, ChatMessage(Role.USER, "Hi"), stop=middle)
            assert end.stop_reason is StopReason.STOP_SEQUENCE
            assert len(parts_of(engine).answers) == 1

    asyncio.run(scenario())


def test_an_answer_whose_client_disconnected_is_not_stored(make_engine: MakeEngine) -> None:
    async def scenario() -> None:
        async with make_engine() as engine:
            async with aclosing(engine.generate(GenerationRequest((HI,), 200, Sampling(0.0)))) as stream:
                async for event in stream:
                    if isinstance(event, TextGenerated):
                        break
            await answered(engine, ChatMessage(Role.USER, "Next"))
            assert len(parts_of(engine).answers) == 1

    asyncio.run(scenario())
