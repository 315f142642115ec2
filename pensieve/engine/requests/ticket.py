"""A ticket: one generation from acceptance to end, shared by the event loop and the thread that owns MLX."""

from __future__ import annotations

import asyncio
import itertools

from pensieve.engine.requests.event_stream import EventStream
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt

_numbers = itertools.count(1)


class Ticket:
    """What is requested (`prompt`, frozen), how far it is (`progress`, written by the MLX thread), and what the client
    gets (`stream`, read on the event loop). Later tickets have higher numbers.
    """

    __slots__ = ("number", "progress", "prompt", "stream")

    def __init__(self, prompt: PreparedPrompt, loop: asyncio.AbstractEventLoop) -> None:
        self.number = next(_numbers)
        self.prompt = prompt
        self.progress = AnswerProgress(prompt)
        self.stream = EventStream(loop)
