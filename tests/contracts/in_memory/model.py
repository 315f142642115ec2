"""A minimal model and a minimal manager that keep their contracts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from contracts.values.generation import GenerationEvent, GenerationFinished, GenerationStarted, TextGenerated, Usage
from contracts.values.vocabulary import (
    ChatMessage,
    GenerationRequest,
    MemoryUsage,
    ModelConfig,
    ModelFeature,
    ModelInfo,
    Prompt,
    StopReason,
)
from pensieve.core.errors import (
    GenerationError,
    ModelLoadingError,
    NotFoundError,
    OverloadedError,
    PromptTooLongError,
    ValidationError,
)

WINDOW_TOKENS = 100
KV_BYTES_PER_STREAM = 1000


class InMemoryModel:
    """Repeats the user's words twice, each with a number. One word is one token."""

    def __init__(self, model_id: str = "in-memory") -> None:
        self.model_id = model_id
        self.num_open = 0
        self.num_started = 0
        self.is_closed = False

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(self.model_id, "In memory", WINDOW_TOKENS, "2026-01-01T00:00:00Z")

    async def count_tokens(self, prompt: Prompt) -> int:
        if not prompt.messages:
            raise ValidationError("messages", "at least one message is required")
        return self.num_prompt_tokens(prompt.messages)

    def num_prompt_tokens(self, messages: tuple[ChatMessage, ...]) -> int:
        return sum(len(message.text.split()) + 1 for message in messages)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        self.refuse(request)
        input_tokens = self.num_prompt_tokens(request.messages)
        self.refuse_what_does_not_fit(input_tokens, request.max_tokens)
        self.open_stream()
        try:
            yield GenerationStarted(input_tokens)
            if not request.max_tokens:
                yield GenerationFinished(StopReason.MAX_TOKENS, Usage(input_tokens, 0))
            for number in range(1, request.max_tokens + 1):
                await self.step()
                events = self.events(request, input_tokens, number)
                for event in events:
                    yield event
                if isinstance(events[-1], GenerationFinished):
                    return
        finally:
            self.close_stream()

    def refuse(self, request: GenerationRequest) -> None:
        sampling = request.sampling
        if not request.messages:
            raise ValidationError("messages", "at least one message is required")
        if request.max_tokens < 0:
            raise ValidationError("max_tokens", "at least 0")
        if sampling.temperature is not None and not 0.0 <= sampling.temperature <= 2.0:
            raise ValidationError("temperature", "0.0 to 2.0")
        if sampling.top_p is not None and not 0.0 <= sampling.top_p <= 1.0:
            raise ValidationError("top_p", "0.0 to 1.0")
        if sampling.top_k is not None and sampling.top_k < 0:
            raise ValidationError("top_k", "at least 0")
        if sampling.min_p is not None and not 0.0 <= sampling.min_p <= 1.0:
            raise ValidationError("min_p", "0.0 to 1.0")
        if sampling.repetition_penalty is not None and not 0.0 < sampling.repetition_penalty <= 10.0:
            raise ValidationError("repetition_penalty", "above 0.0, at most 10.0")
        for name in ("presence_penalty", "frequency_penalty"):
            penalty = getattr(sampling, name)
            if penalty is not None and not -2.0 <= penalty <= 2.0:
                raise ValidationError(name, "-2.0 to 2.0")

    def refuse_what_does_not_fit(self, input_tokens: int, max_tokens: int) -> None:
        if input_tokens + min(max_tokens, 1) > WINDOW_TOKENS:
            raise PromptTooLongError(input_tokens, WINDOW_TOKENS)

    def open_stream(self) -> None:
        self.num_started += 1
        self.num_open += 1

    def close_stream(self) -> None:
        self.num_open -= 1

    async def step(self) -> None:
        await asyncio.sleep(0)
        if self.is_closed:
            raise GenerationError("the model was closed")

    def events(self, request: GenerationRequest, input_tokens: int, number: int) -> list[GenerationEvent]:
        """The events of token `number`, counted from 1. The token after the last word ends the turn."""
        usage = Usage(input_tokens, number)
        text = self.shown(request, number)[len(self.shown(request, number - 1)) :]
        events: list[GenerationEvent] = [TextGenerated(text, number)] if text else []
        stop = self.stop_within(request, number)
        if stop is not None:
            events.append(GenerationFinished(StopReason.STOP_SEQUENCE, usage, stop))
        elif number > len(self.words(request)):
            events.append(GenerationFinished(StopReason.END_TURN, usage))
        elif number == request.max_tokens:
            events.append(GenerationFinished(StopReason.MAX_TOKENS, usage))
        elif input_tokens + number == WINDOW_TOKENS:
            events.append(GenerationFinished(StopReason.WINDOW_FULL, usage))
        return events

    def shown(self, request: GenerationRequest, num_tokens: int) -> str:
        """The text emitted after `num_tokens` tokens, without an end that may begin a stop sequence."""
        text = self.generated(request, num_tokens)
        stop = self.stop_within(request, num_tokens)
        if stop is not None:
            return text[: text.find(stop)]
        if num_tokens == request.max_tokens or num_tokens > len(self.words(request)):
            return text
        beginnings = [stop[:length] for stop in request.stop_sequences for length in range(1, len(stop))]
        return text[: len(text) - max((len(part) for part in beginnings if text.endswith(part)), default=0)]

    def stop_within(self, request: GenerationRequest, num_tokens: int) -> str | None:
        text = self.generated(request, num_tokens)
        return next((stop for stop in request.stop_sequences if stop in text), None)

    def generated(self, request: GenerationRequest, num_tokens: int) -> str:
        return "".join(self.words(request)[:num_tokens])

    def words(self, request: GenerationRequest) -> list[str]:
        words = [word for message in request.messages for word in message.text.split()]
        return [f"{number} {word} " for number, word in enumerate(words * 2)]

    async def memory_usage(self) -> MemoryUsage:
        kv_cache_bytes = KV_BYTES_PER_STREAM * self.num_open
        total_bytes = 5000 + kv_cache_bytes
        return MemoryUsage(5000, kv_cache_bytes, 0, total_bytes, total_bytes, 1_000_000)

    async def supports_feature(self, feature: ModelFeature) -> bool:
        return feature is ModelFeature.STREAMING

    async def aclose(self) -> None:
        self.is_closed = True


