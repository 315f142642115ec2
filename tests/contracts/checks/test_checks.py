"""The checks of contracts.checks: correct implementations pass, and every clause catches one that breaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import pytest

from contracts.checks import (
    SampleRequests,
    check_inference_model,
    check_memory,
    check_model_manager,
    check_performance_monitor,
    check_request_handler,
)
from contracts.checks.inference import MODEL_PROMISES
from contracts.checks.memory import MEMORY_PROMISES
from contracts.checks.models import MANAGER_PROMISES
from contracts.checks.performance import PERFORMANCE_PROMISES
from contracts.checks.requests import HANDLER_PROMISES
from contracts.clauses import CALLER, Clause, ContractViolation
from contracts.protocols.inference import InferenceModel
from contracts.protocols.memory import CompiledKernel, MetalResourceManager
from contracts.protocols.models import ModelManager
from contracts.protocols.performance import PerformanceMonitor
from contracts.protocols.requests import RequestHandler
from contracts.streams.message_stream import STREAM_CLAUSES
from contracts.values.measurements import AlertThresholds
from contracts.values.vocabulary import GenerationRequest, KernelSource
from pensieve.core.errors import DeviceError, GenerationError
from tests.contracts.all_clauses import all_clauses
from tests.contracts.broken import handlers as broken_handlers
from tests.contracts.broken import managers as broken_managers
from tests.contracts.broken import memories as broken_memories
from tests.contracts.broken import models as broken_models
from tests.contracts.broken import monitors as broken_monitors
from tests.contracts.broken.register import Broken
from tests.contracts.in_memory.model import InMemoryManager, InMemoryModel
from tests.contracts.in_memory.parts import InMemoryHandler, InMemoryMemory, InMemoryMonitor

T = TypeVar("T")

SAMPLES = SampleRequests(seconds=0.5)
"""By the clock of these tests' event loop (conftest.py), which does not depend on the machine's speed."""


def each_of(broken: Broken[T]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("clause_id", "implementation"), list(broken), ids=broken.names)


def caught(check: Callable[[], None]) -> str:
    with pytest.raises(ContractViolation) as violation:
        check()
    return violation.value.clause.id


class FailsMidway(InMemoryModel):
    async def step(self) -> None:
        await super().step()
        self.num_steps = getattr(self, "num_steps", 0) + 1
        if self.num_steps == 3:
            raise GenerationError("the model lost its thread")


def context_of(make: Callable[[], T]) -> Callable[[], AbstractAsyncContextManager[T]]:
    @asynccontextmanager
    async def context() -> AsyncIterator[T]:
        yield make()

    return context


def check_model(implementation: type[InMemoryModel], samples: SampleRequests = SAMPLES) -> None:
    asyncio.run(check_inference_model(context_of(implementation), samples=samples))


def check_manager(implementation: type[InMemoryManager]) -> None:
    asyncio.run(check_model_manager(context_of(implementation), source="one", other_source="two", samples=SAMPLES))


def check_handler(implementation: type[InMemoryHandler]) -> None:
    make = context_of(lambda: implementation(InMemoryModel()))
    make_failing = context_of(lambda: implementation(FailsMidway()))
    asyncio.run(check_request_handler(make, make_failing=make_failing, samples=SAMPLES))


def test_a_model_that_keeps_its_contract_passes() -> None:
    check_model(InMemoryModel)


def test_a_model_cut_off_by_max_tokens_passes() -> None:
    check_model(InMemoryModel, SampleRequests(max_tokens=4, seconds=SAMPLES.seconds))


def test_a_model_that_generates_no_text_passes() -> None:
    class Silent(InMemoryModel):
        def words(self, request: GenerationRequest) -> list[str]:
            return super().words(request)[:0]

    check_model(Silent)


def test_a_model_that_answers_before_it_can_be_cancelled_passes() -> None:
    class Hasty(InMemoryModel):
        async def step(self) -> None:
            return

    check_model(Hasty)


def test_a_manager_that_keeps_its_contract_passes() -> None:
    check_manager(InMemoryManager)


def test_a_manager_of_a_single_model_passes() -> None:
    asyncio.run(check_model_manager(context_of(InMemoryManager), source="one", samples=SAMPLES))


def test_a_memory_manager_that_keeps_its_contract_passes() -> None:
    check_memory(InMemoryMemory)


def test_a_memory_manager_without_kernels_passes() -> None:
    class WithoutKernels(InMemoryMemory):
        def compile_kernel(self, source: KernelSource) -> CompiledKernel:
            raise DeviceError(f"{source.name} needs a GPU")

    check_memory(WithoutKernels)


def test_a_monitor_that_keeps_its_contract_passes() -> None:
    check_performance_monitor(InMemoryMonitor)


def test_a_monitor_is_checked_against_its_own_thresholds() -> None:
    class Patient(InMemoryMonitor):
        threshold_percent = 99.0

    check_performance_monitor(Patient, thresholds=AlertThresholds(error_rate_percent=99.0))


def test_a_handler_that_keeps_its_contract_passes() -> None:
    check_handler(InMemoryHandler)


def test_a_handler_can_be_checked_without_a_failing_model() -> None:
    asyncio.run(check_request_handler(context_of(lambda: InMemoryHandler(InMemoryModel())), samples=SAMPLES))


@each_of(broken_models.broken)
def test_a_broken_model_is_caught_by_the_clause_it_breaks(clause_id: str, implementation: type[InMemoryModel]) -> None:
    assert caught(lambda: check_model(implementation)) == clause_id


@each_of(broken_managers.broken)
def test_a_broken_manager_is_caught_by_the_clause_it_breaks(
    clause_id: str, implementation: type[InMemoryManager]
) -> None:
    assert caught(lambda: check_manager(implementation)) == clause_id


@each_of(broken_memories.broken)
def test_a_broken_memory_is_caught_by_the_clause_it_breaks(
    clause_id: str, implementation: type[InMemoryMemory]
) -> None:
    assert caught(lambda: check_memory(implementation)) == clause_id


@each_of(broken_monitors.broken)
def test_a_broken_monitor_is_caught_by_the_clause_it_breaks(
    clause_id: str, implementation: type[InMemoryMonitor]
) -> None:
    assert caught(lambda: check_performance_monitor(implementation)) == clause_id


@each_of(broken_handlers.broken)
def test_a_broken_handler_is_caught_by_the_clause_it_breaks(
    clause_id: str, implementation: type[InMemoryHandler]
) -> None:
    assert caught(lambda: check_handler(implementation)) == clause_id


def test_a_handler_that_raises_an_undocumented_error_is_caught() -> None:
    class Crashes(FailsMidway):
        async def step(self) -> None:
            raise KeyError

    make = context_of(lambda: InMemoryHandler(Crashes()))
    assert caught(lambda: asyncio.run(check_request_handler(make, samples=SAMPLES))) == "RH-4"


@pytest.mark.parametrize(
    ("protocol", "promises", "broken"),
    [
        (InferenceModel, MODEL_PROMISES, broken_models.broken),
        (ModelManager, MANAGER_PROMISES, broken_managers.broken),
        (MetalResourceManager, MEMORY_PROMISES, broken_memories.broken),
        (PerformanceMonitor, PERFORMANCE_PROMISES, broken_monitors.broken),
        (RequestHandler, HANDLER_PROMISES, broken_handlers.broken),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_clause_of_the_implementation_has_a_broken_one(
    protocol: type, promises: tuple[Clause, ...], broken: Broken[object]
) -> None:
    owed = {clause.id for clause in all_clauses(protocol).values() if clause.blames != CALLER}
    if "RH-3" in owed:  # its monitor checks the MS clauses, and those are broken instead
        owed = owed - {"RH-3"} | {clause.id for clause in STREAM_CLAUSES}
    assert broken.clause_ids == owed | {clause.id for clause in promises}


def test_promises_are_numbered_from_twenty_with_unique_ids() -> None:
    promises = [*MODEL_PROMISES, *MANAGER_PROMISES, *MEMORY_PROMISES, *PERFORMANCE_PROMISES, *HANDLER_PROMISES]
    assert len({promise.id for promise in promises}) == len(promises)
    assert all(int(promise.id.split("-")[1]) >= 20 for promise in promises)
