"""An engine that plays a script (`pensieve.engine.scripted.script`) instead of running a model.

It keeps the same contract as the real engine, with chosen text, pace and faults, so that servers and clients can be
tested without a model.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from contracts.values.faults import EngineFault
from contracts.values.generation import GenerationEvent, GenerationFinished, GenerationStarted, PromptTokens
from contracts.values.measurements import MemoryPressure, OperationPhase, RequestProgress, SpeculationCounts
from contracts.values.vocabulary import (
    BufferUsage,
    GenerationRequest,
    MemoryUsage,
    ModelFeature,
    ModelInfo,
    Prompt,
)
from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.hermes import with_tools_as_text
from pensieve.core.errors import GenerationError, OverloadedError, ValidationError
from pensieve.core.scheduling.validation import check_request, check_window
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.monitoring.record import record
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.engine.scripted.script import Script, ScriptedReply
from pensieve.models.estimate.known_model import Speculation

MODEL_ID = "scripted"
WINDOW_TOKENS = 8192
SCRIPTED_INFO = ModelInfo(MODEL_ID, "A script", WINDOW_TOKENS, "2026-01-01T00:00:00Z")
KV_BYTES_PER_TOKEN = 1024
DIALECT = Dialect(think_start="<think>", think_end="</think>")
_TOKEN = re.compile(r"\s*\S+|\s+$")


class ScriptedEngine:
    """Implements `contracts.protocols.inference.InferenceModel` on the event loop alone."""

    def __init__(
        self,
        script: Script,
        memory: Ledger,
        monitor: SlidingWindowMonitor,
        *,
        max_active: int = 64,
        settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._settings = settings
        self._script = script
        self._memory = memory
        self._monitor = monitor
        self._max_active = max_active
        self._running: dict[int, AnswerProgress] = {}
        self._numbers = itertools.count()
        self._closed = asyncio.Event()

    @property
    def info(self) -> ModelInfo:
        return SCRIPTED_INFO

    @property
    def num_active(self) -> int:
        return len(self._running)

    def progress(self) -> tuple[RequestProgress, ...]:
        return tuple(progress.report() for progress in self._running.values())

    async def failed(self) -> EngineFault | None:
        await self._closed.wait()
        return None

    async def can_admit(self) -> bool:
        return not self._closed.is_set() and len(self._running) < self._max_active

    async def count_tokens(self, prompt: Prompt) -> int:
        """One token for each word, message and tool."""
        if not prompt.messages:
            raise ValidationError("messages", "at least one message is required")
        messages = with_tools_as_text(prompt.messages, prompt.tools, DIALECT)
        return sum(len(message.text.split()) + 1 for message in messages)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        check_request(request)
        request = self._settings.request(request)
        input_tokens = await self.count_tokens(request.prompt)
        check_window(input_tokens, request.max_tokens, WINDOW_TOKENS, is_raw=request.is_raw)
        reply = self._script.reply_to(request)
        await _refuse(reply)
        if not await self.can_admit():
            raise OverloadedError(f"{len(self._running)} requests are running")
        prompt = PreparedPrompt(request, [0] * input_tokens, window_tokens=WINDOW_TOKENS)
        progress = AnswerProgress(prompt)
        reservation = self._memory.reserve(progress.max_total_tokens * KV_BYTES_PER_TOKEN, BufferUsage.KV_CACHE)
        number = next(self._numbers)
        self._running[number] = progress
        phase = OperationPhase.CANCELLED
        try:
            self._record(progress, OperationPhase.STARTED)
            yield GenerationStarted(input_tokens)
            async with aclosing(self._play(prompt, progress, reply)) as events:
                async for event in events:
                    phase = OperationPhase.COMPLETED if isinstance(event, GenerationFinished) else phase
                    yield event
        except GenerationError:
            phase = OperationPhase.FAILED
            raise
        finally:
            del self._running[number]
            self._memory.release(reservation)
            self._record(progress, phase)

    async def _play(
        self, prompt: PreparedPrompt, progress: AnswerProgress, reply: ScriptedReply
    ) -> AsyncGenerator[GenerationEvent, None]:
        words = _TOKEN.findall(reply.text * reply.repeat)
        output = Output(prompt, progress, _Words(words), DIALECT, streams_calls=True)
        pace = _Pace(self._closed)
        progress.prefilled_tokens = 0
        await pace.wait(reply.prefill_seconds)
        progress.prefilled_tokens = len(prompt.token_ids)
        if not prompt.request.max_tokens:
            yield output.without_tokens()
            return
        for number in range(len(words) + 1):
            if number == reply.fail_after_tokens:
                raise GenerationError("the script fails here (fail_after_tokens)")
            await pace.wait(reply.seconds_per_token)
            if progress.count_token():
                self._record(progress, OperationPhase.PROGRESS)
            at_length = "length" if progress.output_tokens == progress.max_answer_tokens else None
            events, ended = output.push(number, "stop" if number == len(words) else at_length)
            for event in events:
                yield event
            if ended:
                return

    def _record(self, progress: AnswerProgress, phase: OperationPhase) -> None:
        record(self._monitor, self._memory.usage(), progress, phase, MODEL_ID)

    def prompt_tokens(self) -> PromptTokens:
        return PromptTokens()

    def memory_pressure(self) -> MemoryPressure:
        return MemoryPressure()

    @property
    def speculation(self) -> Speculation:
        return "off"

    def speculation_counts(self) -> SpeculationCounts:
        return SpeculationCounts()

    async def memory_usage(self) -> MemoryUsage:
        return self._memory.usage()

    async def supports_feature(self, feature: ModelFeature) -> bool:
        return feature in (ModelFeature.STREAMING, ModelFeature.SYSTEM_PROMPT)

    async def aclose(self) -> None:
        self._closed.set()


async def _refuse(reply: ScriptedReply) -> None:
    """
    Raises:
        ValidationError, OverloadedError: the script refuses such requests.
    """
    if reply.refuse_after_seconds is None:
        return
    await asyncio.sleep(reply.refuse_after_seconds)
    if reply.retry_after_seconds is not None:
        raise OverloadedError("the script has no room", retry_after_seconds=reply.retry_after_seconds)
    raise ValidationError("messages", "the script refuses this request (refuse_after_seconds)")


class _Words:
    """Decodes a scripted reply: a token id is the index of a word."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def step(self, token_id: int) -> str:
        return self._words[token_id]

    def finish(self) -> str:
        return ""


class _Pace:
    """Waits without accumulating drift, and stops waiting when the engine closes."""

    def __init__(self, closed: asyncio.Event) -> None:
        self._closed = closed
        self._next_at = time.monotonic()

    async def wait(self, seconds: float) -> None:
        self._next_at += seconds
        delay = self._next_at - time.monotonic()
        if delay <= 0:
            await asyncio.sleep(0)
        else:
            try:
                await asyncio.wait_for(self._closed.wait(), delay)
            except TimeoutError:
                return
        if self._closed.is_set():
            raise GenerationError("the server is stopping")
