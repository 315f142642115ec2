import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.core.errors import OutputTooLongError, PromptTooLongError, ValidationError
from pensieve.core.scheduling.validation import check_request, check_window


def request(
    text: str = "Hello",
    max_tokens: int = 16,
    temperature: float | None = 1.0,
    top_p: float | None = None,
    top_k: int | None = None,
) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, text),), max_tokens, Sampling(temperature, top_p, top_k))


def sampled(sampling: Sampling) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, "Hello"),), 16, sampling)


@given(
    prompt=st.text(min_size=1, max_size=1000),
    max_tokens=st.integers(10, 500),
    temperature=st.none() | st.floats(0.0, 2.0),
    top_p=st.none() | st.floats(0.0, 1.0),
    top_k=st.none() | st.integers(0, 1000),
)
def test_every_prompt_length_and_sampling_in_range_is_accepted(
    prompt: str, max_tokens: int, temperature: float | None, top_p: float | None, top_k: int | None
) -> None:
    check_request(request(prompt, max_tokens, temperature, top_p, top_k))


@given(temperature=st.floats(-1.0, 3.0) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324]))
def test_a_temperature_is_refused_exactly_outside_0_to_2(temperature: float) -> None:
    if 0.0 <= temperature <= 2.0:
        check_request(request(temperature=temperature))
    else:
        with pytest.raises(ValidationError, match=r"^temperature: ") as caught:
            check_request(request(temperature=temperature))
        assert caught.value.field == "temperature"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (request(max_tokens=-1), "max_tokens"),
        (request(top_p=1.1), "top_p"),
        (request(top_p=math.nan), "top_p"),
        (request(top_k=-1), "top_k"),
        (sampled(Sampling(min_p=-0.1)), "min_p"),
        (sampled(Sampling(min_p=math.nan)), "min_p"),
        (sampled(Sampling(repetition_penalty=0.0)), "repetition_penalty"),
        (sampled(Sampling(repetition_penalty=10.5)), "repetition_penalty"),
        (sampled(Sampling(repetition_penalty=math.inf)), "repetition_penalty"),
        (GenerationRequest((), 16), "messages"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_field(wrong: GenerationRequest, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_request(wrong)
    assert caught.value.field == field


def test_a_prompt_over_the_window_is_refused_in_the_wording_that_clients_match() -> None:
    with pytest.raises(PromptTooLongError, match=r"^prompt is too long: 8192 tokens > 8192 maximum$"):
        check_window(8192, 1, 8192)


def test_an_output_over_the_window_is_refused_in_the_wording_that_clients_match() -> None:
    with pytest.raises(
        OutputTooLongError, match=r"^input length and max_tokens exceed context limit: 8000 \+ 193 > 8192"
    ):
        check_window(8000, 193, 8192)


def test_the_window_may_be_filled_to_the_last_token() -> None:
    check_window(8000, 192, 8192)
