"""The roofline model, against published figures and on ideal devices."""

from __future__ import annotations

import pytest

from pensieve.core.fit.roofline import (
    AttentionLayers,
    DeviceRates,
    TokenCost,
    first_token_seconds,
    limit_tokens_per_second,
    tokens_per_second,
)

M1 = DeviceRates(68e9, 2.6e12, 2.6e12)
DEEPSEEK_CODER_6_7B = TokenCost(bytes_per_token=3_800_000_000, active_parameters=6_700_000_000)


def test_68_gb_per_second_allow_18_tokens_per_second_of_a_6_7b_model_in_4_bits() -> None:
    assert limit_tokens_per_second(DEEPSEEK_CODER_6_7B, M1) == pytest.approx(18, abs=0.5)
    assert tokens_per_second(DEEPSEEK_CODER_6_7B, M1) == pytest.approx(18, abs=0.5)


def test_the_kv_is_read_as_well() -> None:
    empty = tokens_per_second(DEEPSEEK_CODER_6_7B, M1)
    assert tokens_per_second(DEEPSEEK_CODER_6_7B, M1, kv_bytes=3_800_000_000) == pytest.approx(empty / 2)


def test_the_reached_share_of_the_bandwidth_counts() -> None:
    reached = DeviceRates(68e9, 2.6e12, 2.6e12, bandwidth_share=0.5)
    assert tokens_per_second(DEEPSEEK_CODER_6_7B, reached) == pytest.approx(
        limit_tokens_per_second(DEEPSEEK_CODER_6_7B, reached) / 2
    )


def test_each_operation_adds_overhead() -> None:
    small = TokenCost(bytes_per_token=1, active_parameters=1, num_operations=1000)
    assert tokens_per_second(small, DeviceRates(1e12, 1e12, 1e12, operation_seconds=1e-5)) == pytest.approx(
        100, rel=0.01
    )


def test_a_prompt_takes_as_long_as_its_arithmetic() -> None:
    assert first_token_seconds(DEEPSEEK_CODER_6_7B, M1, 2000, 512) == pytest.approx(2 * 6.7e9 * 2000 / 2.6e12)


def test_a_prompt_of_one_token_takes_as_long_as_reading_the_weights() -> None:
    assert first_token_seconds(DEEPSEEK_CODER_6_7B, M1, 1, 512) == pytest.approx(3.8 / 68)


def test_attention_grows_quadratically_unless_a_window_limits_it() -> None:
    full = TokenCost(1, 0, (AttentionLayers(32, 8192),))
    windowed = TokenCost(1, 0, (AttentionLayers(32, 8192, window_tokens=1000),))
    rates = DeviceRates(1e15, 1e12, 1e12)
    assert first_token_seconds(full, rates, 8000, 512) == pytest.approx(4 * first_token_seconds(full, rates, 4000, 512))
    assert first_token_seconds(windowed, rates, 8000, 512) == pytest.approx(
        2 * first_token_seconds(windowed, rates, 4000, 512)
    )
    assert first_token_seconds(full, rates, 1000, 512) == pytest.approx(2 * 32 * 8192 * 1000 * 500 / 1e12)


MIXTURE = TokenCost(3_000_000_000, 3_000_000_000, expert_bytes=16_000_000_000, expert_share=8 / 256)


def test_one_token_reads_a_few_experts_and_a_chunk_nearly_all() -> None:
    assert MIXTURE.bytes_read(1) == 3e9
    assert MIXTURE.bytes_read(2) == pytest.approx(3e9 + 16e9 * (1 - 8 / 256) * 8 / 256)
    assert MIXTURE.bytes_read(512) == pytest.approx(3e9 + 16e9 * (1 - 8 / 256), rel=1e-6)
    assert DEEPSEEK_CODER_6_7B.bytes_read(512) == 3.8e9


def test_the_prompt_of_a_mixture_takes_as_long_as_reading_all_experts_for_each_chunk() -> None:
    rates = DeviceRates(100e9, 1e15, 1e15)
    assert first_token_seconds(MIXTURE, rates, 1024, 512) == pytest.approx(2 * 18.5e9 / 100e9)
    assert first_token_seconds(MIXTURE, rates, 1024, 1024) == pytest.approx(18.5e9 / 100e9)
    slow = DeviceRates(100e9, 1e12, 1e15)
    assert first_token_seconds(MIXTURE, slow, 1024, 512) == pytest.approx(2 * 3e9 * 1024 / 1e12)
