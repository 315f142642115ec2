"""`check_inference_model`: checks any InferenceModel against its clauses and the promises below.

It makes few and short generations, so that a real model on a slow machine can be checked too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

from contracts.checked import checked
from contracts.checks.promises import expect, expect_refusal_async, promise, promised, promised_within, provoke, settles
from contracts.checks.sample_requests import (
    GREEDY,
    SAMPLES,
    CollectedAnswer,
    SampleRequests,
    begin_and_close,
    collect,
    request_for,
)
from contracts.protocols.inference import InferenceModel
from contracts.values.vocabulary import ErrorKind, GenerationRequest, ModelFeature, Prompt, Sampling

IDENTITY = promise("IM-20", "a model has an id and a window of at least one token")
EDGES = promise("IM-21", "a valid request is answered, even at the edges of every range")
COUNT = promise("IM-22", "count_tokens returns the input_tokens that generating from the same messages reports")
SAME = promise("IM-23", "at temperature 0 the same request gets the same answer")
STOP = promise("IM-24", "a stop sequence ends the text where it would have begun")
TOGETHER = promise("IM-25", "concurrent streams give the same answers as each stream alone")
WINDOW = promise(
    "IM-26",
    "a prompt that does not fit the window is refused as VALIDATION before the first event, and a max_tokens beyond "
    "the window is accepted",
)
CLOSED = promise("IM-27", "a closed stream releases its KV cache, and its place goes to the next request")
CANCELLED = promise("IM-28", "a cancellation passes through a stream, and the model still answers")
END = promise("IM-29", "aclose ends every open stream; closing again does nothing")

MODEL_PROMISES = (IDENTITY, EDGES, COUNT, SAME, STOP, TOGETHER, WINDOW, CLOSED, CANCELLED, END)

NUM_CLOSED_STREAMS = 3
"""Several, because the memory that a finished stream releases late could mask one leak."""


async def check_inference_model(
    make: Callable[[], AbstractAsyncContextManager[InferenceModel]], *, samples: SampleRequests = SAMPLES
) -> None:
    """Check one model from `make` against the contract of InferenceModel; it is closed at the end.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    async with make() as implementation:
        model = checked(InferenceModel, implementation)
        await _check_figures(model, samples)
        await _check_refusals(model, samples)
        await _check_edges(model, samples)
        whole = await _check_answers(model, samples)
        await _check_stop(model, samples, whole)
        await _check_together(model, samples, whole)
        await _check_window(model, samples)
        await _check_closed(model, samples)
        await _check_cancelled(model, samples)
        await _check_end(model, samples)


async def _check_figures(model: InferenceModel, samples: SampleRequests) -> None:
    with promised(IDENTITY):
        expect(IDENTITY, bool(model.info.id) and model.info.context_window_tokens >= 1)
    await model.memory_usage()
    for feature in ModelFeature:
        await model.supports_feature(feature)
    await model.count_tokens(samples.request.prompt)


async def _check_refusals(model: InferenceModel, samples: SampleRequests) -> None:
    """The clauses IM-2 and IM-4 to IM-7 judge the outcome."""
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
        Sampling(presence_penalty=2.1),
        Sampling(presence_penalty=math.nan),
        Sampling(frequency_penalty=-2.1),
        Sampling(frequency_penalty=math.nan),
    )
    refused = [request_for(samples.prompt, 1, sampling=sampling) for sampling in bad_samplings]
    refused += [request_for(samples.prompt, -1), GenerationRequest((), 1, GREEDY)]
    for request in refused:
        await provoke(collect, model, request)


async def _check_edges(model: InferenceModel, samples: SampleRequests) -> None:
    edges = (
        GREEDY,
        Sampling(),
        Sampling(temperature=2.0, top_p=1.0, top_k=1, min_p=1.0, repetition_penalty=10.0),
        Sampling(top_p=0.0, top_k=0, min_p=0.0, repetition_penalty=0.001),
        Sampling(presence_penalty=2.0, frequency_penalty=2.0),
        Sampling(presence_penalty=-2.0, frequency_penalty=-2.0),
    )
    for sampling in edges:
        async with promised_within(EDGES, samples.seconds):
            await collect(model, request_for(samples.prompt, 1, sampling=sampling))
    async with promised_within(EDGES, samples.seconds):
        unanswered = await collect(model, request_for(samples.prompt, 0))
        expect(EDGES, not unanswered.text, "a max_tokens of 0 got text")


