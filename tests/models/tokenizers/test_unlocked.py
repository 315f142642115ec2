"""Tokens without the interpreter's lock are those with it, and other threads run meanwhile."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pensieve.models.tokenizers import unlocked
from tests.models.tokenizers.example_tokenizers import embedded, metaspace, one_token_a_byte, sentence_piece

MAX_SHARE = 0.3
"""Of the time that the text takes. `Tokenizer.encode` holds the lock for all of it."""


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


def longest_pause(work: Callable[[], object]) -> float:
    """The longest time in which another thread could not run, as a share of the time that the work took."""
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.01)
    started = time.perf_counter()
    work()
    ended = time.perf_counter()
    time.sleep(0.01)
    done.set()
    thread.join()
    within = [at for at in ticks if at > started - 0.01]
    return max(after - before for before, after in pairwise(within)) / (ended - started)


@pytest.mark.parametrize("work", [unlocked.encode, unlocked.encode_with_ends, unlocked.count])
def test_another_thread_runs_while_a_text_is_tokenised(work: Callable[[Tokenizer, str], object]) -> None:
    text = "".join(f"The {number}th word of a long text, {number * 7919}.\n" for number in range(9000))
    assert longest_pause(lambda: work(embedded(), text)) < MAX_SHARE
