"""`check_request_handler`: checks any RequestHandler against its clauses and the promises below."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

from contracts.checked import checked
from contracts.checks.promises import expect, expect_refusal_async, promise, promised_within
from contracts.checks.sample_requests import SAMPLES, SampleRequests, request_for
from contracts.protocols.requests import RequestHandler
from contracts.values.vocabulary import ErrorKind, GenerationRequest

ANSWER = promise("RH-20", "a valid request is answered up to its message_stop, within max_tokens")
MODEL = promise("RH-21", "the model's name is echoed exactly as the client wrote it")
REFUSAL = promise("RH-22", "an invalid request is refused as VALIDATION before the first event")
PLACE = promise("RH-23", "checking whether a request would be accepted reserves nothing")
SAME = promise("RH-24", "at temperature 0 the same request gets the same text, in a message with its own id")
TOGETHER = promise("RH-25", "concurrent streams give the same answers as each stream alone")
CLOSED = promise("RH-26", "a closed stream makes room for the next request")
FAILURE = promise("RH-27", "a failure after the first event is the stream's last event, of type error")

HANDLER_PROMISES = (ANSWER, MODEL, REFUSAL, PLACE, SAME, TOGETHER, CLOSED, FAILURE)

MODEL_NAME = "Claude-as-the-client/wrote it"
NUM_CAPACITY_CHECKS = 100
NUM_CLOSED_STREAMS = 3


@dataclass(frozen=True, slots=True)
class _Message:
    id: str
    model: str
    text: str
    output_tokens: int
    last_event: str


async def check_request_handler(
    make: Callable[[], AbstractAsyncContextManager[RequestHandler]],
    *,
    make_failing: Callable[[], AbstractAsyncContextManager[RequestHandler]] | None = None,
    samples: SampleRequests = SAMPLES,
) -> None:
    """Check a handler from `make` against the contract of RequestHandler; it should be idle.

    RH-27 needs `make_failing`: a handler whose model fails in the middle of an answer, after some text.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    async with make() as implementation:
        handler = checked(RequestHandler, implementation)
        await _check_place(handler, samples)
        await _check_refusal(handler, samples)
        whole = await _check_answer(handler, samples)
        await _check_together(handler, samples, whole)
        await _check_closed(handler, samples)
    if make_failing is not None:
        async with make_failing() as failing:
            await _check_failure(checked(RequestHandler, failing), samples)


async def _check_place(handler: RequestHandler, samples: SampleRequests) -> None:
    async with promised_within(PLACE, samples.seconds):
        for _ in range(NUM_CAPACITY_CHECKS):
            expect(PLACE, await handler.can_handle_request(samples.request), "an idle handler rejects a request")


async def _check_refusal(handler: RequestHandler, samples: SampleRequests) -> None:
    """An error event instead would hide the status from the client."""
    for refused in (GenerationRequest((), 1), request_for(samples.prompt, -1)):
        async with promised_within(REFUSAL, samples.seconds):
            await expect_refusal_async(REFUSAL, ErrorKind.VALIDATION, _first_event, handler, refused)


async def _first_event(handler: RequestHandler, request: GenerationRequest) -> None:
    async with aclosing(handler.handle_request(request, MODEL_NAME)) as events:
        await anext(events)


async def _check_answer(handler: RequestHandler, samples: SampleRequests) -> _Message:
    """The first answer may fill a cache, so warm answers are compared."""
    async with promised_within(ANSWER, samples.seconds):
        first = await _message(handler, samples.request)
        expect(ANSWER, first.last_event == "message_stop", f"it ended with {first.last_event}")
        expect(ANSWER, first.output_tokens <= samples.request.max_tokens, "the answer is longer")
    expect(MODEL, first.model == MODEL_NAME)
    async with promised_within(SAME, samples.seconds):
        second, third = [await _message(handler, samples.request) for _ in range(2)]
        expect(SAME, second.text == third.text, "the texts differ")
        expect(SAME, len({first.id, second.id, third.id}) == 3, "two messages share an id")
    return third


async def _check_together(handler: RequestHandler, samples: SampleRequests, whole: _Message) -> None:
    async with promised_within(TOGETHER, samples.seconds):
        await _message(handler, samples.other_request)
        other = await _message(handler, samples.other_request)
        both = await asyncio.gather(_message(handler, samples.request), _message(handler, samples.other_request))
        expect(TOGETHER, [each.text for each in both] == [whole.text, other.text])


async def _check_closed(handler: RequestHandler, samples: SampleRequests) -> None:
    async with promised_within(CLOSED, samples.seconds):
        for _ in range(NUM_CLOSED_STREAMS):
            async with aclosing(handler.handle_request(samples.request, MODEL_NAME)) as events:
                async for event in events:
                    if event["type"] == "content_block_delta":
                        break
        last = await _message(handler, samples.request)
        expect(CLOSED, last.last_event == "message_stop")


async def _check_failure(handler: RequestHandler, samples: SampleRequests) -> None:
    async with promised_within(FAILURE, samples.seconds):
        message = await _message(handler, samples.request)
        expect(FAILURE, message.last_event == "error", f"it ended with {message.last_event}")


async def _message(handler: RequestHandler, request: GenerationRequest) -> _Message:
    """The handler is `checked`, so every event is well formed and only needs to be accumulated."""
    start: dict[str, Any] = {}
    text: list[str] = []
    output_tokens = 0
    last_event = "nothing"
    async with aclosing(handler.handle_request(request, MODEL_NAME)) as events:
        async for each in events:
            event: dict[str, Any] = each
            last_event = event["type"]
            if last_event == "message_start":
                start = event["message"]
            elif last_event == "content_block_delta":
                text.append(event["delta"].get("text", ""))
            elif last_event == "message_delta":
                output_tokens = event["usage"]["output_tokens"]
    return _Message(start.get("id", ""), start.get("model", ""), "".join(text), output_tokens, last_event)
