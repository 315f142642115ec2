"""Request handlers that are wrong in one way each. RH-3 stands for all MS clauses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from contracts.values.generation import GenerationEvent, GenerationFinished, TextGenerated
from contracts.values.vocabulary import GenerationRequest, MessageEvent
from pensieve.core.errors import GenerationError, OverloadedError, PensieveError
from tests.contracts.broken.register import Broken
from tests.contracts.in_memory.parts import InMemoryHandler

broken = Broken[InMemoryHandler]()


class _Distorted(InMemoryHandler):
    """Passes every event through `distorted`, which may change it."""

    async def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        async with aclosing(super().handle_request(request, model_name)) as events:
            async for event in events:
                for distorted in self.distorted(event):
                    yield distorted

    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [event]


@broken.by("MS-1")
class SendsAnUnknownEvent(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"type": "keepalive"}] if event["type"] == "ping" else [event]


@broken.by("MS-2")
class LeavesItsBlockOpen(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [] if event["type"] == "content_block_stop" else [event]


@broken.by("MS-3")
class StartsWithContent(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [event | {"message": event["message"] | {"content": None}}] if "message" in event else [event]


@broken.by("MS-4")
class CountsBlocksFromOne(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [event | {"index": 1}] if "index" in event else [event]


@broken.by("MS-5")
class SendsTextAsThinking(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["type"] != "content_block_delta":
            return [event]
        return [event | {"delta": {"type": "thinking_delta", "thinking": event["delta"]["text"]}}]


@broken.by("MS-6")
class StopsWithoutAReason(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["type"] != "message_delta":
            return [event]
        return [event | {"delta": {"stop_reason": None, "stop_sequence": None}}]


@broken.by("MS-7")
class ForgetsThePrompt(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["type"] != "message_delta":
            return [event]
        return [event | {"usage": event["usage"] | {"input_tokens": 0}}]


@broken.by("MS-8")
class NeverStops(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [] if event["type"] == "message_stop" else [event]


@broken.by("MS-9")
class StartsABlockWithText(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["type"] != "content_block_start":
            return [event]
        return [event | {"content_block": {"type": "text", "text": "Well,"}}]


@broken.by("RH-1")
class AnswersWithoutABool(InMemoryHandler):
    async def can_handle_request(self, request: GenerationRequest) -> bool:
        return request.messages  # type: ignore[return-value]


@broken.by("RH-2")
class CheckingCrashes(InMemoryHandler):
    async def can_handle_request(self, request: GenerationRequest) -> bool:
        raise OverloadedError(f"no place for {len(request.messages)} messages", retry_after_seconds=1)


@broken.by("RH-4")
class HandlingCrashes(InMemoryHandler):
    def message_events(self, event: GenerationEvent, model_name: str) -> list[MessageEvent]:
        raise AttributeError(f"{event} for {model_name}")


@broken.by("RH-20")
class EndsWithAnError(InMemoryHandler):
    def ending(self, event: GenerationFinished) -> list[MessageEvent]:
        raise GenerationError(f"what is {event.stop_reason.value}?")


@broken.by("RH-20")
class ExceedsMaxTokens(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["type"] != "message_delta":
            return [event]
        return [event | {"usage": event["usage"] | {"output_tokens": 1000}}]


@broken.by("RH-21")
class LowercasesNames(InMemoryHandler):
    def opening(self, input_tokens: int, model_name: str) -> list[MessageEvent]:
        return super().opening(input_tokens, model_name.lower())


@broken.by("RH-22")
class RefusesInTheStream(InMemoryHandler):
    async def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        try:
            async with aclosing(super().handle_request(request, model_name)) as events:
                async for event in events:
                    yield event
        except PensieveError as error:
            yield {"type": "error", "error": {"type": "invalid_request_error", "message": str(error)}}


@broken.by("RH-23")
class ReservesWhenChecking(InMemoryHandler):
    num_places = 50

    async def can_handle_request(self, request: GenerationRequest) -> bool:
        self.num_places -= 1
        return self.num_places > 0 and await super().can_handle_request(request)


@broken.by("RH-24")
class ReusesMessageIds(InMemoryHandler):
    def message_id(self) -> str:
        return super().message_id()[:3]


@broken.by("RH-24")
class NeverRepeatsAMessage(InMemoryHandler):
    def message_events(self, event: GenerationEvent, model_name: str) -> list[MessageEvent]:
        if isinstance(event, TextGenerated):
            event = TextGenerated(f"{self.num_messages} {event.text}", event.output_tokens)
        return super().message_events(event, model_name)


@broken.by("RH-25")
class ShoutsWhenConcurrent(InMemoryHandler):
    num_open = 0

    async def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        self.num_open += 1
        try:
            async with aclosing(super().handle_request(request, model_name)) as events:
                async for event in events:
                    yield event
        finally:
            self.num_open -= 1

    def message_events(self, event: GenerationEvent, model_name: str) -> list[MessageEvent]:
        if isinstance(event, TextGenerated) and self.num_open > 1:
            event = TextGenerated(event.text.upper(), event.output_tokens)
        return super().message_events(event, model_name)


@broken.by("RH-26")
class LeaksPlacesOfClosedStreams(InMemoryHandler):
    num_places = 2

    async def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        if self.num_places == 0:
            raise OverloadedError("no place is left", retry_after_seconds=1)
        self.num_places -= 1
        try:
            async with aclosing(super().handle_request(request, model_name)) as events:
                async for event in events:
                    yield event
        except PensieveError:
            self.num_places += 1
            raise
        self.num_places += 1


@broken.by("RH-27")
class RaisesInsteadOfAnErrorEvent(_Distorted):
    def distorted(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["type"] == "error":
            raise GenerationError(event["error"]["message"])
        return [event]
