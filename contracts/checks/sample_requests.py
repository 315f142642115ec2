"""The requests that the checks send to a model, and the answers that they collect."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from contracts.protocols.inference import InferenceModel
from contracts.values.generation import GenerationFinished, GenerationStarted, TextGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling

GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class SampleRequests:
    """The requests of a check. The prompts should get answers of several tokens.

    A promise that takes longer than `seconds` counts as broken.
    """

    prompt: str = "Name three colours."
    other_prompt: str = "Count from one to five, in words."
    max_tokens: int = 16
    seconds: float = 60.0

    @property
    def request(self) -> GenerationRequest:
        return request_for(self.prompt, self.max_tokens)

    @property
    def other_request(self) -> GenerationRequest:
        return request_for(self.other_prompt, self.max_tokens)


SAMPLES = SampleRequests()


@dataclass(frozen=True, slots=True)
class CollectedAnswer:
    """The text and the end of a whole stream, for comparison."""

    text: str
    input_tokens_at_start: int
    finished: GenerationFinished


def request_for(
    prompt: str, max_tokens: int, *, sampling: Sampling = GREEDY, stop_sequences: tuple[str, ...] = ()
) -> GenerationRequest:
    """A request with one user turn; greedy by default, because most promises compare answers."""
    return GenerationRequest((ChatMessage(Role.USER, prompt),), max_tokens, sampling, stop_sequences)


async def collect(model: InferenceModel, request: GenerationRequest) -> CollectedAnswer:
    """The whole answer to a request. The model is `checked`, so its events come in the right order."""
    text: list[str] = []
    input_tokens = 0
    async with aclosing(model.generate(request)) as events:
        async for event in events:
            if isinstance(event, GenerationStarted):
                input_tokens = event.input_tokens
            elif isinstance(event, TextGenerated):
                text.append(event.text)
            elif isinstance(event, GenerationFinished):
                finished = event
    return CollectedAnswer("".join(text), input_tokens, finished)


async def begin_and_close(model: InferenceModel, request: GenerationRequest) -> None:
    """Close a stream at its first text, while its KV cache is in use."""
    async with aclosing(model.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                return
