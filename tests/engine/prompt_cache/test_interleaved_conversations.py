"""Twenty interleaved conversations under a limit that forces evictions have the same answers as without a cache (C2).

Attention is not invariant to where a prompt is cut: the last bits differ between a prompt that was prefilled whole and
one that was partly cached. In f32, on this model, those bits decide no token, so answers are compared token by token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.engine.engine import Engine
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.prompt_cache.test_prompt_cache import SYSTEM, engine_of, events_of, text_of
from tests.support.engines import parts_of

CONVERSATIONS, TURNS, MAX_TOKENS = 20, 10, 4
KV_BYTES_PER_TOKEN = 2 * 2 * 2 * 16 * 4
LIMIT_BYTES = 6 * 400 * KV_BYTES_PER_TOKEN
"""Room for six of the twenty."""

Turns = Sequence[str]


def asking(turns: Turns) -> GenerationRequest:
    roles = [Role.USER, Role.ASSISTANT]
    messages = [ChatMessage(roles[number % 2], text) for number, text in enumerate(turns)]
    return GenerationRequest((SYSTEM, *messages), MAX_TOKENS, Sampling(temperature=0.0))


async def answered(engine: Engine, history: list[list[str]]) -> list[tuple[list[str], str]]:
    """The prompt and answer of each turn of each conversation. The answers are appended to `history`."""
    found: list[tuple[list[str], str]] = []
    for turn in range(TURNS):
        for number, turns in enumerate(history):
            turns.append(f"Question {turn} of guest {number}?")
            events = await events_of(engine, asking(turns))
            found.append((list(turns), text_of(events)))
            turns.append(text_of(events) or "Well.")
            assert parts_of(engine).prompt_cache.num_bytes <= LIMIT_BYTES
    return found


def test_no_answer_changes_and_the_limit_holds(tiny_folder: ModelFolder) -> None:
    async def play() -> tuple[list[tuple[list[str], str]], list[str], int]:
        async with engine_of(tiny_folder, memory_bytes=LIMIT_BYTES) as engine:
            cached = await answered(engine, [[] for _ in range(CONVERSATIONS)])
            read = engine.prompt_tokens().read
        async with engine_of(tiny_folder, memory_bytes=0) as engine:
            uncached = [text_of(await events_of(engine, asking(turns))) for turns, _ in cached]
        return cached, uncached, read

    cached, uncached, read = asyncio.run(play())
    assert len(cached) == CONVERSATIONS * TURNS
    assert read > 0
    different = [(turns, one, other) for (turns, one), other in zip(cached, uncached, strict=True) if one != other]
    assert different == []
