import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.core.errors import PromptTooLongError, ValidationError
from pensieve.core.scheduling.validation import MIN_ANSWER_TOKENS, check_request, check_window, thinking_tokens


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


@pytest.mark.parametrize(
    ("input_tokens", "max_tokens", "maximum"),
    [
        (8193, 1, 8192),
        (9000, 10**30, 8192),
        (8192, 1, 8191),
        (8192 - MIN_ANSWER_TOKENS + 1, 32000, 8192 - MIN_ANSWER_TOKENS),
    ],
)
def test_a_prompt_without_room_for_an_answer_is_refused_in_the_wording_that_clients_match(
    input_tokens: int, max_tokens: int, maximum: int
) -> None:
    with pytest.raises(PromptTooLongError, match=rf"^prompt is too long: {input_tokens} tokens > {maximum} maximum$"):
        check_window(input_tokens, max_tokens, 8192)


@pytest.mark.parametrize(
    ("input_tokens", "max_tokens"),
    [(8000, 192), (8000, 193), (8000, 128_000), (1, 10**30), (8192 - MIN_ANSWER_TOKENS, 32000), (8191, 1)],
)
def test_a_prompt_that_leaves_room_is_accepted_whatever_its_max_tokens(input_tokens: int, max_tokens: int) -> None:
    check_window(input_tokens, max_tokens, 8192)


@pytest.mark.parametrize(
    ("budget", "max_tokens", "answer_tokens", "expected"),
    [
        (10_000, 32_000, 32_000, 10_000),
        (31_999, 32_000, 32_000, 31_999),
        (31_999, 32_000, 20_000, 19_999),
        (10_000, 32_000, 20_000, 10_000),
        (16_000, 32_000, 20_000, 10_000),
        (50_000, 32_000, 20_000, 20_000),
        (0, 32_000, 20, 0),
    ],
)
def test_thinking_leaves_room_for_the_answer_when_the_window_is_smaller_than_max_tokens(
    budget: int, max_tokens: int, answer_tokens: int, expected: int
) -> None:
    assert thinking_tokens(budget, max_tokens, answer_tokens) == expected
