"""What a request's fingerprint says about the first difference from an earlier request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.prompts.request_fingerprint import MAX_TURNS, RequestFingerprint

SYSTEM = ChatMessage(Role.SYSTEM, "s" * 1000)
TURNS = tuple(ChatMessage(role, "t" * 1000) for role in (Role.USER, Role.ASSISTANT, Role.USER))
TOOL = Tool("read", "d" * 1000, "{}")


def fingerprint(*turns: ChatMessage, **changed: Any) -> RequestFingerprint:
    given = {"model": "m", "messages": turns or (SYSTEM, *TURNS), "tools": (TOOL,), "settings": 1, **changed}
    return RequestFingerprint.of(**given)


BEFORE = fingerprint()


def test_a_conversation_that_goes_on_differs_nowhere() -> None:
    assert fingerprint(SYSTEM, *TURNS, *TURNS).difference(BEFORE, 5000) is None
    marked = replace(TURNS[0], cache_ttl_seconds=300)
    assert fingerprint(SYSTEM, marked, *TURNS[1:]).difference(BEFORE, 5000) is None


@pytest.mark.parametrize(
    ("now", "part", "share"),
    [
        (fingerprint(model="n", tools=()), "model", 1.0),
        (fingerprint(replace(SYSTEM, text="x"), *TURNS), "system", 0.8),
        (fingerprint(*TURNS), "system", 0.8),
        (fingerprint(tools=(replace(TOOL, name="write"),)), "tools", 1.0),
        (fingerprint(SYSTEM, TURNS[0], TURNS[0], TURNS[2]), "messages", 0.4),
        (fingerprint(SYSTEM, *TURNS[:2]), "messages", 0.2),
        (fingerprint(settings=2), "settings", 0.0),
    ],
)
def test_the_first_difference_is_found_with_what_follows_it(now: RequestFingerprint, part: str, share: float) -> None:
    found = now.difference(BEFORE, 5000)
    assert found is not None
    assert found[0] == part
    assert found[1] == pytest.approx(5000 * share, abs=150)


def test_a_fingerprint_has_a_bounded_size() -> None:
    longer = fingerprint(*[TURNS[0]] * (MAX_TURNS + 5))
    assert len(longer.turns) == len(fingerprint(*[TURNS[0]] * MAX_TURNS).turns) == 8 * MAX_TURNS
    assert fingerprint(*[TURNS[0]] * (MAX_TURNS + 6)).difference(longer, 5000) == ("settings", 0)
