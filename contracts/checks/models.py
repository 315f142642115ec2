"""`check_model_manager`: checks any ModelManager against its clauses and the promises below."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing

from contracts.checked import checked
from contracts.checks.promises import expect, expect_refusal_async, promise, promised, promised_within, provoke, settles
from contracts.checks.sample_requests import SAMPLES, SampleRequests, collect
from contracts.protocols.inference import InferenceModel
from contracts.protocols.models import ModelManager
from contracts.values.vocabulary import ErrorKind, ModelConfig

ABSENT = promise("MM-20", "a missing source is refused as MODEL_LOADING and changes nothing")
AGAIN = promise("MM-21", "loading a loaded model returns the same model")
BY_ID = promise("MM-22", "get returns exactly the loaded models, by id")
IN_USE = promise("MM-23", "a model is in use while one of its streams is open, and no longer")
RELOAD = promise("MM-24", "an unloaded model can be loaded again and answers")
KEPT = promise("MM-25", "freeing unneeded memory keeps the loaded models")
NEWEST = promise("MM-26", "loaded models are listed newest first")
END = promise("MM-27", "aclose closes every model; closing again does nothing")
BORROWED = promise("MM-28", "a borrowed model is not unloaded until every borrower has given it back")
ON_DEMAND = promise("MM-29", "borrowing a known model loads it if necessary, once for all concurrent borrowers")

MANAGER_PROMISES = (ABSENT, AGAIN, BY_ID, IN_USE, RELOAD, KEPT, NEWEST, END, BORROWED, ON_DEMAND)


async def check_model_manager(
    make: Callable[[], AbstractAsyncContextManager[ModelManager]],
    *,
    source: str,
    other_source: str | None = None,
    missing_source: str = "/no/such/folder/of/a/model",
    samples: SampleRequests = SAMPLES,
) -> None:
    """Check a manager from `make` against the contract of ModelManager; no model may be loaded yet.

    `source` is loaded, unloaded and loaded again. MM-26 needs `other_source`, a model with another id.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    async with make() as implementation:
        manager = checked(ModelManager, implementation)
        await _check_absent(manager, missing_source)
        model = await _check_loaded(manager, ModelConfig(source), samples)
        await _check_in_use(manager, model, samples)
        await _check_reload(manager, ModelConfig(source), samples)
        await _check_borrowed(manager, model.info.id, samples)
        if other_source is not None:
            await _check_newest(manager, ModelConfig(other_source), model.info.id, samples)
        await _check_end(manager, samples)


async def _check_absent(manager: ModelManager, missing_source: str) -> None:
    """The clauses judge the first two calls: MM-1 the empty source, MM-4 the unknown id."""
    await provoke(manager.load_model, ModelConfig(""))
    await provoke(manager.unload_model, "a-model-that-is-not-loaded")
    with promised(ABSENT):
        before = manager.loaded()
        await expect_refusal_async(ABSENT, ErrorKind.MODEL_LOADING, manager.load_model, ModelConfig(missing_source))
        expect(ABSENT, manager.loaded() == before, "the list of models changed")


async def _check_loaded(manager: ModelManager, config: ModelConfig, samples: SampleRequests) -> InferenceModel:
    async with promised_within(AGAIN, samples.seconds):
        model = await manager.load_model(config)
        expect(AGAIN, await manager.load_model(config) is model)
    model_id = model.info.id
    with promised(BY_ID):
        expect(BY_ID, manager.get(model_id) is model, "it returns another model")
        expect(BY_ID, manager.get(model_id + "-with-another-name") is None, "it returns a model for an unknown name")
    async with promised_within(KEPT, samples.seconds):
        await manager.optimize_memory_usage()
        expect(KEPT, manager.get(model_id) is model)
    return model


async def _check_in_use(manager: ModelManager, model: InferenceModel, samples: SampleRequests) -> None:
    """MM-5 judges the attempt to unload while the stream is open."""
    model_id = model.info.id

    async def is_idle() -> bool:
        return not manager.in_use(model_id)

    async with promised_within(IN_USE, 2 * samples.seconds):
        expect(IN_USE, not manager.in_use(model_id), "it is in use before any stream is open")
        async with aclosing(checked(InferenceModel, model).generate(samples.request)) as events:
            await anext(events)
            expect(IN_USE, manager.in_use(model_id), "it is not in use while a stream is open")
            await provoke(manager.unload_model, model_id)
        expect(IN_USE, await settles(is_idle, samples.seconds), "it is still in use after the stream is closed")


async def _check_reload(manager: ModelManager, config: ModelConfig, samples: SampleRequests) -> None:
    """MM-4 judges the second attempt to unload."""
    async with promised_within(RELOAD, 2 * samples.seconds):
        model = await manager.load_model(config)
        await manager.unload_model(model.info.id)
        await provoke(manager.unload_model, model.info.id)
        loaded_again = await manager.load_model(config)
        await collect(checked(InferenceModel, loaded_again), samples.request)


async def _check_borrowed(manager: ModelManager, model_id: str, samples: SampleRequests) -> None:
    """MM-11 judges borrowing an unknown model, and MM-5 the attempt to unload a borrowed one."""
    await provoke(manager.borrow, "an-unknown-model")
    manager.known()
    async with promised_within(ON_DEMAND, samples.seconds):
        await manager.unload_model(model_id)
        expect(ON_DEMAND, manager.find(model_id) is not None, "it is no longer known")
        one, other = await asyncio.gather(manager.borrow(model_id), manager.borrow(model_id))
        expect(ON_DEMAND, one is other, "two concurrent borrowers got two models")
        await collect(checked(InferenceModel, one), samples.request)
    async with promised_within(BORROWED, samples.seconds):
        await provoke(manager.unload_model, model_id)
        manager.give_back(model_id)
        expect(BORROWED, manager.in_use(model_id), "it is unused although one borrower remains")
        manager.give_back(model_id)
        expect(BORROWED, not manager.in_use(model_id), "it is in use although no borrower remains")


async def _check_newest(manager: ModelManager, config: ModelConfig, older_id: str, samples: SampleRequests) -> None:
    async with promised_within(NEWEST, samples.seconds):
        newer = await manager.load_model(config)
        ids = [info.id for info in manager.loaded()]
        expect(NEWEST, ids == [newer.info.id, older_id])


async def _check_end(manager: ModelManager, samples: SampleRequests) -> None:
    async with promised_within(END, samples.seconds):
        await manager.aclose()
        expect(END, manager.loaded() == (), "models are still listed")
        await manager.aclose()
