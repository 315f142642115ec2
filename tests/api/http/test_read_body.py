"""Bodies that take long to decode delay no other."""

import asyncio
import threading

from quart import Quart

from pensieve.api.http.connections.incoming_bodies import INCOMING_BODIES, IncomingBodies
from pensieve.api.http.connections.limits import MAX_BODY_BYTES, ConnectionLimits
from pensieve.api.http.connections.request_memory import REQUEST_MEMORY, HeldMemory, RequestMemory
from pensieve.api.http.read_body import MAX_INLINE_BYTES, PDFS, decode_body, is_quick
from pensieve.api.http.schemas.json_schemas import MAX_QUICK_PARTS
from pensieve.api.pdfs.reading import PdfReading


def test_many_slow_bodies_do_not_delay_the_next_one() -> None:
    go_on = threading.Event()

    def decode(body: bytes) -> str:
        if body.startswith(b"slow"):
            go_on.wait(300)
        return "done"

    async def replies() -> list[bytes]:
        app = Quart(__name__)
        memory = RequestMemory(10**9)
        app.extensions |= {PDFS: PdfReading(), INCOMING_BODIES: IncomingBodies(ConnectionLimits())}
        app.extensions[REQUEST_MEMORY] = memory
        app.asgi_app = HeldMemory(app.asgi_app, memory)  # type: ignore[method-assign]
        app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

        @app.post("/")
        async def decoded() -> str:
            return await decode_body(decode)

        padding = b"x" * MAX_INLINE_BYTES
        client = app.test_client()
        slow = [asyncio.create_task(client.post("/", data=b"slow" + padding)) for _ in range(40)]
        await asyncio.sleep(0.1)
        try:
            async with asyncio.timeout(200):
                quick = await client.post("/", data=b"quick" + padding)
        finally:
            go_on.set()
        answers = [*await asyncio.gather(*slow), quick]
        return [await answer.get_data(as_text=False) for answer in answers]

    assert asyncio.run(replies()) == [b"done"] * 41


def test_a_short_body_with_many_schemas_is_not_decoded_on_the_event_loop() -> None:
    """Each takes a tenth of a millisecond to check: 4 KB of them would hold up all streams for a tenth of a second."""
    assert is_quick(b'{"messages": [{"role": "user", "content": "Hello"}], "stream": true}')
    assert not is_quick(b'{"anyOf": [' + b"{}," * MAX_QUICK_PARTS + b"{}]}")
    assert not is_quick(b"[" + b"true," * MAX_QUICK_PARTS + b"true]")
    assert not is_quick(b" " * MAX_INLINE_BYTES + b"[]")
