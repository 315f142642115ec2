"""Scripts: TOML files of prepared replies for tests of servers and clients (`pensieve serve --script FILE`).

The first reply that matches a request is played. Write tool calls in the Hermes form (`pensieve.core.dialects.hermes`)
and thinking between <think> and </think>; neither is checked against a schema. With `--model M`, the words are forced
through that model (`pensieve.engine.decoding.forced_script`), where the pace and fault settings are not allowed.

    [[reply]]
    when = "count slowly"      # text that the last user message or tool result contains; leave it out to match all
    text = "One two three."    # each word, with the space before it, is one token
    repeat = 1                 # how many times the text is repeated
    seconds_per_token = 0.0
    prefill_seconds = 0.0      # the delay before the first token
    fail_after_tokens = 2      # the engine fails after this many tokens
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from contracts.values.vocabulary import GenerationRequest, Role
from pensieve.core.errors import ModelLoadingError


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    when: str = ""
    text: str = "Hello from the script."
    repeat: int = 1
    seconds_per_token: float = 0.0
    prefill_seconds: float = 0.0
    fail_after_tokens: int | None = None

    def matches(self, request: GenerationRequest) -> bool:
        newest_first = reversed(request.messages)
        last = next((message.text for message in newest_first if message.role in (Role.USER, Role.TOOL)), "")
        return self.when in last


@dataclass(frozen=True, slots=True)
class Script:
    replies: tuple[ScriptedReply, ...] = (ScriptedReply(),)

    def reply_to(self, request: GenerationRequest) -> ScriptedReply:
        return next((reply for reply in self.replies if reply.matches(request)), ScriptedReply())


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        ModelLoadingError: the file is missing, is not TOML, or has an unknown key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelLoadingError(str(path), str(error)) from error
    return Script(tuple(_reply(path, number, table) for number, table in enumerate(document.get("reply", []), 1)))


def _reply(path: Path, number: int, table: dict[str, Any]) -> ScriptedReply:
    valid_keys = {field.name for field in fields(ScriptedReply)}
    unknown = sorted(set(table) - valid_keys)
    if unknown:
        raise ModelLoadingError(
            str(path), f"[[reply]] number {number} has unknown keys {unknown}; valid keys: {sorted(valid_keys)}"
        )
    return ScriptedReply(**table)
