"""KV bytes of conversations, against figures computed by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.fit.kv_bytes import KVLayers, KVShape, conversations_at_once, kv_bytes, longest_context

PLAIN = KVShape((KVLayers(30, 3, (64, 64)),), number_bytes=4)  # SmolLM2-135M on the CPU
WINDOWED = KVShape((KVLayers(2, 1, (256, 256)), KVLayers(10, 1, (256, 256), window_tokens=512)), number_bytes=2)


def test_a_plain_model_keeps_keys_and_values_of_every_layer() -> None:
    assert PLAIN.bytes_per_token() == 30 * 3 * (64 + 64) * 4 == 46_080
    assert kv_bytes(PLAIN, 1000) == 46_080_000


def test_eight_bits_take_codes_and_a_scale_and_bias_per_group() -> None:
    assert PLAIN.bytes_per_token(8) == 30 * 3 * (128 + 2 * 2 * 4)
    half = KVShape(PLAIN.layers, number_bytes=2)
    assert half.bytes_per_token(8) / half.bytes_per_token() == (1 + 2 * 2 / 64) / 2


def test_a_windowed_layer_holds_at_most_its_window() -> None:
    assert kv_bytes(WINDOWED, 512) == 512 * 12 * 1024
    assert kv_bytes(WINDOWED, 10_000) == 10_000 * 2 * 1024 + 512 * 10 * 1024


def test_sliding_windows_and_odd_head_sizes_are_not_quantised() -> None:
    assert WINDOWED.bytes_per_token(8) == 2 * (512 + 2 * 8 * 2) + 10 * 1024
    odd = KVShape((KVLayers(1, 1, (80, 80)),), number_bytes=2)
    assert not odd.can_be_quantised
    assert odd.bytes_per_token(8) == odd.bytes_per_token()


def test_a_state_does_not_grow() -> None:
    recurrent = KVShape((), number_bytes=2, state_bytes=1000)
    assert kv_bytes(recurrent, 1) == kv_bytes(recurrent, 100_000) == 1000
    assert kv_bytes(recurrent, 0) == 0


def test_caches_grow_by_steps() -> None:
    assert kv_bytes(PLAIN, 257, step_tokens=256) == 512 * 46_080
    assert kv_bytes(WINDOWED, 513, step_tokens=256) == 768 * 2 * 1024 + 512 * 10 * 1024


def test_the_longest_context_fills_the_available_memory() -> None:
    assert longest_context(100 * 46_080, PLAIN, 8192) == 100
    assert longest_context(100 * 46_080 - 1, PLAIN, 8192) == 99
    assert longest_context(10**12, PLAIN, 8192) == 8192
    assert longest_context(-1, PLAIN, 8192) == 0
    assert longest_context(100 * 46_080, PLAIN, 8192, bits=8) == 100 * 512 // (128 + 16)


@given(st.integers(0, 3 * 10**9), st.sampled_from([PLAIN, WINDOWED]), st.integers(1, 200_000))
def test_one_token_more_than_the_longest_context_does_not_fit(available: int, shape: KVShape, window: int) -> None:
    longest = longest_context(available, shape, window)
    assert kv_bytes(shape, longest) <= available
    assert longest == window or kv_bytes(shape, longest + 1) > available


def test_only_whole_conversations_count() -> None:
    assert conversations_at_once(3 * 46_080_000 - 1, PLAIN, 1000) == 2
    assert conversations_at_once(-5, PLAIN, 1000) == 0
    assert conversations_at_once(10, KVShape((), 2), 1000) is None