async def _check_answers(model: InferenceModel, samples: SampleRequests) -> CollectedAnswer:
    """The first answer may fill a cache, and cold and warm answers may round differently: warm ones are compared."""
    async with promised_within(COUNT, samples.seconds):
        cold = await collect(model, samples.request)
        expect(COUNT, await model.count_tokens(samples.request.prompt) == cold.input_tokens_at_start)
    async with promised_within(SAME, samples.seconds):
        whole = await collect(model, samples.request)
        expect(SAME, await collect(model, samples.request) == whole)
    return whole


async def _check_stop(model: InferenceModel, samples: SampleRequests, whole: CollectedAnswer) -> None:
    """The stop sequence is cut from the middle of the model's own answer."""
    stop = whole.text[len(whole.text) // 2 :][:5]
    if not stop.strip():
        return
    async with promised_within(STOP, samples.seconds):
        cut = await collect(model, request_for(samples.prompt, samples.max_tokens, stop_sequences=(stop,)))
        expect(STOP, cut.finished.stop_sequence == stop, "it is not the reported stop sequence")
        expect(STOP, cut.text == whole.text[: whole.text.find(stop)], "the text does not end before it")


async def _check_together(model: InferenceModel, samples: SampleRequests, whole: CollectedAnswer) -> None:
    async with promised_within(TOGETHER, samples.seconds):
        await collect(model, samples.other_request)
        other = await collect(model, samples.other_request)
        both = await asyncio.gather(collect(model, samples.request), collect(model, samples.other_request))
        expect(TOGETHER, tuple(both) == (whole, other))


async def _check_window(model: InferenceModel, samples: SampleRequests) -> None:
    """A prompt with more words than the window has tokens, then short ones with a max_tokens of at least the window."""
    window = model.info.context_window_tokens
    async with promised_within(WINDOW, samples.seconds):
        too_long = request_for("word " * (window + 1), 1)
        await expect_refusal_async(WINDOW, ErrorKind.VALIDATION, collect, model, too_long)
    for max_tokens in (window, 10**30):
        async with promised_within(WINDOW, samples.seconds):
            await begin_and_close(model, request_for(samples.prompt, max_tokens))


async def _check_closed(model: InferenceModel, samples: SampleRequests) -> None:
    async with promised_within(CLOSED, 2 * samples.seconds):
        level = (await model.memory_usage()).kv_cache_bytes
        for _ in range(NUM_CLOSED_STREAMS):
            await begin_and_close(model, samples.request)

        async def is_back() -> bool:
            return (await model.memory_usage()).kv_cache_bytes <= level

        expect(CLOSED, await settles(is_back, samples.seconds), "KV bytes were not released")
        await collect(model, request_for(samples.prompt, 1))


async def _check_cancelled(model: InferenceModel, samples: SampleRequests) -> None:
    started = asyncio.Event()

    async def consume() -> None:
        async with aclosing(model.generate(samples.request)) as events:
            async for _ in events:
                started.set()

    async with promised_within(CANCELLED, samples.seconds):
        consumer = asyncio.create_task(consume())
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({consumer, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if consumer.cancel():
            await asyncio.wait({consumer})
            expect(CANCELLED, consumer.cancelled(), "the cancellation did not pass through")
        else:
            consumer.result()
        await collect(model, request_for(samples.prompt, 1))


async def _check_end(model: InferenceModel, samples: SampleRequests) -> None:
    async with promised_within(END, samples.seconds), aclosing(model.generate(samples.request)) as events:
        await anext(events)
        await model.aclose()
        await provoke(_drain, events)
    async with promised_within(END, samples.seconds):
        await model.aclose()


async def _drain(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass
