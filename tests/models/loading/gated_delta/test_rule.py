"""By chunks, the gated delta rule gives what mlx-lm computes token by token."""

from __future__ import annotations

from dataclasses import dataclass, replace

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.loading.gated_delta.rule import DeltaInputs, chunked_gated_delta

import_mlx_lm()  # before anything else imports it

# ruff: noqa: E402
from mlx_lm.models.gated_delta import gated_delta_ops

TOLERANCE = 1e-5
"""Relative to the largest number, in f32."""


@dataclass(frozen=True)
class Case:
    inputs: DeltaInputs
    state: mx.array | None
    mask: mx.array | None = None

    def by_chunks(self, chunk_tokens: int = 64) -> tuple[mx.array, mx.array]:
        return chunked_gated_delta(self.inputs, self.state, self.mask, chunk_tokens=chunk_tokens)

    def by_tokens(self) -> tuple[mx.array, mx.array]:
        given, decay = self.inputs, mx.exp(self.inputs.log_decay)
        outputs, state = gated_delta_ops(
            given.queries, given.keys, given.values, decay, given.beta, self.state, self.mask
        )
        return outputs, state

    def tokens(self, part: slice, state: mx.array | None) -> Case:
        return Case(DeltaInputs(*(each[:, part] for each in arrays(self.inputs))), state)

    def rounded(self, dtype: mx.Dtype) -> Case:
        queries, keys, values, log_decay, beta = arrays(self.inputs)
        queries, keys, values, beta = (each.astype(dtype) for each in (queries, keys, values, beta))
        return replace(self, inputs=DeltaInputs(queries, keys, values, log_decay, beta))


def arrays(inputs: DeltaInputs) -> tuple[mx.array, ...]:
    return inputs.queries, inputs.keys, inputs.values, inputs.log_decay, inputs.beta


def case(
    batch: int = 1,
    num_tokens: int = 150,
    heads: tuple[int, int] = (2, 4),
    sizes: tuple[int, int] = (16, 24),
    *,
    by_channel: bool = False,
    decay: float = 0.1,
    repeated: bool = False,
    has_state: bool = True,
    seed: int = 0,
) -> Case:
    """Heads and sizes are of keys, then of values. `decay` scales the logarithm; `repeated` makes all keys alike."""
    mx.random.seed(seed)
    (key_heads, value_heads), (key_size, value_size) = heads, sizes
    keys = mx.random.normal((batch, num_tokens, key_heads, key_size))
    if repeated:
        keys = keys[:, :1] + 0.01 * keys
    per_token = (batch, num_tokens, value_heads)
    inputs = DeltaInputs(
        queries=mx.random.normal(keys.shape) / key_size,
        keys=keys / mx.linalg.norm(keys, axis=-1, keepdims=True),
        values=mx.random.normal((*per_token, value_size)),
        log_decay=-decay * mx.exp(mx.random.normal((*per_token, key_size) if by_channel else per_token)),
        beta=mx.sigmoid(mx.random.normal(per_token) + (4 if repeated else 0)),
    )
    return Case(inputs, mx.random.normal((batch, value_heads, value_size, key_size)) if has_state else None)


def difference(actual: mx.array, expected: mx.array) -> float:
    assert actual.shape == expected.shape
    largest = mx.abs(expected.astype(mx.float32)).max()
    return float(mx.abs(actual.astype(mx.float32) - expected.astype(mx.float32)).max() / largest)


def assert_same(actual: tuple[mx.array, mx.array], expected: tuple[mx.array, mx.array]) -> None:
    assert max(map(difference, actual, expected)) < TOLERANCE


@st.composite
def cases(draw: st.DrawFn) -> Case:
    key_heads = draw(st.integers(1, 2))
    return case(
        batch=draw(st.integers(1, 3)),
        num_tokens=draw(st.integers(1, 90)),
        heads=(key_heads, key_heads * draw(st.integers(1, 3))),
        sizes=(draw(st.integers(2, 20)), draw(st.integers(1, 20))),
        by_channel=draw(st.booleans()),
        decay=draw(st.sampled_from((0.0, 1e-3, 0.1, 1.0, 30.0))),
        has_state=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=60, deadline=None)
@given(some=cases(), chunk_tokens=st.integers(1, 64))
def test_any_shape_gives_what_single_steps_give(some: Case, chunk_tokens: int) -> None:
    assert_same(some.by_chunks(chunk_tokens), some.by_tokens())


@pytest.mark.parametrize("by_channel", [False, True])
def test_a_strong_decay_leaves_the_precision_of_weaker_ones(*, by_channel: bool) -> None:
    some = case(num_tokens=60, decay=30.0, by_channel=by_channel, seed=834)
    assert max(map(difference, some.by_chunks(), some.by_tokens())) < TOLERANCE / 10


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("num_tokens", [1, 2, 63, 64, 65, 127, 128, 129, 193])
def test_the_edges_of_chunks_leave_no_trace(num_tokens: int, *, by_channel: bool) -> None:
    some = case(num_tokens=num_tokens, by_channel=by_channel)
    assert_same(some.by_chunks(), some.by_tokens())


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("decay", [0.0, 1e-3])
def test_one_token_repeated_does_not_lose_precision(decay: float, *, by_channel: bool) -> None:
    some = case(num_tokens=200, by_channel=by_channel, decay=decay, repeated=True)
    assert_same(some.by_chunks(), some.by_tokens())


def test_a_beta_of_almost_two_reflects_the_state() -> None:
    some = case(num_tokens=100, decay=0.0, repeated=True)
    doubled = replace(some, inputs=replace(some.inputs, beta=2 * some.inputs.beta))
    assert_same(doubled.by_chunks(), doubled.by_tokens())


@pytest.mark.parametrize("by_channel", [False, True])
def test_decays_that_underflow_forget_without_a_trace(*, by_channel: bool) -> None:
    some = case(num_tokens=100, by_channel=by_channel, decay=1000.0)
    outputs, state = some.by_chunks()
    assert mx.isfinite(outputs).all().item()
    assert mx.isfinite(state).all().item()
    assert_same((outputs, state), some.by_tokens())


@pytest.mark.parametrize("by_channel", [False, True])
def test_a_prompt_in_several_parts_gives_what_it_gives_whole(*, by_channel: bool) -> None:
    some = case(num_tokens=150, by_channel=by_channel)
    outputs, state = [], some.state
    for part in (slice(0, 70), slice(70, 71), slice(71, 150)):
        output, state = some.tokens(part, state).by_chunks()
        outputs.append(output)
    assert state is not None
    assert_same((mx.concatenate(outputs, axis=1), state), some.by_tokens())


@pytest.mark.parametrize("by_channel", [False, True])
def test_masked_tokens_change_no_state(*, by_channel: bool) -> None:
    some = case(batch=3, num_tokens=100, by_channel=by_channel)
    tokens = mx.arange(100)
    mask = mx.stack([tokens < 100, tokens < 37, tokens >= 81])
    outputs, state = replace(some, mask=mask).by_chunks()
    expected_outputs, expected_state = replace(some, mask=mask).by_tokens()
    assert_same((outputs * mask[..., None, None], state), (expected_outputs * mask[..., None, None], expected_state))


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
def test_half_precision_is_no_worse_than_in_single_steps(dtype: mx.Dtype, *, by_channel: bool) -> None:
    some = case(num_tokens=200, by_channel=by_channel)
    exact = some.by_tokens()
    chunks, steps = some.rounded(dtype).by_chunks(), some.rounded(dtype).by_tokens()
    assert chunks[0].dtype == dtype
    assert chunks[1].dtype == mx.float32
    for ours, theirs, reference in zip(chunks, steps, exact, strict=True):
        assert difference(ours, reference) < 1.5 * difference(theirs, reference)
