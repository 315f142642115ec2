"""Cached encodings equal fresh ones, and the cache stays within its size limit."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, pre_tokenizers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from pensieve.models.prompts.encoding.encoder import PromptEncoder
from pensieve.models.prompts.encoding.encoding_cache import EncodingCache
from pensieve.models.prompts.encoding.literals import Literals
from tests.models.tokenizers.example_tokenizers import embedded, metaspace, one_token_a_byte, sentence_piece


class Backend:
    """One token per character. Records the texts that it encodes."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def get_added_tokens_decoder(self) -> dict[int, Any]:
        return {}

    def encode_batch(self, texts: list[str], *, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        self.encoded += texts
        return [Encoding(text) for text in texts]


class Encoding:
    def __init__(self, text: str) -> None:
        self.ids = [ord(character) for character in text]

    def __len__(self) -> int:
        return len(self.ids)

    def token_to_chars(self, index: int) -> tuple[int, int]:
        return index, index + 1


class Tokenizer:
    def __init__(self) -> None:
        self.backend_tokenizer = Backend()


def test_a_text_is_encoded_once() -> None:
    tokenizer = Tokenizer()
    encoder, literals = PromptEncoder(tokenizer, has_template=True), Literals((), None)
    text = f"one{literals.splice((7, 8))}two"
    first, again = encoder.encode(literals, text), encoder.encode(literals, text + "!")
    assert first.token_ids == [*map(ord, "one"), 7, 8, *map(ord, "two")]
    assert again.token_ids == [*first.token_ids[:5], *map(ord, "two!")]
    assert tokenizer.backend_tokenizer.encoded == ["one", "two", "two!"]
    assert [again.num_tokens_within(number) for number in (0, 2, 3, 4, 6, 7, 99)] == [0, 2, 3, 3, 5, 6, 9]


def test_the_least_recently_used_texts_are_evicted() -> None:
    tokenizer, two_texts = Tokenizer(), 20_000  # at nine bytes a character
    encoder = PromptEncoder(tokenizer, has_template=True, max_cached_bytes=2 * two_texts)
    literals = Literals((), None)
    for text in ("1", "2", "1", "6", "1", "2", "77"):
        assert encoder.encode(literals, text * 1000).token_ids == [*map(ord, text * 1000)]
    assert [text[:2] for text in tokenizer.backend_tokenizer.encoded] == ["11", "22", "66", "22", "77"]


@cache
def llama_like() -> HuggingFaceTokenizer:
    """The start of a text gets a space mark, and added tokens of all kinds are matched first."""
    made = HuggingFaceTokenizer.from_str(sentence_piece().to_str())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.add_special_tokens([AddedToken("<s>", normalized=False, special=True)])
    made.add_special_tokens([AddedToken("<s>>", normalized=False, special=True, rstrip=True)])
    made.add_special_tokens([AddedToken("<left>", normalized=False, special=True, lstrip=True)])
    made.add_tokens([AddedToken("x<s", normalized=False), AddedToken("<norm>", normalized=True)])
    return made


@cache
def with_words() -> HuggingFaceTokenizer:
    """Has a token that does not match inside a word."""
    made = HuggingFaceTokenizer.from_str(one_token_a_byte().to_str())
    made.add_special_tokens([AddedToken("<word>", normalized=False, special=True, single_word=True)])
    return made


PARTS = (
    *("<|im_start|>", "<|im_end|>", "<s>", "<s>>", "<left>", "x<s", "<norm>", "<word>", "<tool>", "</s>", "<unk>"),
    *(" ", "  ", "\n", "x", "<", ">", "|", "user", "Hello", " world", "é", "猫", "e\u0301", "\u0301", "👍🏽", "123"),
)


@pytest.mark.parametrize(
    "tokenizer",
    [embedded, one_token_a_byte, sentence_piece, metaspace, llama_like, with_words],
    ids=lambda make: make.__name__,
)
@given(data=st.data())
def test_the_parts_of_a_text_encode_to_the_tokens_of_the_whole(tokenizer: Any, data: st.DataObject) -> None:
    text = "".join(data.draw(st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=12)))
    backend = tokenizer()
    text = text.encode("utf-8", "ignore").decode()
    whole = backend.encode(text, add_special_tokens=False)
    cache, start = EncodingCache(backend), 0
    ids: list[int] = []
    ends: list[int] = []
    for part in cache.parts(text):
        part_ids, part_ends = cache.encode(part)
        ids += part_ids
        ends += [start + end for end in part_ends]
        start += len(part)
    assert (ids, ends) == (whole.ids, [end for _, end in whole.offsets])


def test_the_next_turn_encodes_only_new_text() -> None:
    encoded: list[str] = []

    class Counting:
        """The embedded model's tokenizer, recording the texts that it encodes."""

        def encode_batch(self, texts: list[str], *, add_special_tokens: bool) -> Any:
            encoded.extend(texts)
            return embedded().encode_batch(texts, add_special_tokens=add_special_tokens)

        def get_added_tokens_decoder(self) -> Any:
            return embedded().get_added_tokens_decoder()

    tokenizer = Tokenizer()
    tokenizer.backend_tokenizer = Counting()  # type: ignore[assignment]
    encoder, literals = PromptEncoder(tokenizer, has_template=True), Literals((), None)
    first = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    then = first + "Ho<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
    for text in (first, then):
        assert encoder.encode(literals, text).token_ids == embedded().encode(text, add_special_tokens=False).ids
    assert encoded == [
        *("<|im_start|>user\nHi", "<|im_end|>\n", "<|im_start|>assistant\n"),
        *("<|im_start|>assistant\nHo", "<|im_start|>user\nAnd?"),
    ]
