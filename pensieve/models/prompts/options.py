"""The options of a rendering, and the errors that a chat template may raise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

import jinja2

from contracts.values.vocabulary import Thinking, Tool

TEMPLATE_ERRORS: Final = (jinja2.TemplateError, ValueError, TypeError, KeyError, IndexError, AttributeError)
"""A template raises these through its own `raise_exception`, or by accident on a role that it does not expect."""

PROBE_TOOL: Final = Tool(
    "look_up",
    "Looks a word up.",
    '{"type": "object", "properties": {"word": {"type": "string", "description": "The word."}}, "required": ["word"]}',
)
"""Used in the conversations that probe what a template does."""


class PromptEnding(Enum):
    ANSWER_OPENS = "what opens the model's answer"
    ANSWER_CONTINUES = "the unfinished answer that is the last message"
    TURN_ENDS = "the end of the last turn"


@dataclass(frozen=True, slots=True)
class TurnStyle:
    """How a template reads a turn: content as a string or as parts, call arguments as an object or as JSON text."""

    has_parts: bool = False
    has_argument_text: bool = False


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """`tools` has no deferred tools. `date` is when the conversation began."""

    tools: tuple[Tool, ...] = ()
    thinking: Thinking = Thinking()  # noqa: RUF009 - frozen
    date: datetime = datetime.min
    style: TurnStyle = TurnStyle()
