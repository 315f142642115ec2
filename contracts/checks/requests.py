"""`check_request_handler`: any RequestHandler, put through its clauses and these promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

from contracts.checked import checked
from contracts.checks.promises import expect, expect_refusal_async, promise, promised_within
from contracts.checks.questions import QUESTIONS, Questions, asked
from contracts.protocols.requests import RequestHandler
from contracts.values.vocabulary import ErrorKind, GenerationRequest

ANSWER = promise("RH-20", "a valid request is answered to its message_stop, within max_tokens")
MODEL = promise("RH-21", "the model's name is echoed as the client wrote it")
REFUSAL = promise("RH-22", "what cannot be answered is refused before the first event, as VALIDATION")
PLACE = promise("RH-23", "asking whether there is a place takes none")
SAME = promise("RH-24", "at temperature 0 the same request gives the same text, in a message of its own id")
TOGETHER = promise("RH-25", "streams that run at once give what each gives alone")
CLOSED = promise("RH-26", "a stream that is closed gives its place to the next")
FAILURE = promise("RH-27", "a failure after the first event is the stream's last event, of type error")

HANDLER_PROMISES = (ANSWER, MODEL, REFUSAL, PLACE, SAME, TOGETHER, CLOSED, FAILURE)

MODEL_NAME = "Claude-as-the-client/wrote it"
NUM_ASKED = 100
NUM_STREAMS_LEFT = 3


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
    questions: Questions = QUESTIONS,
) -> None:
    """Put a handler that `make` gives through the contract of RequestHandler; it should have nothing else to do.

    RH-27 needs `make_failing`: a handler whose model fails in mid-answer, after some text.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    async with make() as implementation:
        handler = checked(RequestHandler, implementation)
        await _check_place(handler, questions)
        await _check_refusal(handler, questions)
        whole = await _check_answer(handler, questions)
        await _check_together(handler, questions, whole)
        await _check_closed(handler, questions)
    if make_failing is not None:
        async with make_failing() as failing:
            await _check_failure(checked(RequestHandler, failing), questions)


async def _check_place(handler: RequestHandler, questions: Questions) -> None:
    async with promised_within(PLACE, questions.seconds):
        for _ in range(NUM_ASKED):
            expect(PLACE, await handler.can_handle_request(questions.request), "an idle handler has no place")


async def _check_refusal(handler: RequestHandler, questions: Questions) -> None:
    """An error event in its place would cost the client its status."""
    for refused in (GenerationRequest((), 1), asked(questions.prompt, 0)):
        async with promised_within(REFUSAL, questions.seconds):
            await expect_refusal_async(REFUSAL, ErrorKind.VALIDATION, _first_event, handler, refused)


async def _first_event(handler: RequestHandler, request: GenerationRequest) -> None:
    async with aclosing(handler.handle_request(request, MODEL_NAME)) as events:
        await anext(events)


async def _check_answer(handler: RequestHandler, questions: Questions) -> _Message:
    """The first answer may warm a cache; warm ones are compared."""
    async with promised_within(ANSWER, questions.seconds):
        first = await _message(handler, questions.request)
        expect(ANSWER, first.last_event == "message_stop", f"it ended with {first.last_event}")
        expect(ANSWER, first.output_tokens <= questions.request.max_tokens, "it is longer")
    expect(MODEL, first.model == MODEL_NAME)
    async with promised_within(SAME, questions.seconds):
        second, third = [await _message(handler, questions.request) for _ in range(2)]
        expect(SAME, second.text == third.text, "another text")
        expect(SAME, len({first.id, second.id, third.id}) == 3, "two messages share an id")
    return third


async def _check_together(handler: RequestHandler, questions: Questions, whole: _Message) -> None:
    async with promised_within(TOGETHER, questions.seconds):
        await _message(handler, questions.other_request)
        other = await _message(handler, questions.other_request)
        both = await asyncio.gather(_message(handler, questions.request), _message(handler, questions.other_request))
        expect(TOGETHER, [each.text for each in both] == [whole.text, other.text])


async def _check_closed(handler: RequestHandler, questions: Questions) -> None:
    async with promised_within(CLOSED, questions.seconds):
        for _ in range(NUM_STREAMS_LEFT):
            async with aclosing(handler.handle_request(questions.request, MODEL_NAME)) as events:
                async for event in events:
                    if event["type"] == "content_block_delta":
                        break
        last = await _message(handler, questions.request)
        expect(CLOSED, last.last_event == "message_stop")


async def _check_failure(handler: RequestHandler, questions: Questions) -> None:
    async with promised_within(FAILURE, questions.seconds):
        message = await _message(handler, questions.request)
        expect(FAILURE, message.last_event == "error", f"it ended with {message.last_event}")


async def _message(handler: RequestHandler, request: GenerationRequest) -> _Message:
    """The handler is `checked`, so every event has its form; what is left is to add them up."""
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
