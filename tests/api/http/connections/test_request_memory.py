"""The bodies of all requests together have a limit, beyond which a request is refused until others have ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from pensieve.api.http.connections import request_memory
from pensieve.api.http.connections.limits import MAX_BODY_BYTES
from pensieve.api.http.connections.request_memory import COPIES, FREE_BYTES, HeldMemory, RequestMemory, incoming_bytes
from pensieve.core.errors import OverloadedError
from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until

MB = 1000 * 1000
LARGE = 9 * MB


def test_what_requests_hold_is_released_when_they_end_in_any_way() -> None:
    memory = RequestMemory(100 * MB)
    seen: list[int] = []

    async def app(*_: object) -> None:
        memory.hold(MB)
        await asyncio.sleep(0)
        seen.append(memory.num_bytes)
        raise ValueError

    async def run() -> None:
        held = HeldMemory(cast(Any, app), memory)
        calls = (held(cast(Any, {}), cast(Any, None), cast(Any, None)) for _ in range(3))
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(run())
    assert max(seen) == 3 * COPIES * MB
    assert memory.num_bytes == 0


def test_a_large_body_is_refused_beside_others_and_accepted_alone() -> None:
    memory = RequestMemory(4 * MB)

    async def app(*_: object) -> None:
        memory.hold(LARGE)
        with pytest.raises(OverloadedError) as caught:
            memory.hold(LARGE)
        assert caught.value.retry_after_seconds > 0
        memory.hold(FREE_BYTES)

    asyncio.run(HeldMemory(cast(Any, app), memory)(cast(Any, {}), cast(Any, None), cast(Any, None)))
    assert memory.num_bytes == 0


def test_a_large_body_is_a_529_while_another_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_memory, "COPIES", 100)  # one body takes it all
    script = '[[reply]]\ntext = "on "\nrepeat = 100000\nseconds_per_token = 0.02\n'
    large = ask("x" * LARGE)

    with scripted_server(tmp_path, script) as client:

        def count(body: object) -> httpx.Response:
            return client.post("/v1/messages/count_tokens", json=body)

        with client.stream("POST", "/v1/messages", json={**large, "stream": True, "max_tokens": 8000}) as stream:
            assert stream.status_code == 200
            refused = count(large)
            assert (refused.status_code, refused.json()["error"]["type"]) == (529, "overloaded_error")
            assert int(refused.headers["retry-after"]) > 0
            assert count(ask()).status_code == 200
        wait_until(lambda: count(large).status_code == 200)


@pytest.mark.parametrize(
    ("set_aside", "incoming"), [(256 * 10**6, 128 * 10**6), (200 * 10**6, 100 * 10**6), (20 * 10**6, MAX_BODY_BYTES)]
)
def test_half_of_what_is_set_aside_is_for_bodies_that_are_being_received(set_aside: int, incoming: int) -> None:
    """A whole one fits in any case."""
    assert incoming_bytes(set_aside, 4 * MAX_BODY_BYTES) == incoming


def test_bodies_that_are_being_received_have_a_limit_of_their_own() -> None:
    assert incoming_bytes(10**9, 1000) == 1000
