"""Scripts: TOML files of prepared replies for tests of servers and clients (`pensieve serve --script FILE`).

The first reply that matches a request is played. Write tool calls in the Hermes form (`pensieve.core.dialects.hermes`)
and thinking between <think> and </think>; neither is checked against a schema. With `--model M`, the words are forced
through that model (`pensieve.engine.decoding.forced_script`), where the pace and fault settings are not allowed.

    [server]
    ping_seconds = 5.0         # silence of a stream before a ping
    body_seconds = 60.0        # how long a client may pause within a request's body

    [[reply]]
    when = "count slowly"      # text that the last user message or tool result contains; leave it out to match all
    text = "One two three."    # each word, with the space before it, is one token
    repeat = 1                 # how many times the text is repeated
    seconds_per_token = 0.0
    prefill_seconds = 0.0      # the delay before the first token
    fail_after_tokens = 2      # the engine fails after this many tokens
    refuse_after_seconds = 2.0 # the request is refused after this time, as one that is wrong,
    retry_after_seconds = 9    # or as one for which there is no room until then
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pydantic
from pydantic.dataclasses import dataclass as checked_dataclass

from contracts.values.vocabulary import GenerationRequest, Role
from pensieve.core.errors import ModelLoadingError

_EXACT: Final = pydantic.ConfigDict(extra="forbid")


@checked_dataclass(frozen=True, slots=True, config=_EXACT)
class ScriptedReply:
    when: str = ""
    text: str = "Hello from the script."
    repeat: int = 1
    seconds_per_token: float = 0.0
    prefill_seconds: float = 0.0
    fail_after_tokens: int | None = None
    refuse_after_seconds: float | None = None
    retry_after_seconds: int | None = None

    def matches(self, request: GenerationRequest) -> bool:
        newest_first = reversed(request.messages)
        last = next((message.text for message in newest_first if message.role in (Role.USER, Role.TOOL)), "")
        return self.when in last


@checked_dataclass(frozen=True, slots=True, config=_EXACT)
class ScriptedServer:
    """How long the server that plays the script waits, where that is not left to its defaults."""

    ping_seconds: float | None = None
    body_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Script:
    replies: tuple[ScriptedReply, ...] = (ScriptedReply(),)
    server: ScriptedServer = field(default_factory=ScriptedServer)

    def reply_to(self, request: GenerationRequest) -> ScriptedReply:
        return next((reply for reply in self.replies if reply.matches(request)), ScriptedReply())


_REPLIES: Final = pydantic.TypeAdapter(tuple[ScriptedReply, ...])
_SERVER: Final = pydantic.TypeAdapter(ScriptedServer)


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        ModelLoadingError: the file is missing, is not TOML, or has an unknown key or a value of another type.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        replies = _REPLIES.validate_python(document.get("reply", []))
        return Script(replies, _SERVER.validate_python(document.get("server", {})))
    except pydantic.ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise ModelLoadingError(str(path), f"{place or wrong['input']!s:.200}: {wrong['msg']}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadingError(str(path), str(error)) from error
