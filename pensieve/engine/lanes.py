"""Threads on which prompts are prepared: short ones never wait for long ones, nor a client for all of another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from contracts.values.vocabulary import Prompt
from pensieve.engine.fair_turns import FairTurns
from pensieve.models.prompts.encoding.abandoned_work import ends_when

R = TypeVar("R")

LONG_CHARACTERS: Final = 200_000
"""About 50,000 tokens, which take a quarter of a second."""
CHARACTERS_OF_MESSAGE: Final = 100
"""What a message costs besides its text, as text that takes as long."""


class PreparationLanes:
    """Used on the event loop."""

    def __init__(self) -> None:
        self._short = _Lane("pensieve-tokenize")
        self._long = _Lane("pensieve-tokenize-long")

    async def run(self, work: Callable[[], R], prompt: Prompt | None = None) -> R:
        """Run on the thread for prompts of this length.

        When its client leaves, work that has not begun is dropped, and other work ends at its next step.
        """
        is_long = prompt is not None and _is_long(prompt)
        client = prompt.client.name if prompt is not None else ""
        return await (self._long if is_long else self._short).run(work, client)

    def close(self) -> None:
        self._short.close()
        self._long.close()


class _Lane:
    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._turns = FairTurns()

    async def run(self, work: Callable[[], R], client: str) -> R:
        is_abandoned = threading.Event()
        async with self._turns.turn(client):
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._thread, lambda: _run(work, is_abandoned.is_set)
                )
            finally:
                is_abandoned.set()

    def close(self) -> None:
        self._thread.shutdown()


def _is_long(prompt: Prompt) -> bool:
    """Stops counting where the answer is certain: this runs on the event loop."""
    num_characters = 0
    for length in text_lengths(prompt):
        num_characters += length
        if num_characters > LONG_CHARACTERS:
            return True
    return False


def text_lengths(prompt: Prompt) -> Iterable[int]:
    for message in prompt.messages:
        yield CHARACTERS_OF_MESSAGE + len(message.text) + len(message.thinking)
        yield from (CHARACTERS_OF_MESSAGE + len(call.arguments) for call in message.tool_calls)
    for tool in prompt.tools:
        yield len(tool.description) + len(tool.input_schema)


def _run(work: Callable[[], R], is_abandoned: Callable[[], bool]) -> R:
    """A future cannot hold StopIteration, so its client would wait forever."""
    try:
        with ends_when(is_abandoned):
            return work()
    except StopIteration as error:
        raise RuntimeError("the preparation of a prompt raised StopIteration") from error
