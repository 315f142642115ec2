"""What the checks ask a model, and what they keep of its answer."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from contracts.protocols.inference import InferenceModel
from contracts.values.generation import GenerationFinished, GenerationStarted, TextGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling

GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Questions:
    """What a check asks. The prompts should have answers of several tokens.

    No promise may take longer than `seconds` to be kept.
    """

    prompt: str = "Name three colours."
    other_prompt: str = "Count from one to five, in words."
    max_tokens: int = 16
    seconds: float = 60.0

    @property
    def request(self) -> GenerationRequest:
        return asked(self.prompt, self.max_tokens)

    @property
    def other_request(self) -> GenerationRequest:
        return asked(self.other_prompt, self.max_tokens)


QUESTIONS = Questions()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole stream. Two that say the same are equal."""

    text: str
    input_tokens_at_start: int
    finished: GenerationFinished


def asked(
    prompt: str, max_tokens: int, *, sampling: Sampling = GREEDY, stop_sequences: tuple[str, ...] = ()
) -> GenerationRequest:
    """One user's turn; greedy unless told otherwise, since most promises compare answers."""
    return GenerationRequest((ChatMessage(Role.USER, prompt),), max_tokens, sampling, stop_sequences)


async def answer(model: InferenceModel, request: GenerationRequest) -> Answer:
    """The whole stream of a request. The model is `checked`, so the order of its events is known to be right."""
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
    return Answer("".join(text), input_tokens, finished)


async def begin_and_leave(model: InferenceModel, request: GenerationRequest) -> None:
    """Close a stream at its first text, when its KV cache is in use."""
    async with aclosing(model.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                return
