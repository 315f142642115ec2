import asyncio
from collections.abc import AsyncGenerator

from contracts.values.vocabulary import MessageEvent
from pensieve.api.anthropic.events import collect_message


def test_collecting_a_stream_gives_the_non_streaming_message() -> None:
    usage = {"input_tokens": 3, "output_tokens": 0}
    stream: list[MessageEvent] = [
        {"type": "message_start", "message": {"id": "msg_1", "content": [], "stop_reason": None, "usage": usage}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]

    async def replay() -> AsyncGenerator[MessageEvent, None]:
        for event in stream:
            yield event

    assert asyncio.run(collect_message(replay())) == {
        "id": "msg_1",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
