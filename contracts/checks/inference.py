"""`check_inference_model`: any InferenceModel, put through its clauses and these promises.

Its generations are few and short, so that a real model on a slow machine can be put through it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

from contracts.checked import checked
from contracts.checks.promises import expect, expect_refusal_async, promise, promised, promised_within, provoke, settles
from contracts.checks.questions import GREEDY, QUESTIONS, Answer, Questions, answer, asked, begin_and_leave
from contracts.protocols.inference import InferenceModel
from contracts.values.vocabulary import ErrorKind, GenerationRequest, ModelFeature, Prompt, Sampling

IDENTITY = promise("IM-20", "a model has an id, and a window of at least one token")
EDGES = promise("IM-21", "a valid request is answered, at the edges of every range as well")
COUNT = promise("IM-22", "count_tokens gives the input_tokens that generating from the same messages reports")
SAME = promise("IM-23", "at temperature 0 the same request gives the same answer")
STOP = promise("IM-24", "a stop sequence ends the text where it would have begun")
TOGETHER = promise("IM-25", "streams that run at once give what each gives alone")
WINDOW = promise("IM-26", "what does not fit the window is refused as VALIDATION before the first event")
CLOSED = promise("IM-27", "a stream that is closed gives its KV cache back, and its place to the next")
CANCELLED = promise("IM-28", "a cancellation passes through a stream, and leaves a model that answers")
END = promise("IM-29", "aclose ends every stream that is open; closing again does nothing")

MODEL_PROMISES = (IDENTITY, EDGES, COUNT, SAME, STOP, TOGETHER, WINDOW, CLOSED, CANCELLED, END)

NUM_STREAMS_LEFT = 3
"""Streams closed in a row: one that leaks could hide behind what a finished one had not yet given back."""


async def check_inference_model(
    make: Callable[[], AbstractAsyncContextManager[InferenceModel]], *, questions: Questions = QUESTIONS
) -> None:
    """Put one model that `make` gives through the contract of InferenceModel; it is closed at the end.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    async with make() as implementation:
        model = checked(InferenceModel, implementation)
        await _check_figures(model, questions)
        await _check_refusals(model, questions)
        await _check_edges(model, questions)
        whole = await _check_answers(model, questions)
        await _check_stop(model, questions, whole)
        await _check_together(model, questions, whole)
        await _check_window(model, questions)
        await _check_closed(model, questions)
        await _check_cancelled(model, questions)
        await _check_end(model, questions)


async def _check_figures(model: InferenceModel, questions: Questions) -> None:
    with promised(IDENTITY):
        expect(IDENTITY, bool(model.info.id) and model.info.context_window_tokens >= 1)
    await model.memory_usage()
    for feature in ModelFeature:
        await model.supports_feature(feature)
    await model.count_tokens(questions.request.prompt)


async def _check_refusals(model: InferenceModel, questions: Questions) -> None:
    """The clauses IM-2 and IM-4 to IM-7 judge what comes back."""
    await provoke(model.count_tokens, Prompt(()))
    bad_samplings = (
        Sampling(temperature=-0.1),
        Sampling(temperature=2.1),
        Sampling(temperature=math.nan),
        Sampling(top_p=-0.1),
        Sampling(top_p=1.1),
        Sampling(top_p=math.nan),
        Sampling(top_k=-1),
        Sampling(min_p=-0.1),
        Sampling(min_p=1.1),
        Sampling(min_p=math.nan),
        Sampling(repetition_penalty=0.0),
        Sampling(repetition_penalty=10.1),
        Sampling(repetition_penalty=math.nan),
    )
    refused = [asked(questions.prompt, 1, sampling=sampling) for sampling in bad_samplings]
    refused += [asked(questions.prompt, 0), asked(questions.prompt, -1), GenerationRequest((), 1, GREEDY)]
    for request in refused:
        await provoke(answer, model, request)


