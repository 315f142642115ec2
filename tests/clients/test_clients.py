"""Each client of `clients.toml` holds a conversation: an answer, a stream, a tool that runs, the prompt cache (W6, C2).

The model is a tiny one with random weights that is forced to follow a script: prompts, token counts, prompt cache,
streams and the parser of tool calls are real, the words are chosen, and the grammar of tool calls is not used.
"""

from __future__ import annotations

import os

import pytest

from tests.clients.client import Client, Ended, Session, load_clients
from tests.clients.conftest import Start
from tests.clients.conversation import CLOSE, OPEN, WINDOWS, write_prompt
from tests.clients.outcome import MAX_REFUSED_REQUESTS, MIN_CACHED_SHARE
from tests.clients.verdict import judged, shown_reason

CLIENTS = load_clients()
COMMANDS = [client for client in CLIENTS if client.first]

pytestmark = [
    pytest.mark.skipif(not os.environ.get("PENSIEVE_CLIENTS"), reason="only in tox -e clients"),
    pytest.mark.timeout(1800),
]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.slug)
def test_the_client_holds_a_conversation(client: Client, window: int, start: Start) -> None:
    session, recorder = start(client, window)
    runs = [session.run(client.program)] if client.program else by_turns(session)
    outcome = judged(session, window, recorder.exchanges, runs)
    outcome.save()
    assert_ended(runs)
    if not outcome.fits:
        assert len(recorder.exchanges) <= MAX_REFUSED_REQUESTS
        assert outcome.note, f"the client shows no reason: {str(runs)[-2500:]}"
        return
    assert (outcome.plain, outcome.stream, outcome.tool) == (True, True, True), f"{outcome}\n{str(runs)[-2500:]}"
    if client.appends:
        assert outcome.cached_share is not None
        assert outcome.cached_share >= MIN_CACHED_SHARE


@pytest.mark.parametrize("client", COMMANDS, ids=lambda client: client.slug)
def test_a_prompt_beyond_the_window_ends_with_a_reason(client: Client, start: Start) -> None:
    session, recorder = start(client, WINDOWS[0])
    ended = session.run(client.first, "Read this. " + " ".join(f"word-{number}" for number in range(4000)))
    assert_ended([ended])
    assert "prompt is too long" in recorder.exchanges[-1].text
    assert len(recorder.exchanges) <= MAX_REFUSED_REQUESTS
    assert shown_reason([ended]), f"the client shows no reason: {str(ended)[-2500:]}"


def by_turns(session: Session) -> list[Ended]:
    turns = [session.run(session.client.first, OPEN)]
    for prompt in (write_prompt(session.client.slug), CLOSE):
        if turns[-1].status is None:
            break
        turns.append(session.run(session.client.next, prompt))
    return turns


def assert_ended(runs: list[Ended]) -> None:
    assert all(ended.status is not None for ended in runs), f"the client did not end: {str(runs)[-2500:]}"
