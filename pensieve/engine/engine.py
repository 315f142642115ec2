"""The engine: one loaded model that answers any number of requests. Implements InferenceModel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import ExitStack, aclosing
from functools import partial
from typing import NamedTuple

from contracts.values.faults import EngineFault
from contracts.values.generation import GenerationEvent, GenerationStarted, PromptTokens
from contracts.values.measurements import MemoryPressure, RequestProgress, SpeculationCounts
from contracts.values.vocabulary import GenerationRequest, MemoryUsage, ModelFeature, ModelInfo, Prompt
from pensieve.core.errors import OverloadedError
from pensieve.core.scheduling.validation import check_request
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.device.threads.model_thread import ModelThread
from pensieve.device.threads.stacks import thread_stacks
from pensieve.engine.assembly import EngineParts, load_parts
from pensieve.engine.loop.faults import LoopFailedError
from pensieve.engine.loop.generation_loop import GenerationLoop, failed_error
from pensieve.engine.loop.parts import LoopParts
from pensieve.engine.loop.watch import EngineWatch
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.engine.preparation import RequestPreparation
from pensieve.engine.requests.event_stream import EventStream
from pensieve.engine.requests.ticket import Ticket
from pensieve.models.estimate.known_model import Speculation
from pensieve.models.files.model_folder import ModelFolder

log = logging.getLogger(__name__)

CLOSE_SECONDS = 60.0
"""How long closing waits for the step that runs, and for what is still to be written to disk."""

LoadParts = Callable[[ModelFolder, DeviceMemory, EngineOptions, ExitStack], EngineParts]


class _Loaded(NamedTuple):
    """What the MLX thread made."""

    parts: EngineParts
    preparation: RequestPreparation
    loop: GenerationLoop


class Engine:
    """Made by `start`, which returns when the model is ready to answer."""

    def __init__(
        self,
        folder: ModelFolder,
        memory: DeviceMemory,
        options: EngineOptions,
        thread: ModelThread[_Loaded],
        loaded: _Loaded,
    ) -> None:
        self._folder = folder
        self._memory = memory
        self._options = options
        self._thread = thread
        self._parts, self._preparation, self._loop = loaded
        self._event_loop = asyncio.get_running_loop()
        self._tickets: set[Ticket] = set()
        self._closed = False
        self._watch = EngineWatch(self._loop.progress, self._streams, options.stall_seconds)
        self._watching = asyncio.create_task(self._watch.watch_progress(), name="pensieve-watch")
        thread.ended.add_done_callback(self._note_end)

    @classmethod
    async def start(
        cls,
        folder: ModelFolder,
        memory: DeviceMemory,
        monitor: SlidingWindowMonitor,
        options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
        *,
        load: LoadParts = load_parts,
    ) -> Engine:
        """Load the model on a thread of its own. `load` makes the engine's parts, on that thread.

        Raises:
            ModelLoadingError: the model's files are missing, damaged or of an unknown kind.
            InsufficientMemoryError: the weights do not fit.
        """

        def load_all(resources: ExitStack) -> _Loaded:
            parts = load(folder, memory, options, resources)
            preparation = RequestPreparation(parts)
            resources.callback(preparation.close)
            return _Loaded(parts, preparation, GenerationLoop(_loop_parts(parts, options), memory, monitor, folder.id))

        thread = ModelThread(load_all, lambda loaded: loaded.loop.run())
        try:
            loaded = await asyncio.wrap_future(thread.loaded)
        except BaseException:
            thread.loaded.add_done_callback(_stop)
            await asyncio.to_thread(thread.join, CLOSE_SECONDS)
            raise
        engine = cls(folder, memory, options, thread, loaded)
        try:
            await engine._preparation.compile_vocabulary()
        except BaseException:
            await engine.aclose()
            raise
        return engine

    def _note_end(self, ended: Future[None]) -> None:
        """On the MLX thread, which has ended."""
        error = ended.exception()
        if error is not None:
            reason = str(error) if isinstance(error, LoopFailedError) else f"the thread that computes ended: {error!r}"
            self._event_loop.call_soon_threadsafe(self._watch.report, EngineFault(reason, can_reload=True))

    def _streams(self) -> list[EventStream]:
        return [ticket.stream for ticket in self._tickets]

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            id=self._folder.id,
            display_name=self._folder.display_name,
            context_window_tokens=self._parts.plan.window_tokens,
            created_at=self._folder.created_at,
        )

    @property
    def num_active(self) -> int:
        """Open generations, running or waiting."""
        return len(self._tickets)

    def progress(self) -> tuple[RequestProgress, ...]:
        """Of the open generations, the oldest first."""
        return tuple(
            ticket.progress.report(has_ended=ticket.stream.has_ended)
            for ticket in sorted(self._tickets, key=lambda ticket: ticket.number)
        )

    async def can_admit(self) -> bool:
        return not self._has_ended and self._num_unfinished < self._options.max_batch_size + self._options.max_queued

    @property
    def _has_ended(self) -> bool:
        return self._closed or self._watch.fault is not None

    async def failed(self) -> EngineFault | None:
        """Return as soon as the engine cannot answer any more, or with None when it is closed."""
        return await self._watch.failed()

    @property
    def _num_unfinished(self) -> int:
        """Without the answers that only wait for their clients to read them."""
        return sum(not ticket.stream.has_ended for ticket in self._tickets)

    async def count_tokens(self, prompt: Prompt) -> int:
        return await self._preparation.count_tokens(prompt)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        check_request(request)
        if self._has_ended:
            raise failed_error()
        request = self._parts.settings.request(request)
        ticket = self._identical_ticket(request) or await self._admit(request)
        prompt, stream = ticket.prompt, ticket.stream
        stream.add_reader()
        try:
            await stream.admission()
            yield GenerationStarted(len(prompt.token_ids), prompt.cached_tokens, prompt.differs_in)
            async with aclosing(stream.read()) as events:
                async for event in events:
                    yield event
        finally:
            stream.remove_reader()
            if stream.is_abandoned:
                self._tickets.discard(ticket)
                self._loop.mailbox.wake()

    def _identical_ticket(self, request: GenerationRequest) -> Ticket | None:
        """A running generation of the same request, if both may have the same answer (C6).

        At temperature 0 they would get the same answer anyway. Otherwise only a retry joins: two clients that send the
        same request at once may want two answers.
        """
        if not request.sampling.is_greedy and not request.is_retry:
            return None
        return next((ticket for ticket in self._tickets if ticket.prompt.request == request), None)

    async def _admit(self, request: GenerationRequest) -> Ticket:
        with self._loop.mailbox.arriving():
            prompt = await self._preparation.prompt(request)
        if self._has_ended:
            raise failed_error()
        if self._parts.relief.refuses and self._tickets:
            self._parts.relief.note_refusal()
            raise OverloadedError("memory is short: try again when the running requests have ended")
        if not await self.can_admit():
            raise OverloadedError(
                f"{self._num_unfinished} requests are running or waiting, which is this server's maximum"
            )
        ticket = Ticket(prompt, self._event_loop)
        ticket.stream.is_admitted = self._num_unfinished > 0  # behind others it waits
        self._tickets.add(ticket)
        self._loop.submit(ticket)
        return ticket

    def prompt_tokens(self) -> PromptTokens:
        return self._parts.prompt_cache.tokens

    @property
    def speculation(self) -> Speculation:
        return self._parts.speculation(self._options)

    def speculation_counts(self) -> SpeculationCounts:
        return self._parts.pace.counts

    def memory_pressure(self) -> MemoryPressure:
        return self._parts.relief.state

    async def memory_usage(self) -> MemoryUsage:
        return self._memory.usage()

    async def supports_feature(self, feature: ModelFeature) -> bool:
        return self._parts.model.supports(feature)

    async def aclose(self) -> None:
        """Open streams end with an error, the thread ends, and the model's memory is freed. One that hangs is left."""
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        await self._watching
        self._loop.stop()
        if self._watch.fault is not None and not self._watch.fault.can_reload:
            return
        if not await asyncio.to_thread(self._thread.join, CLOSE_SECONDS):
            log.error("the model's thread did not end within %.0f s:\n%s", CLOSE_SECONDS, thread_stacks())


def _loop_parts(parts: EngineParts, options: EngineOptions) -> LoopParts:
    return LoopParts(
        partial(parts.new_batch, options),
        partial(parts.checked_batch, options),
        parts.plan.sizes,
        parts.prompt_cache,
        parts.relief,
        parts.deliver,
    )


def _stop(loaded: Future[_Loaded]) -> None:
    """For a model that no caller waits for any more."""
    if loaded.exception() is None:
        loaded.result().loop.stop()