class InMemoryManager:
    """Knows the sources `one` and `two`."""

    def __init__(self) -> None:
        self.models: dict[str, InMemoryModel] = {}
        self.num_borrowed = {"one": 0, "two": 0}

    def loaded(self) -> tuple[ModelInfo, ...]:
        return tuple(model.info for model in reversed(self.models.values()))

    def known(self) -> tuple[ModelInfo, ...]:
        return (InMemoryModel("one").info, InMemoryModel("two").info)

    def find(self, name: str) -> ModelInfo | None:
        return next((info for info in self.known() if info.id == name), None)

    def in_use(self, model_id: str) -> bool:
        return model_id in self.models and self.models[model_id].num_open + self.num_borrowed[model_id] > 0

    def get(self, model_id: str) -> InMemoryModel | None:
        return self.models.get(model_id)

    async def load_model(self, config: ModelConfig) -> InMemoryModel:
        if config.source not in ("one", "two"):
            raise ModelLoadingError(config.source, "unknown model")
        return self.models.setdefault(config.source, self.make(config.source))

    async def borrow(self, name: str) -> InMemoryModel:
        if self.find(name) is None:
            raise NotFoundError(f"{name} is not known")
        model = await self.load_model(ModelConfig(name))
        self.num_borrowed[name] += 1
        return model

    def give_back(self, model_id: str) -> None:
        self.num_borrowed[model_id] -= 1

    def make(self, source: str) -> InMemoryModel:
        return InMemoryModel(source)

    async def unload_model(self, model_id: str) -> None:
        if model_id not in self.models:
            raise NotFoundError(f"{model_id} is not loaded")
        if self.in_use(model_id):
            raise OverloadedError(f"{model_id} is in use", retry_after_seconds=1)
        await self.models.pop(model_id).aclose()

    async def optimize_memory_usage(self) -> int:
        return 0

    async def aclose(self) -> None:
        while self.models:
            await self.models.popitem()[1].aclose()
