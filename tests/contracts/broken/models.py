"""Models that are wrong in one way each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from contracts.values.generation import GenerationEvent, GenerationFinished, GenerationStarted, TextGenerated
from contracts.values.vocabulary import (
    ChatMessage,
    GenerationRequest,
    MemoryUsage,
    ModelFeature,
    ModelInfo,
    Prompt,
    StopReason,
)
from pensieve.core.errors import ValidationError
from tests.contracts.broken.register import Broken
from tests.contracts.in_memory.model import InMemoryModel

broken = Broken[InMemoryModel]()


@broken.by("IM-1")
class CountsNothing(InMemoryModel):
    async def count_tokens(self, prompt: Prompt) -> int:
        return 0 * await super().count_tokens(prompt)


@broken.by("IM-2")
class CountsAnEmptyConversation(InMemoryModel):
    async def count_tokens(self, prompt: Prompt) -> int:
        return 1 + self.num_prompt_tokens(prompt.messages)


@broken.by("IM-2")
class NamesAnotherField(InMemoryModel):
    async def count_tokens(self, prompt: Prompt) -> int:
        if not prompt.messages:
            raise ValidationError("model", "something is missing")
        return self.num_prompt_tokens(prompt.messages)


@broken.by("IM-3")
class CountingCrashes(InMemoryModel):
    def num_prompt_tokens(self, messages: tuple[ChatMessage, ...]) -> int:
        raise LookupError(len(messages))


class _AcceptsOneField(InMemoryModel):
    field = ""

    def refuse(self, request: GenerationRequest) -> None:
        try:
            super().refuse(request)
        except ValidationError as error:
            if error.field != self.field:
                raise


@broken.by("IM-4")
class AcceptsAnyMaxTokens(_AcceptsOneField):
    field = "max_tokens"


@broken.by("IM-5")
class AcceptsAnyTemperature(_AcceptsOneField):
    field = "temperature"


@broken.by("IM-5")
class AcceptsATemperatureOfNaN(InMemoryModel):
    def refuse(self, request: GenerationRequest) -> None:
        if request.sampling.temperature == request.sampling.temperature:  # only NaN differs from itself
            super().refuse(request)


@broken.by("IM-6")
class AcceptsAnyTopP(_AcceptsOneField):
    field = "top_p"


@broken.by("IM-6")
class AcceptsAnyTopK(_AcceptsOneField):
    field = "top_k"


@broken.by("IM-6")
class AcceptsAnyMinP(_AcceptsOneField):
    field = "min_p"


@broken.by("IM-6")
class AcceptsAnyRepetitionPenalty(_AcceptsOneField):
    field = "repetition_penalty"


@broken.by("IM-6")
class AcceptsAnyFrequencyPenalty(_AcceptsOneField):
    field = "frequency_penalty"


@broken.by("IM-7")
class AnswersAnEmptyConversation(_AcceptsOneField):
    field = "messages"


@broken.by("IM-7")
class RefusesOnlyAfterTheStart(InMemoryModel):
    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        if not request.messages:
            yield GenerationStarted(1)
        async with aclosing(super().generate(request)) as events:
            async for event in events:
                yield event


@broken.by("IM-8")
class NeverFinishes(InMemoryModel):
    def events(self, request: GenerationRequest, input_tokens: int, number: int) -> list[GenerationEvent]:
        events = super().events(request, input_tokens, number)
        return [event for event in events if not isinstance(event, GenerationFinished)] or [TextGenerated("…", number)]


@broken.by("IM-8")
class MiscountsThePrompt(InMemoryModel):
    def events(self, request: GenerationRequest, input_tokens: int, number: int) -> list[GenerationEvent]:
        return super().events(request, input_tokens + 1, number)


@broken.by("IM-8")
class ShowsStopSequences(InMemoryModel):
    def shown(self, request: GenerationRequest, num_tokens: int) -> str:
        return self.generated(request, num_tokens)


@broken.by("IM-8")
class BreaksOffInMidAnswer(InMemoryModel):
    def events(self, request: GenerationRequest, input_tokens: int, number: int) -> list[GenerationEvent]:
        return super().events(replace(request, max_tokens=min(4, request.max_tokens)), input_tokens, number)


@broken.by("IM-9")
class GeneratingCrashes(InMemoryModel):
    async def step(self) -> None:
        raise ZeroDivisionError


@broken.by("IM-10")
class UsesMoreThanItsPeak(InMemoryModel):
    async def memory_usage(self) -> MemoryUsage:
        return replace(await super().memory_usage(), peak_bytes=0)


@broken.by("IM-10")
class ReportsNoFigures(InMemoryModel):
    async def memory_usage(self) -> MemoryUsage:
        return None  # type: ignore[return-value]


@broken.by("IM-11")
class CannotReportItsMemory(InMemoryModel):
    async def memory_usage(self) -> MemoryUsage:
        raise NotImplementedError


@broken.by("IM-13")
class AnswersPerhaps(InMemoryModel):
    async def supports_feature(self, feature: ModelFeature) -> bool:
        return f"perhaps {feature.value}"  # type: ignore[return-value]


@broken.by("IM-20")
class HasNoName(InMemoryModel):
    @property
    def info(self) -> ModelInfo:
        return replace(super().info, id="")


@broken.by("IM-21")
class RefusesTheHighestTemperature(InMemoryModel):
    def refuse(self, request: GenerationRequest) -> None:
        super().refuse(request)
        if request.sampling.temperature == 2.0:
            raise ValidationError("temperature", "too hot")


@broken.by("IM-21")
class NeedsATemperature(InMemoryModel):
    def refuse(self, request: GenerationRequest) -> None:
        super().refuse(request)
        if request.sampling.temperature is None:
            raise ValidationError("temperature", "it is missing")


@broken.by("IM-22")
class CountsWithoutItsTemplate(InMemoryModel):
    async def count_tokens(self, prompt: Prompt) -> int:
        return await super().count_tokens(prompt) - 1


@broken.by("IM-23")
class NeverRepeatsAnAnswer(InMemoryModel):
    def words(self, request: GenerationRequest) -> list[str]:
        return [f"{self.num_started}{word}" for word in super().words(request)]


@broken.by("IM-24")
class EmitsTheFirstLetter(InMemoryModel):
    def shown(self, request: GenerationRequest, num_tokens: int) -> str:
        stop = self.stop_within(request, num_tokens)
        return super().shown(request, num_tokens) + (stop[0] if stop else "")


@broken.by("IM-24")
class StopsWithoutSayingWhy(InMemoryModel):
    def events(self, request: GenerationRequest, input_tokens: int, number: int) -> list[GenerationEvent]:
        *others, last = super().events(request, input_tokens, number)
        if isinstance(last, GenerationFinished) and last.stop_sequence is not None:
            last = replace(last, stop_reason=StopReason.END_TURN, stop_sequence=None)
        return [*others, last]


@broken.by("IM-25")
class MixesItsStreams(InMemoryModel):
    """Every stream continues with the latest prompt."""

    def refuse(self, request: GenerationRequest) -> None:
        super().refuse(request)
        self.latest = request

    def words(self, request: GenerationRequest) -> list[str]:
        return super().words(replace(request, messages=self.latest.messages))


@broken.by("IM-26")
class IgnoresItsWindow(InMemoryModel):
    def refuse_what_does_not_fit(self, input_tokens: int, max_tokens: int) -> None:
        pass


@broken.by("IM-26")
class RefusesLongAnswers(InMemoryModel):
    def refuse_what_does_not_fit(self, input_tokens: int, max_tokens: int) -> None:
        super().refuse_what_does_not_fit(input_tokens + max_tokens - 1, 1)


@broken.by("IM-27")
class LeaksClosedStreams(InMemoryModel):
    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        async with aclosing(super().generate(request)) as events:
            try:
                async for event in events:
                    yield event
            except GeneratorExit:
                self.num_open += 1
                raise


@broken.by("IM-28")
class SwallowsCancellation(InMemoryModel):
    async def step(self) -> None:
        try:
            await super().step()
        except asyncio.CancelledError:
            return


@broken.by("IM-28")
class HangsOnceCancelled(InMemoryModel):
    is_hanging = False

    async def step(self) -> None:
        if self.is_hanging:
            await asyncio.Event().wait()
        try:
            await super().step()
        except asyncio.CancelledError:
            self.is_hanging = True
            raise


@broken.by("IM-29")
class ClosesOnce(InMemoryModel):
    async def aclose(self) -> None:
        if self.is_closed:
            raise RuntimeError
        await super().aclose()


@broken.by("IM-29")
class LeavesItsStreamsHanging(InMemoryModel):
    async def step(self) -> None:
        if self.is_closed:
            await asyncio.Event().wait()
        await super().step()
