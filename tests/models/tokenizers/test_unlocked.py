"""Tokens without the interpreter's lock are those with it, and other threads run meanwhile."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pensieve.models.tokenizers import unlocked
from tests.models.tokenizers.example_tokenizers import embedded, metaspace, one_token_a_byte, sentence_piece
from tests.support.watched_tokenizer import ENOUGH, WatchedTokenizer, growing_texts


@pytest.mark.parametrize("tokenizer", [embedded, metaspace, one_token_a_byte, sentence_piece])
@given(text=st.text(max_size=40) | st.sampled_from(["<s> Hello", "  world\n", "<|im_start|>user\nHello<|im_end|>"]))
def test_the_tokens_are_those_of_encode(tokenizer: Callable[[], Tokenizer], text: str) -> None:
    backend = tokenizer()
    expected = backend.encode(text, add_special_tokens=False)
    token_ids, ends = unlocked.encode_with_ends(backend, text)
    assert [*token_ids] == expected.ids == unlocked.encode(backend, text)
    assert [*ends] == [end for _, end in expected.offsets]
    assert unlocked.count(backend, text) == len(expected.ids)
    assert unlocked.encode(backend, text, add_special_tokens=True) == backend.encode(text).ids


@pytest.mark.parametrize("work", [unlocked.encode, unlocked.encode_with_ends, unlocked.count])
def test_another_thread_runs_while_a_text_is_tokenised(work: Callable[[Any, str], object]) -> None:
    num_ticks, done = 0, threading.Event()

    def tick() -> None:
        nonlocal num_ticks
        while not done.wait(0.0005):
            num_ticks += 1

    def num_ticks_while(text: str) -> int:
        work(watched := WatchedTokenizer(embedded(), lambda: num_ticks), text)
        return watched.num_meanwhile

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        assert any(num_ticks_while(text) > ENOUGH for text in growing_texts())
    finally:
        done.set()
        thread.join()
