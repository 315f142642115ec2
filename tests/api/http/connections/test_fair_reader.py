"""Data that has arrived is handled in small parts, with a turn for other tasks before each."""

from __future__ import annotations

import asyncio

import pytest

from pensieve.api.http.connections.fair_reader import FRAMES_BYTES, PART_BYTES, FairReader


@pytest.mark.parametrize(("is_http_2", "part_bytes"), [(False, PART_BYTES), (True, FRAMES_BYTES)])
def test_others_have_a_turn_before_each_part(part_bytes: int, *, is_http_2: bool) -> None:
    assert asyncio.run(turns_while_reading(10 * PART_BYTES, is_http_2=is_http_2)) >= 10 * PART_BYTES // part_bytes


async def turns_while_reading(num_bytes: int, *, is_http_2: bool) -> int:
    """How often another task runs while what has arrived is read."""
    reader, num_turns = asyncio.StreamReader(), 0
    reader.feed_data(b"a" * num_bytes)
    reader.feed_eof()

    async def count() -> None:
        nonlocal num_turns
        while True:
            num_turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    ends: list[int] = []
    fair, parts = FairReader(reader, lambda: ends.append(len(parts)), lambda: is_http_2), []
    while not fair.at_eof():
        parts.append(await fair.read(2**16))
    counting.cancel()
    assert ends == [len(parts)]
    assert b"".join(parts) == b"a" * num_bytes
    assert max(map(len, parts)) <= (FRAMES_BYTES if is_http_2 else PART_BYTES)
    assert len(parts[0]) <= FRAMES_BYTES, "they may be frames"
    return num_turns


def test_a_connection_that_fails_has_ended() -> None:
    async def read() -> list[str]:
        reader, ends = asyncio.StreamReader(), []
        reader.set_exception(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await FairReader(reader, lambda: ends.append("ended")).read(100)
        return ends

    assert asyncio.run(read()) == ["ended"]
