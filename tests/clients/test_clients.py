"""Each client of `clients.toml` holds a conversation with the server: an answer, a stream, a tool that runs, the cache.

The model is a tiny one with random weights that is forced to follow a script: prompts, token counts, prompt cache,
streams and the parser of tool calls are real, the words are chosen, and the grammar of tool calls is not used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from perf_gates.loads.servers import serving
from tests.claude_code.loopback_only import LoopbackOnly
from tests.claude_code.recorder import recording
from tests.clients.client import Client, Ended, Session, load_clients, node
from tests.clients.conversation import CLOSE, OPEN, script, write_prompt
from tests.clients.outcome import MAX_REFUSED_REQUESTS, MIN_CACHED_SHARE
from tests.clients.verdict import judged
from tests.support.packages import NotInstalledError
from tests.support.tiny_model import write_tiny_model

CLIENTS = load_clients()
WINDOWS = (8192, 32768, 131072)
SMALLEST: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}

pytestmark = pytest.mark.skipif(not os.environ.get("PENSIEVE_CLIENTS"), reason="only in tox -e clients")


@pytest.fixture(scope="session")
def network() -> Iterator[LoopbackOnly]:
    network = LoopbackOnly()
    yield network
    network.close()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory, network: LoopbackOnly) -> Iterator[Callable[[int], str]]:
    """Starts one server for each window, in the isolated network. Its model is named after the window."""
    models = tmp_path_factory.mktemp("models")
    path = models / "script.toml"
    path.write_text(script({client.slug: client.answer_that_writes() for client in CLIENTS}), encoding="utf-8")
    urls: dict[int, str] = {}
    with ExitStack() as stack:

        def start(window: int) -> str:
            if window not in urls:
                folder = write_tiny_model(models / f"window-{window}", max_position_embeddings=window, **SMALLEST)
                with network.entered():
                    arguments = ("--model", str(folder), "--script", str(path), "--cache-disk", "0")
                    urls[window] = stack.enter_context(serving(*arguments)).url
            return urls[window]

        yield start


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.slug)
def test_the_client_holds_a_conversation(
    client: Client, window: int, server_url: Callable[[int], str], network: LoopbackOnly, tmp_path: Path
) -> None:
    try:
        installation = client.install()
        node()
    except NotInstalledError as error:
        pytest.skip(str(error))
    url = server_url(window)
    with network.entered(), recording(url) as recorder:
        session = Session(
            client, installation, recorder.url, f"window-{window}", tmp_path / "home", tmp_path / "folder"
        )
        session.prepare()
        said = by_program(session) if client.program else by_turns(session)
        outcome = judged(session, window, recorder.exchanges, said)
    (tmp_path / "exchanges.json").write_text(
        json.dumps([[e.path, e.status, e.request_json, e.text, dict(e.usage)] for e in recorder.exchanges], indent=1),
        encoding="utf-8",
    )
    (tmp_path / "said.txt").write_text("\n\n".join(f"{ended}" for ended in said), encoding="utf-8")
    outcome.save()
    assert all(ended.status is not None for ended in said), f"the client did not end: {str(said)[-2500:]}"
    if not outcome.fits:
        assert len(recorder.exchanges) <= MAX_REFUSED_REQUESTS
        assert outcome.note, f"the client shows no reason: {str(said)[-2500:]}"
        return
    assert (outcome.plain, outcome.stream, outcome.tool) == (True, True, True), f"{outcome}\n{str(said)[-2500:]}"
    if client.appends:
        assert outcome.cached_share is not None
        assert outcome.cached_share >= MIN_CACHED_SHARE


def by_program(session: Session) -> list[Ended]:
    return [session.run(session.client.program)]


def by_turns(session: Session) -> list[Ended]:
    turns = [session.run(session.client.first, OPEN)]
    for prompt in (write_prompt(session.client.slug), CLOSE):
        if turns[-1].status is None:
            break
        turns.append(session.run(session.client.next, prompt))
    return turns
