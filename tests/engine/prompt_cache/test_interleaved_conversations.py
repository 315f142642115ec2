"""Twenty conversations of ten turns, interleaved, under a limit that forces evictions: no answer changes (C2).

Attention is not invariant to where a prompt is cut: figures differ in their last bits between a prompt that was read
whole and one of which a part was known. In f32, on this model, those bits decide no token, so the answers are compared
token for token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.engine.engine import Engine
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.prompt_cache.test_prompt_cache import SYSTEM, engine_of, events_of, text_of

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
    """The answer to each turn of each conversation, in turn; `history` is given the answers of whoever was first."""
    found: list[tuple[list[str], str]] = []
    for turn in range(TURNS):
        for number, turns in enumerate(history):
            turns.append(f"Question {turn} of guest {number}?")
            events = await events_of(engine, asking(turns))
            found.append((list(turns), text_of(events)))
            turns.append(text_of(events) or "Well.")
            stored = engine._parts.prompt_cache
            assert stored.num_bytes <= LIMIT_BYTES
    return found


def test_no_answer_changes_and_the_limit_holds(tiny_folder: ModelFolder) -> None:
    async def play() -> tuple[list[tuple[list[str], str]], list[str], int]:
        async with engine_of(tiny_folder, memory_bytes=LIMIT_BYTES) as engine:
            kept = await answered(engine, [[] for _ in range(CONVERSATIONS)])
            read = engine.prompt_tokens().read
        async with engine_of(tiny_folder, memory_bytes=0) as engine:
            anew = [text_of(await events_of(engine, asking(turns))) for turns, _ in kept]
        return kept, anew, read

    kept, anew, read = asyncio.run(play())
    assert len(kept) == CONVERSATIONS * TURNS
    assert read > 0
    parted = [(turns, one, other) for (turns, one), other in zip(kept, anew, strict=True) if one != other]
    assert parted == []
