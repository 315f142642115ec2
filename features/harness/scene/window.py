"""Requests that fill the context window of the model under test."""

from __future__ import annotations

from features.harness.scene.scene import Json, count_request
from features.harness.verdicts.skips import skip_disabled
from features.harness.wire.client import COUNT_TOKENS, Client
from features.harness.wire.expectations import expect_that

_MAX_PROMPT_TOKENS = 16_000
"""A longer prompt takes minutes on a slow machine, and costs money elsewhere."""


def window_of(client: Client) -> int:
    """The model's window. Without it, the scenario is disabled."""
    window = _described(client).get("max_input_tokens")
    if not isinstance(window, int):
        skip_disabled("the model's window is unknown: /v1/models/{id} has no max_input_tokens")
    return window


def longest_answer_of(client: Client) -> int:
    """The most that max_tokens may be, by the model's description."""
    max_tokens = _described(client).get("max_tokens")
    return max_tokens if isinstance(max_tokens, int) else window_of(client)


def count_of(client: Client, body: Json) -> int:
    count = client.post(count_request(body), COUNT_TOKENS).message()["input_tokens"]
    expect_that(isinstance(count, int), "input_tokens to be a number", count)
    return int(count)


def fill_prompt(client: Client, body: Json, num_tokens: int) -> None:
    """Lengthen the system prompt until the prompt has `num_tokens`, or a few less."""
    if num_tokens > _MAX_PROMPT_TOKENS:
        skip_disabled(f"a prompt of {num_tokens} tokens would take too long: this needs a model with a smaller window")
    one, hundred = (count_of(client, {**body, "system": "word " * number}) for number in (1, 101))
    num_words = 1 + (num_tokens - one) * 100 // max(1, hundred - one)
    body["system"] = "word " * num_words
    while (surplus := count_of(client, body) - num_tokens) > 0:
        num_words -= (surplus + 1) // 2
        body["system"] = "word " * num_words


def _described(client: Client) -> Json:
    return client.send("GET", f"/v1/models/{client.model}").json()
