"""Texts and lists of many megabytes: what cannot fit is refused by its size, with its own status, however late."""

from __future__ import annotations

import pytest

from tests.chaos.arena import IS_WHOLE, Arena, ask

MB = 1000 * 1000
WORDS = "The keeper of the lighthouse wrote down every ship that passed. "
MAX_LOG_LINES = 5


def megabytes(number: int) -> str:
    return WORDS * (number * MB // len(WORDS))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("number", [3, 31])
def test_a_text_that_cannot_fit_is_refused(scene: Arena, number: int, *, stream: bool) -> None:
    resident = scene.server.resident_bytes()
    with scene.attacked(f"{number} MB of text"):
        replies = scene.post_as_sdks(ask(megabytes(number), stream=stream), 3 if IS_WHOLE else 1)
    assert {reply.status for reply in replies} == {400}
    assert all("prompt is too long" in reply.message for reply in replies), replies[0].message
    assert scene.server.resident_bytes() - resident < 20 * number * MB


def test_private_use_characters_are_counted_and_answered(scene: Arena) -> None:
    with scene.attacked("private-use characters"):
        reply = scene.post(ask("\ue000\ue123\uf8ff" * 300))
    assert reply.status == 200


def test_a_hundred_thousand_unknown_blocks_are_no_flood_of_log_lines(scene: Arena) -> None:
    blocks = [{"type": "hologram", "number": number} for number in range(100_000)]
    before = len(scene.log_lines())
    with scene.attacked("100,000 unknown blocks"):
        reply = scene.post(ask(messages=[{"role": "user", "content": blocks}]))
    assert reply.status == 400, reply.body[:300]
    assert len(scene.log_lines()) - before <= MAX_LOG_LINES
