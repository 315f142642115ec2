"""Threads on which prompts are prepared: short ones never wait for long ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from contracts.values.vocabulary import Prompt

R = TypeVar("R")

LONG_CHARACTERS: Final = 200_000
"""About 50,000 tokens, which take a quarter of a second."""


class PreparationLanes:
    """Used on the event loop."""

    def __init__(self) -> None:
        self._short = ThreadPoolExecutor(1, "pensieve-tokenize")
        self._long = ThreadPoolExecutor(1, "pensieve-tokenize-long")

    async def run(self, work: Callable[[], R], prompt: Prompt | None = None) -> R:
        """Run on the thread for prompts of this length. Work that has not begun is dropped when its client leaves."""
        is_long = prompt is not None and _num_characters(prompt) > LONG_CHARACTERS
        return await asyncio.get_running_loop().run_in_executor(
            self._long if is_long else self._short, lambda: _without_stop_iteration(work)
        )

    def close(self) -> None:
        for lane in (self._short, self._long):
            lane.shutdown()


def _num_characters(prompt: Prompt) -> int:
    calls = (call for message in prompt.messages for call in message.tool_calls)
    return (
        sum(len(message.text) + len(message.thinking) for message in prompt.messages)
        + sum(len(call.arguments) for call in calls)
        + sum(len(tool.description) + len(tool.input_schema) for tool in prompt.tools)
    )


def _without_stop_iteration(work: Callable[[], R]) -> R:
    """A future cannot hold StopIteration, so its client would wait forever."""
    try:
        return work()
    except StopIteration as error:
        raise RuntimeError("the preparation of a prompt raised StopIteration") from error
