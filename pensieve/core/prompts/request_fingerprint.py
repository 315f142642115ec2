"""What a request's prompt was made of, as hashes, so that a later request can be compared with it (C2).

Source: Anthropic's documentation, "Cache diagnostics".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role, Tool

MAX_TURNS: Final = 4096
"""Turns beyond are not compared, so that a fingerprint has a bounded size."""

_Part = tuple[bytes, int]
"""A hash and the number of bytes that it stands for."""


@dataclass(frozen=True, slots=True)
class RequestFingerprint:
    model: str
    tools: _Part
    system: _Part
    turns: tuple[_Part, ...]
    settings: bytes
    """Everything else that the prompt depends on."""

    @classmethod
    def of(
        cls, model: str, messages: Sequence[ChatMessage], tools: Sequence[Tool], settings: object
    ) -> RequestFingerprint:
        has_system = bool(messages) and messages[0].role is Role.SYSTEM
        turns = messages[1:] if has_system else messages
        return cls(
            model,
            _part(tuple(tools)),
            _part(messages[0].text if has_system else ""),
            tuple(map(_turn, turns[:MAX_TURNS])),
            _part(settings)[0],
        )

    def difference(self, previous: RequestFingerprint, num_tokens: int) -> tuple[str, int] | None:
        """The first part that differs from a previous request of `num_tokens`, and how many of its tokens follow.

        The part is "model", "system", "tools", "messages" or "settings"; None if this request continues the previous
        one. Tokens are estimated by the parts' lengths.
        """
        parts = (previous.tools, previous.system, *previous.turns)
        ends = [0, *accumulate(length for _, length in parts)]
        same_turns = 0
        for one, other in zip(self.turns, previous.turns, strict=False):
            if one != other:
                break
            same_turns += 1
        differences = (
            ("model", self.model != previous.model, 0),
            ("system", self.system != previous.system, 1),
            ("tools", self.tools != previous.tools, 0),
            ("messages", same_turns < len(previous.turns), 2 + same_turns),
            ("settings", self.settings != previous.settings, len(parts)),
        )
        return next(
            (
                (part, round(num_tokens * (ends[-1] - ends[first]) / max(1, ends[-1])))
                for part, differs, first in differences
                if differs
            ),
            None,
        )


def _turn(message: ChatMessage) -> _Part:
    return _part((message.role.value, message.text, message.thinking, message.tool_calls, message.tool_call_id))


def _part(value: object) -> _Part:
    data = repr(value).encode(errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest(), len(data)