async def _check_edges(model: InferenceModel, questions: Questions) -> None:
    edges = (
        GREEDY,
        Sampling(),
        Sampling(temperature=2.0, top_p=1.0, top_k=1, min_p=1.0, repetition_penalty=10.0),
        Sampling(top_p=0.0, top_k=0, min_p=0.0, repetition_penalty=0.001),
    )
    for sampling in edges:
        async with promised_within(EDGES, questions.seconds):
            await answer(model, asked(questions.prompt, 1, sampling=sampling))


async def _check_answers(model: InferenceModel, questions: Questions) -> Answer:
    """The first answer may warm a cache, and cold and warm may differ in the last digit: warm ones are compared."""
    async with promised_within(COUNT, questions.seconds):
        cold = await answer(model, questions.request)
        expect(COUNT, await model.count_tokens(questions.request.prompt) == cold.input_tokens_at_start)
    async with promised_within(SAME, questions.seconds):
        whole = await answer(model, questions.request)
        expect(SAME, await answer(model, questions.request) == whole)
    return whole


async def _check_stop(model: InferenceModel, questions: Questions, whole: Answer) -> None:
    """The sequence is cut from the middle of what the model says anyway."""
    stop = whole.text[len(whole.text) // 2 :][:5]
    if not stop.strip():
        return
    async with promised_within(STOP, questions.seconds):
        cut = await answer(model, asked(questions.prompt, questions.max_tokens, stop_sequences=(stop,)))
        expect(STOP, cut.finished.stop_sequence == stop, "it was not the reason")
        expect(STOP, cut.text == whole.text[: whole.text.find(stop)], "the text ends elsewhere")


async def _check_together(model: InferenceModel, questions: Questions, whole: Answer) -> None:
    async with promised_within(TOGETHER, questions.seconds):
        await answer(model, questions.other_request)
        other = await answer(model, questions.other_request)
        both = await asyncio.gather(answer(model, questions.request), answer(model, questions.other_request))
        expect(TOGETHER, tuple(both) == (whole, other))


async def _check_window(model: InferenceModel, questions: Questions) -> None:
    """A prompt of more words than the window has tokens; then a short one that asks for more than is left."""
    window = model.info.context_window_tokens
    for request in (asked("word " * (window + 1), 1), asked(questions.prompt, window)):
        async with promised_within(WINDOW, questions.seconds):
            await expect_refusal_async(WINDOW, ErrorKind.VALIDATION, answer, model, request)


async def _check_closed(model: InferenceModel, questions: Questions) -> None:
    async with promised_within(CLOSED, 2 * questions.seconds):
        level = (await model.memory_usage()).kv_cache_bytes
        for _ in range(NUM_STREAMS_LEFT):
            await begin_and_leave(model, questions.request)

        async def is_back() -> bool:
            return (await model.memory_usage()).kv_cache_bytes <= level

        expect(CLOSED, await settles(is_back, questions.seconds), "bytes stayed behind")
        await answer(model, asked(questions.prompt, 1))


async def _check_cancelled(model: InferenceModel, questions: Questions) -> None:
    started = asyncio.Event()

    async def consume() -> None:
        async with aclosing(model.generate(questions.request)) as events:
            async for _ in events:
                started.set()

    async with promised_within(CANCELLED, questions.seconds):
        consumer = asyncio.create_task(consume())
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({consumer, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if consumer.cancel():
            await asyncio.wait({consumer})
            expect(CANCELLED, consumer.cancelled(), "the cancellation did not come through")
        else:
            consumer.result()
        await answer(model, asked(questions.prompt, 1))


async def _check_end(model: InferenceModel, questions: Questions) -> None:
    async with promised_within(END, questions.seconds), aclosing(model.generate(questions.request)) as events:
        await anext(events)
        await model.aclose()
        await provoke(_drain, events)
    async with promised_within(END, questions.seconds):
        await model.aclose()


async def _drain(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass
