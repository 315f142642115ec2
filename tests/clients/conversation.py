"""The conversation that every client has with the server: its prompts, and the script of the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

WINDOWS: Final = (8192, 32768, 131072)

OPEN: Final = "When does it open?"
OPENS: Final = "It opens at seven."
CLOSE: Final = "And when does it close?"
CLOSES: Final = "It closes at nine."
WRITTEN: Final = "The log is written."
RESULT: Final = "The log says seven."
LOG: Final = "Opened at seven."
SLOWLY: Final = "Tell it word by word."

SHELL_COMMAND: Final = f"echo '{LOG}' > log.txt; echo '{RESULT}'"


def handbook(name: str) -> str:
    """A system prompt of about 1,900 tokens for clients that have none of their own, different for each name."""
    rules = (
        f"Rule {number}: boat {number} lies at pier {number % 7}, and leaves when the tide of day {number} allows it."
        for number in range(60)
    )
    return f"You answer questions about the harbour of {name}. {' '.join(rules)}"


def write_prompt(name: str) -> str:
    return f"Write the log of {name}."


def script(answers: Mapping[str, str]) -> str:
    """A script with these answers to `write_prompt` of each name."""
    replies: list[tuple[str, str]] = [(RESULT, WRITTEN), (CLOSE, CLOSES), (SLOWLY, " ".join([OPENS] * 10))]
    replies += [(write_prompt(name), answer) for name, answer in answers.items()]
    replies += [(OPEN, OPENS), ("", "There is nothing to say.")]
    return "\n".join(_reply(when, text) for when, text in replies)


def call(tool: str, arguments: Mapping[str, Any]) -> str:
    """An answer that calls a tool, as the tiny model's dialect writes it."""
    return f"I will write it.\n<tool_call>\n{json.dumps({'name': tool, 'arguments': arguments})}\n</tool_call>"


def _reply(when: str, text: str) -> str:
    return f"[[reply]]\nwhen = {json.dumps(when)}\ntext = {json.dumps(text)}\n"
