"""What a template is given besides the conversation, and what it raises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

import jinja2

from contracts.values.vocabulary import Thinking, Tool

REFUSALS: Final = (jinja2.TemplateError, ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What a template raises: its own `raise_exception`, or a stumble over a role it does not expect."""

PROBE_TOOL: Final = Tool(
    "look_up",
    "Looks a word up.",
    '{"type": "object", "properties": {"word": {"type": "string", "description": "The word."}}, "required": ["word"]}',
)
"""For conversations that are made up to see what a template does with them."""


class Ending(Enum):
    ANSWER_OPENS = "the words after which the model answers"
    ANSWER_GOES_ON = "the last message, which is the model's own and not finished"
    TURN_ENDS = "the end of the last turn"


@dataclass(frozen=True, slots=True)
class TurnStyle:
    """What templates differ in when they read a turn: parts of content instead of a text, and arguments as JSON text
    instead of an object.
    """

    has_parts: bool = False
    has_argument_text: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """`tools` has no deferred one; `date` is the conversation's."""

    tools: tuple[Tool, ...] = ()
    thinking: Thinking = Thinking()  # noqa: RUF009 - frozen
    date: datetime = datetime.min
    style: TurnStyle = TurnStyle()
