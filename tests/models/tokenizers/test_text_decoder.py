"""Decoding token by token gives the same text as decoding everything at once."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pensieve.models.tokenizers.text_decoder import TextDecoder
from tests.models.tokenizers import example_tokenizers

KINDS = [
    example_tokenizers.embedded,
    example_tokenizers.one_token_a_byte,
    example_tokenizers.sentence_piece,
    example_tokenizers.metaspace,
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
Kind = Callable[[], Tokenizer]


def streamed(tokenizer: Any, token_ids: list[int]) -> list[str]:
    decoder = TextDecoder(tokenizer)
    return [*map(decoder.step, token_ids), decoder.finish()]


@every_kind
@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_is_decoded_as_the_tokenizer_decodes_it(kind: Kind, text: str) -> None:
    token_ids = kind().encode(text, add_special_tokens=False).ids
    assert "".join(streamed(kind(), token_ids)) == kind().decode(token_ids)


@every_kind
@given(data=st.data())
def test_any_tokens_are_decoded_as_the_tokenizer_decodes_them(kind: Kind, data: st.DataObject) -> None:
    ids = st.integers(0, kind().get_vocab_size() + 5)  # models may have more ids than their tokenizer
    token_ids = data.draw(st.lists(ids, max_size=40))
    assert "".join(streamed(kind(), token_ids)) == kind().decode(token_ids)


@given(data=st.lists(st.integers(0, 255), max_size=30))
def test_invalid_utf_8_is_decoded_as_the_tokenizer_decodes_it(data: list[int]) -> None:
    for tokenizer in (example_tokenizers.one_token_a_byte(), example_tokenizers.sentence_piece()):
        token_ids = [byte + 3 for byte in data]
        assert "".join(streamed(tokenizer, token_ids)) == tokenizer.decode(token_ids)


@every_kind
@given(data=st.data())
def test_long_runs_of_the_same_few_tokens_are_decoded_as_the_tokenizer_decodes_them(
    kind: Kind, data: st.DataObject
) -> None:
    few = data.draw(st.lists(st.integers(0, kind().get_vocab_size() + 5), min_size=1, max_size=4))
    token_ids = data.draw(st.lists(st.sampled_from(few), max_size=120))
    assert "".join(streamed(kind(), token_ids)) == kind().decode(token_ids)


@given(
    data=st.lists(
        st.sampled_from([0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x90, 0x88, 0xEF, 0xBF, 0xBD, 0x41, 0xFF]), max_size=120
    )
)
def test_pieces_of_characters_are_decoded_as_the_tokenizer_decodes_them(data: list[int]) -> None:
    for tokenizer in (example_tokenizers.one_token_a_byte(), example_tokenizers.sentence_piece()):
        token_ids = [byte + 3 for byte in data]
        assert "".join(streamed(tokenizer, token_ids)) == tokenizer.decode(token_ids)


@pytest.mark.parametrize("run", [b"\x80", b"\xff", b"\xe2", b"\xf0\x9f\x90", b"\xe2\x82", "\ufffd".encode()])
def test_bytes_that_are_no_characters_are_decoded_a_few_at_a_time(run: bytes) -> None:
    tokenizer = example_tokenizers.one_token_a_byte()
    numbers: list[int] = []

    def decode(ids: list[int]) -> str:
        numbers.append(len(ids))
        return tokenizer.decode(ids)

    names = ("get_added_tokens_decoder", "id_to_token")
    counting = SimpleNamespace(decode=decode, **{name: getattr(tokenizer, name) for name in names})
    decoder = TextDecoder(counting)
    text = "".join(decoder.step(byte + 3) for byte in 300 * run) + decoder.finish()
    assert text == (300 * run).decode(errors="replace")
    assert max(numbers) < 50


def test_a_character_is_emitted_with_its_last_byte() -> None:
    token_ids = [byte + 3 for byte in "a🐈b".encode()]
    assert streamed(example_tokenizers.one_token_a_byte(), token_ids) == ["a", "", "", "", "🐈", "b", ""]


def test_a_leading_space_is_kept() -> None:
    tokenizer = example_tokenizers.embedded()
    assert "".join(streamed(tokenizer, tokenizer.encode(" one two").ids)) == " one two"


def test_an_incomplete_character_is_emitted_at_the_end() -> None:
    token_ids = [byte + 3 for byte in "é".encode()[:1]]
    assert streamed(example_tokenizers.one_token_a_byte(), token_ids) == ["", "\ufffd"]


def test_special_tokens_have_no_text_and_other_added_tokens_do() -> None:
    tokenizer = example_tokenizers.sentence_piece()
    vocabulary = tokenizer.get_vocab()
    token_ids = [vocabulary[token] for token in ("<s>", "▁Hello", "</s>", "<tool>")]
    assert streamed(tokenizer, token_ids) == ["", "Hello", "", "<tool>", ""]


def test_a_tokenizer_written_in_python_works_too() -> None:
    fast = example_tokenizers.one_token_a_byte()
    slow = SimpleNamespace(
        decode=lambda ids, **_: fast.decode(ids),
        convert_ids_to_tokens=fast.id_to_token,
        all_special_ids=[0, 1, 2],
    )
    token_ids = [1, *(byte + 3 for byte in "né".encode()), 2]
    assert streamed(slow, token_ids) == ["", "n", "", "é", "", ""]


def test_only_a_marks_token_becomes_its_character() -> None:
    backend = example_tokenizers.embedded()
    start = backend.token_to_id("<|im_start|>")
    assert start is not None
    mark = "\U0010ff00"
    decoder = TextDecoder(backend, {start: mark})
    ids = [*backend.encode(" a").ids, start, *backend.encode(f" b{mark}c").ids]
    assert "".join(decoder.step(token_id) for token_id in ids) + decoder.finish() == f" a{mark} b\ufffdc"
