"""What a chat template may spend: steps of work, and characters that it makes.

Both are counted instead of measured, so that a template that is within its limits on one machine is so on every other.
A step is about the work of one node of the template's syntax tree, a tenth of a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_STEPS: Final = 20_000_000
_STEPS_PER_PAIR_OF_MESSAGES: Final = 500
"""For all renderings of one request. Some templates look through the whole conversation for each of its messages:
Gemma 4's takes 26 steps for each pair in one rendering.
"""
_MAX_STEPS: Final = 1_000_000_000
"""However many messages there are: this takes 40 s. Gemma 4's template reaches it with some 3,000."""
_CHARACTERS: Final = 64_000_000
_COPIES: Final = 100
_COPIES_PER_MESSAGE: Final = 5
"""Of all the conversation's texts, in one rendering. Some templates append to one text, message by message."""
CHARACTERS_PER_STEP: Final = 256
"""Those that a step reads, compares or copies."""
FREE_CHARACTERS: Final = 64
"""A text up to this long takes hardly more memory than an empty one, and the steps limit how many there are."""


class TemplateLimitError(Exception):
    """A chat template exceeds a limit. The message is a sentence without its subject, the template."""


class Budget:
    """What is left for a template."""

    __slots__ = ("characters", "max_characters", "max_steps", "steps")

    def __init__(self, num_messages: int = 0) -> None:
        self.steps = self.max_steps = min(_STEPS + _STEPS_PER_PAIR_OF_MESSAGES * num_messages**2, _MAX_STEPS)
        self.characters = self.max_characters = _CHARACTERS

    def begin(self, messages: Sequence[Any]) -> None:
        """Begin a rendering: the texts of earlier ones have been released."""
        copies = _COPIES + _COPIES_PER_MESSAGE * len(messages)
        self.characters = self.max_characters = _CHARACTERS + copies * _num_characters(messages)

    def step(self, count: int) -> None:
        """
        Raises:
            TemplateLimitError: the work exceeds the limit.
        """
        self.steps -= count
        if self.steps < 0:
            raise TemplateLimitError(f"takes more than {self.max_steps:,} steps")

    def make(self, num_characters: int) -> None:
        """Account for a text before it is made. A list's entry counts as eight characters.

        Raises:
            TemplateLimitError: all texts together exceed the limit.
        """
        self.characters -= num_characters
        if self.characters < 0:
            raise TemplateLimitError(f"makes more than {self.max_characters:,} characters")


_current: ContextVar[Budget | None] = ContextVar("budget of a chat template", default=None)


def budget() -> Budget:
    """The budget of the rendering in progress; outside of one, a new budget for a single operation."""
    return _current.get() or Budget()


@contextmanager
def render_budget(num_messages: int = 0) -> Iterator[Budget]:
    """One budget for all renderings in the block, except in a block that already has one."""
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    new = Budget(num_messages)
    token = _current.set(new)
    try:
        yield new
    finally:
        _current.reset(token)


def _num_characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_num_characters, value.values()))
    return sum(map(_num_characters, value)) if isinstance(value, (list, tuple)) else 1
