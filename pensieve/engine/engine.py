"""The engine: one loaded model, one thread that owns MLX, any number of streams. Implements InferenceModel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

from contracts.values.generation import GenerationEvent, GenerationStarted, PromptTokens
from contracts.values.measurements import MemoryPressure, SpeculationCounts
from contracts.values.vocabulary import GenerationRequest, MemoryUsage, ModelFeature, ModelInfo, Prompt
from pensieve.core.errors import OverloadedError
from pensieve.core.scheduling.validation import check_request, check_window
from pensieve.device.device import device_info
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.device.pooled_thread import PooledThread
from pensieve.engine.batch.batch import Batch
from pensieve.engine.decoding.forced_script import ForcedScript
from pensieve.engine.decoding.grammar_mask import Grammars
from pensieve.engine.loop.generation_loop import GenerationLoop
from pensieve.engine.memory.plan import MemoryPlan
from pensieve.engine.memory.pressure import PressureRelief
from pensieve.engine.memory.probe import ACTIVATIONS_SHARE, CHUNK_TOKENS, probe, say_what_it_cannot
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.answer_memory import AnswerMemory
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.requests.ticket import Ticket
from pensieve.engine.speculation.draft_model import DraftModel, load_draft, option_for, ready_to_draft
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.engine.warm_up import said_if_slow, warm_up
from pensieve.models.estimate.known_model import known_model
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import LoadedModel, load
from pensieve.models.prompts.chat_template import ChatTemplate, RenderedPrompt

log = logging.getLogger(__name__)

R = TypeVar("R")

MIN_TOKENS_LOOKED_INTO = 256
FLUSH_SECONDS = 10.0


class Engine:
    """Made by `start`, which returns when the model is ready to answer."""

    def __init__(
        self,
        folder: ModelFolder,
        memory: DeviceMemory,
        monitor: SlidingWindowMonitor,
        options: EngineOptions,
    ) -> None:
        self._folder = folder
        self._memory = memory
        self._options = options
        self._loop = GenerationLoop(memory, monitor)
        self._thread = PooledThread(self._loop.run, name="pensieve-mlx")
        self._tokenizing = ThreadPoolExecutor(1, "pensieve-tokenize")  # fast tokenizers are not safe to share
        self._model: LoadedModel
        self._template: ChatTemplate
        self._answers: AnswerMemory
        self._grammars: Grammars
        self._stored = PromptCache(memory, NullStore())
        self._relief: PressureRelief
        self._plan: MemoryPlan
        self._pace = Pace()
        self._loaded: list[LoadedModel] = []
        self._draft: DraftModel | None = None
        self._tickets: set[Ticket] = set()
        self._closed = False

    @classmethod
    async def start(
        cls,
        folder: ModelFolder,
        memory: DeviceMemory,
        monitor: SlidingWindowMonitor,
        options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
    ) -> Engine:
        """Load the model on a thread of its own.

        Raises:
            ModelLoadingError: its files are missing, damaged or of an unknown kind.
            InsufficientMemoryError: its weights do not fit.
        """
        engine = cls(folder, memory, monitor, options)
        engine._thread.start()
        try:
            await asyncio.wrap_future(engine._loop.mailbox.call(engine._load))
            await engine._tokenized(engine._grammars.prepare)
        except BaseException:
            await engine.aclose()
            raise
        return engine

    def _load_weights(self) -> None:
        dense, drafting = device_info().backend == "cpu", self._options.draft_model
        expected = known_model(self._folder.id, self._folder, dense=dense).weights_bytes
        if drafting is not None:
            expected += known_model(option_for(drafting.id), drafting, dense=dense).weights_bytes
        self._plan = MemoryPlan(self._memory, expected)
        self._loaded.append(load(self._folder))
        if drafting is not None:
            self._loaded.append(load_draft(drafting))
        self._model = self._loaded[0]
        self._settings = self._options.settings.over_makers(self._model.sampling)
        self._plan.correct(sum(model.weights_bytes for model in self._loaded))

    def _load(self) -> None:
        """On the MLX thread."""
        self._load_weights()
        self._memory.reserve_for_process()
        with said_if_slow("measuring what the model needs, and compiling its kernels"):
            self._make_ready()

    def _make_ready(self) -> None:
        self._probe = probe(
            self._model,
            self._memory,
            chunk_tokens=self._options.prefill_chunk_tokens or CHUNK_TOKENS[device_info().backend],
            max_bytes=int(ACTIVATIONS_SHARE * self._memory.capacity_bytes),
            kv_bits=self._options.kv_bits,
        )
        chunk_tokens = self._probe.chunk_tokens
        say_what_it_cannot(self._folder.id, self._probe, kv_bits=self._options.kv_bits)
        if (drafting := self._options.draft_model) is not None:
            self._draft = ready_to_draft(drafting.id, self._loaded[1], self._model, self._probe, self._memory)
        draft_probe = self._draft.probe if self._draft is not None else None
        self._plan.add(self._probe, self._model.context_window_tokens, draft_probe)
        self._answers = self._options.keeping.open_answers(self._folder)
        self._stored = PromptCache(
            self._memory, self._options.keeping.open_store(self._model, self._folder, kv_bits=self._options.kv_bits)
        )
        self._template = ChatTemplate(self._model.tokenizer, self._model.dialect, self._answers.recall)
        self._grammars = Grammars(self._model)
        forced = ForcedScript(script, self._model) if (script := self._options.script) is not None else None
        self._relief = PressureRelief(self._memory, self._stored, chunk_tokens=chunk_tokens)
        self._loop.attach(lambda: self._new_batch(chunk_tokens, forced), self._plan.sizes, self._stored, self._relief)
        if device_info().backend != "cpu":
            batch = Batch(self._model, self._probe, self._options, chunk_tokens=chunk_tokens)
            warm_up(self._model, self._probe, batch, self._grammars, kv_bits=self._options.kv_bits)

    def _new_batch(self, chunk_tokens: int, forced: ForcedScript | None) -> Batch:
        batch = Batch(self._model, self._probe, self._options, chunk_tokens=chunk_tokens, forced=forced)
        if self._options.speculation:
            batch.speculate(self._pace, self._draft)
        return batch

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            id=self._folder.id,
            display_name=self._folder.display_name,
            context_window_tokens=self._plan.window_tokens,
            created_at=self._folder.created_at,
        )

    @property
    def num_active(self) -> int:
        """Generations that are open: running, waiting, or just handed over."""
        return len(self._tickets)

    async def can_admit(self) -> bool:
        return not self._closed and len(self._tickets) < self._options.max_batch_size + self._options.max_queued

    async def count_tokens(self, prompt: Prompt) -> int:
        return len((await self._tokenized(self._render, self._settings.prompt(prompt))).token_ids)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        check_request(request)
        request = self._settings.request(request)
        ticket = self._one_to_join(request) or await self._accepted(request)
        ticket.num_readers += 1
        try:
            yield GenerationStarted(len(ticket.prompt_token_ids), ticket.cached_at_first, ticket.differs_in)
            async with aclosing(ticket.stream()) as events:
                async for event in events:
                    yield event
        finally:
            ticket.num_readers -= 1
            if not ticket.num_readers:
                self._tickets.discard(ticket)
                ticket.cancelled = True
                self._loop.mailbox.wake()

    def _one_to_join(self, request: GenerationRequest) -> Ticket | None:
        """The same request, if it runs already and this one wants no answer of its own (C6).

        At temperature 0 it could get no other. Else only a client that says it tries again joins: two that ask the same
        at once may want two answers.
        """
        if not request.sampling.is_greedy and not request.is_retry:
            return None
        return next((ticket for ticket in self._tickets if ticket.request == request and not ticket.cancelled), None)

    async def _accepted(self, request: GenerationRequest) -> Ticket:
        with self._loop.mailbox.arriving():
            ticket = await self._tokenized(self._make_ticket, request, asyncio.get_running_loop())
        if self._relief.refuses and self._tickets:
            self._relief.note_refusal()
            raise OverloadedError(
                "memory is short: come back when what runs has ended",
                retry_after_seconds=self._options.retry_after_seconds,
            )
        if not await self.can_admit():
            raise OverloadedError(
                f"{len(self._tickets)} requests are running or waiting, which is all this server takes",
                retry_after_seconds=self._options.retry_after_seconds,
            )
        self._tickets.add(ticket)
        self._loop.submit(ticket)
        return ticket

    def prompt_tokens(self) -> PromptTokens:
        """Where the KV of prompts came from so far."""
        return self._stored.tokens

    def speculation_counts(self) -> SpeculationCounts:
        """What decoding several tokens in one pass has brought so far."""
        return self._pace.counts

    def memory_pressure(self) -> MemoryPressure:
        """What is done for want of memory, now and so far."""
        return self._relief.state

    async def memory_usage(self) -> MemoryUsage:
        return self._memory.usage()

    async def supports_feature(self, feature: ModelFeature) -> bool:
        return self._model.supports(feature)

    async def aclose(self) -> None:
        """Streams that are open end with an error; the thread ends; the weights are freed."""
        if self._closed:
            return
        self._closed = True
        self._loop.mailbox.call(self._unload)
        self._loop.stop()
        await asyncio.to_thread(self._thread.join)
        self._tokenizing.shutdown()

    def _unload(self) -> None:
        """On the MLX thread."""
        self._loop.end_all()
        self._stored.close(FLUSH_SECONDS)
        for model in self._loaded:
            model.release()
        if hasattr(self, "_plan"):
            self._plan.release()
        if hasattr(self, "_answers"):
            self._answers.close()
        self._memory.reclaim()

    async def _tokenized(self, function: Callable[..., R], *arguments: object) -> R:
        """Run what needs the tokenizer where the tokenizer may be used, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, function, *arguments)

    def _render(self, prompt: Prompt) -> RenderedPrompt:
        if prompt.is_raw:
            return RenderedPrompt(self._template.encode_raw("".join(message.text for message in prompt.messages)))
        return self._template.render(prompt.messages, prompt.tools, prompt.thinking)

    def _make_ticket(self, request: GenerationRequest, loop: asyncio.AbstractEventLoop) -> Ticket:
        prompt = self._render(request.prompt)
        check_window(len(prompt.token_ids), request.max_tokens, self._plan.window_tokens, self._plan.why_this_window)
        cached_tokens = self._stored.cached_tokens(prompt.token_ids)
        return Ticket(
            request,
            prompt.token_ids,
            prompt.starts_thinking,
            self._grammars.matcher_for(request, starts_thinking=prompt.starts_thinking),
            boundaries=prompt.boundaries,
            answers=self._answers,
            cached_at_first=cached_tokens,
            differs_in=self._where_it_differs(request, len(prompt.token_ids), cached_tokens),
            loop=loop,
        )

    def _where_it_differs(self, request: GenerationRequest, num_tokens: int, cached_tokens: int) -> str:
        """The part of the prompt from which on it has to be computed, where that is worth a look; else ""."""
        if (
            not self._stored.num_bytes
            or request.is_raw
            or num_tokens - cached_tokens < max(MIN_TOKENS_LOOKED_INTO, num_tokens // 2)
        ):
            return ""
        part = self._template.locate(request.messages, request.tools, request.thinking, cached_tokens)
        self._stored.note_difference(part)
        return part
