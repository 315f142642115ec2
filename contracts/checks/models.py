"""`check_model_manager`: any ModelManager, put through its clauses and these promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing

from contracts.checked import checked
from contracts.checks.promises import expect, expect_refusal_async, promise, promised, promised_within, provoke, settles
from contracts.checks.questions import QUESTIONS, Questions, answer
from contracts.protocols.inference import InferenceModel
from contracts.protocols.models import ModelManager
from contracts.values.vocabulary import ErrorKind, ModelConfig

ABSENT = promise("MM-20", "a source that is not there is refused as MODEL_LOADING, and changes nothing")
AGAIN = promise("MM-21", "a model that is loaded already is handed out again")
BY_ID = promise("MM-22", "get gives exactly the models that are loaded, by their ids")
IN_USE = promise("MM-23", "a model is in use while a stream of it is open, and no longer")
RELOAD = promise("MM-24", "a model that was unloaded can be loaded again, and answers")
KEPT = promise("MM-25", "freeing what is not needed keeps the models that are loaded")
NEWEST = promise("MM-26", "the models that are loaded are listed with the newest first")
END = promise("MM-27", "aclose closes every model; closing again does nothing")
BORROWED = promise("MM-28", "a model that is borrowed is not unloaded until each who borrowed it has given it back")
ON_DEMAND = promise("MM-29", "a known model that is not loaded is loaded when it is borrowed, once for all who ask")

MANAGER_PROMISES = (ABSENT, AGAIN, BY_ID, IN_USE, RELOAD, KEPT, NEWEST, END, BORROWED, ON_DEMAND)


async def check_model_manager(
    make: Callable[[], AbstractAsyncContextManager[ModelManager]],
    *,
    source: str,
    other_source: str | None = None,
    missing_source: str = "/no/such/folder/of/a/model",
    questions: Questions = QUESTIONS,
) -> None:
    """Put a manager that `make` gives through the contract of ModelManager; nothing may be loaded in it yet.

    `source` is loaded, unloaded and loaded again. MM-26 needs `other_source`, a model of another id.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    async with make() as implementation:
        manager = checked(ModelManager, implementation)
        await _check_absent(manager, missing_source)
        model = await _check_loaded(manager, ModelConfig(source), questions)
        await _check_in_use(manager, model, questions)
        await _check_reload(manager, ModelConfig(source), questions)
        await _check_borrowed(manager, model.info.id, questions)
        if other_source is not None:
            await _check_newest(manager, ModelConfig(other_source), model.info.id, questions)
        await _check_end(manager, questions)


async def _check_absent(manager: ModelManager, missing_source: str) -> None:
    """MM-1, and MM-4 for an id that nothing has, are judged around the calls."""
    await provoke(manager.load_model, ModelConfig(""))
    await provoke(manager.unload_model, "a-model-that-nobody-loaded")
    with promised(ABSENT):
        before = manager.loaded()
        await expect_refusal_async(ABSENT, ErrorKind.MODEL_LOADING, manager.load_model, ModelConfig(missing_source))
        expect(ABSENT, manager.loaded() == before, "the list of models changed")


async def _check_loaded(manager: ModelManager, config: ModelConfig, questions: Questions) -> InferenceModel:
    async with promised_within(AGAIN, questions.seconds):
        model = await manager.load_model(config)
        expect(AGAIN, await manager.load_model(config) is model)
    model_id = model.info.id
    with promised(BY_ID):
        expect(BY_ID, manager.get(model_id) is model, "it gives another model")
        expect(BY_ID, manager.get(model_id + "-of-another-name") is None, "it gives a model to any name")
    async with promised_within(KEPT, questions.seconds):
        await manager.optimize_memory_usage()
        expect(KEPT, manager.get(model_id) is model)
    return model


async def _check_in_use(manager: ModelManager, model: InferenceModel, questions: Questions) -> None:
    """While the stream is open, MM-5 judges the attempt to unload."""
    model_id = model.info.id

    async def is_idle() -> bool:
        return not manager.in_use(model_id)

    async with promised_within(IN_USE, 2 * questions.seconds):
        expect(IN_USE, not manager.in_use(model_id), "it is in use before any stream")
        async with aclosing(checked(InferenceModel, model).generate(questions.request)) as events:
            await anext(events)
            expect(IN_USE, manager.in_use(model_id), "it is not in use while a stream is open")
            await provoke(manager.unload_model, model_id)
        expect(IN_USE, await settles(is_idle, questions.seconds), "it is still in use when the stream is closed")


async def _check_reload(manager: ModelManager, config: ModelConfig, questions: Questions) -> None:
    """Unloading twice: the second time the model is not there, which MM-4 judges."""
    async with promised_within(RELOAD, 2 * questions.seconds):
        model = await manager.load_model(config)
        await manager.unload_model(model.info.id)
        await provoke(manager.unload_model, model.info.id)
        loaded_again = await manager.load_model(config)
        await answer(checked(InferenceModel, loaded_again), questions.request)


async def _check_borrowed(manager: ModelManager, model_id: str, questions: Questions) -> None:
    """While it is borrowed, MM-5 judges the attempt to unload; MM-11 and MM-14 what was never there."""
    await provoke(manager.borrow, "a-model-that-nobody-knows")
    manager.known()
    async with promised_within(ON_DEMAND, questions.seconds):
        await manager.unload_model(model_id)
        expect(ON_DEMAND, manager.find(model_id) is not None, "it is not known any more")
        one, other = await asyncio.gather(manager.borrow(model_id), manager.borrow(model_id))
        expect(ON_DEMAND, one is other, "two that asked at once got two models")
        await answer(checked(InferenceModel, one), questions.request)
    async with promised_within(BORROWED, questions.seconds):
        await provoke(manager.unload_model, model_id)
        manager.give_back(model_id)
        expect(BORROWED, manager.in_use(model_id), "one of two has given it back, and it counts as unused")
        manager.give_back(model_id)
        expect(BORROWED, not manager.in_use(model_id), "all have given it back, and it counts as used")


async def _check_newest(manager: ModelManager, config: ModelConfig, older_id: str, questions: Questions) -> None:
    async with promised_within(NEWEST, questions.seconds):
        newer = await manager.load_model(config)
        ids = [info.id for info in manager.loaded()]
        expect(NEWEST, ids == [newer.info.id, older_id])


async def _check_end(manager: ModelManager, questions: Questions) -> None:
    async with promised_within(END, questions.seconds):
        await manager.aclose()
        expect(END, manager.loaded() == (), "models are still listed")
        await manager.aclose()
