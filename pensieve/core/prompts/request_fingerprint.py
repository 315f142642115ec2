"""What a request's prompt was made of, as hashes, so that a later request can be compared with it (C2).

Source: Anthropic's documentation, "Cache diagnostics".
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role, Tool

MAX_TURNS: Final = 2048
"""Turns beyond are not compared, so that a fingerprint takes at most 32 kB."""

_HASH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class RequestFingerprint:
    """Hashes of the tools, the system prompt, each turn and everything else; `ends` are the bytes up to the end of each
    of the first `len(ends)` parts: tools, system, turns.
    """

    model: str
    tools: bytes
    system: bytes
    turns: bytes
    settings: bytes
    ends: array[int]
    is_whole: bool

    @classmethod
    def of(
        cls, model: str, messages: Sequence[ChatMessage], tools: Sequence[Tool], settings: object
    ) -> RequestFingerprint:
        has_system = bool(messages) and messages[0].role is Role.SYSTEM
        turns = messages[1:] if has_system else messages
        parts = [
            _bytes(tuple(tools)),
            _bytes(messages[0].text if has_system else ""),
            *map(_turn, turns[:MAX_TURNS]),
        ]
        ends = array("Q", [0])
        for part in parts:
            ends.append(ends[-1] + len(part))
        tools_hash, system, *turn_hashes = map(_hash, parts)
        is_whole = len(turns) <= MAX_TURNS
        return cls(model, tools_hash, system, b"".join(turn_hashes), _hash(_bytes(settings)), ends, is_whole)

    def difference(self, previous: RequestFingerprint, num_tokens: int) -> tuple[str, int] | None:
        """The first part that differs from a previous request of `num_tokens`, and how many of its tokens follow.

        The part is "model", "system", "tools", "messages" or "settings"; None if this request continues the previous
        one. Tokens are estimated by the parts' lengths.
        """
        ends = previous.ends
        same_turns = self._num_same_turns(previous)
        differences = (
            ("model", self.model != previous.model, 0),
            ("system", self.system != previous.system, 1),
            ("tools", self.tools != previous.tools, 0),
            ("messages", same_turns < len(previous.turns) // _HASH_BYTES, 2 + same_turns),
            ("settings", self.settings != previous.settings or not previous.is_whole, len(ends) - 1),
        )
        return next(
            (
                (part, round(num_tokens * (ends[-1] - ends[first]) / max(1, ends[-1])))
                for part, differs, first in differences
                if differs
            ),
            None,
        )

    def _num_same_turns(self, previous: RequestFingerprint) -> int:
        for start in range(0, len(previous.turns), _HASH_BYTES):
            if self.turns[start : start + _HASH_BYTES] != previous.turns[start : start + _HASH_BYTES]:
                return start // _HASH_BYTES
        return len(previous.turns) // _HASH_BYTES


def _turn(message: ChatMessage) -> bytes:
    return _bytes((message.role.value, message.text, message.thinking, message.tool_calls, message.tool_call_id))


def _bytes(value: object) -> bytes:
    return repr(value).encode(errors="surrogatepass")


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_HASH_BYTES).digest()
