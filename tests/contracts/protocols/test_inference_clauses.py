"""The clauses of InferenceModel require a refusal for each bad value, and none at the edges of a range."""

from __future__ import annotations

import asyncio
import math

import pytest

from contracts.checked import checked
from contracts.checks.sample_requests import collect
from contracts.clauses import ContractViolation
from contracts.protocols.inference import InferenceModel
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from tests.contracts.in_memory.model import InMemoryModel

HELLO = (ChatMessage(Role.USER, "Hello."),)


class TakesAnything(InMemoryModel):
    """Refuses nothing."""

    def refuse(self, request: GenerationRequest) -> None:
        assert isinstance(request, GenerationRequest)


def send(request: GenerationRequest) -> None:
    asyncio.run(collect(checked(InferenceModel, TakesAnything()), request))


@pytest.mark.parametrize(
    ("clause_id", "request_"),
    [
        ("IM-4", GenerationRequest(HELLO, -1)),
        ("IM-5", GenerationRequest(HELLO, 1, Sampling(-0.1))),
        ("IM-5", GenerationRequest(HELLO, 1, Sampling(2.1))),
        ("IM-5", GenerationRequest(HELLO, 1, Sampling(math.nan))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(top_p=-0.1))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(top_p=1.1))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(top_p=math.nan))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(top_k=-1))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(min_p=1.1))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(repetition_penalty=0.0))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(repetition_penalty=math.inf))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(presence_penalty=2.1))),
        ("IM-6", GenerationRequest(HELLO, 1, Sampling(frequency_penalty=-2.1))),
        ("IM-7", GenerationRequest((), 1)),
    ],
)
def test_a_missing_refusal_is_caught(clause_id: str, request_: GenerationRequest) -> None:
    with pytest.raises(ContractViolation) as violation:
        send(request_)
    assert violation.value.clause.id == clause_id


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(0.0),
        Sampling(2.0),
        Sampling(top_p=0.0),
        Sampling(top_p=1.0),
        Sampling(top_k=0),
        Sampling(min_p=1.0, repetition_penalty=10.0),
        Sampling(presence_penalty=-2.0, frequency_penalty=2.0),
    ],
)
def test_no_refusal_is_required_at_the_edge_of_a_range(sampling: Sampling) -> None:
    send(GenerationRequest(HELLO, 1, sampling))
