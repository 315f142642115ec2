"""The copy of a tokenizer that reads control tokens as text has the same vocabulary and ids as the original."""

from __future__ import annotations

from copy import deepcopy

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from pensieve.models.prompts.encoding.added_tokens import START, AddedTokens
from tests.models.tokenizers.example_tokenizers import one_token_a_byte

TEXT = "<|im_start|> naïve 猫 <|im_end|>\n"


def test_the_copy_reads_control_tokens_as_text_and_the_original_still_reads_them_as_tokens() -> None:
    original = one_token_a_byte()
    before = original.encode(TEXT, add_special_tokens=False).ids
    copy = AddedTokens(original).literal_backend
    control = set(original.get_added_tokens_decoder())
    assert control & set(before)
    assert not control & set(copy.encode(TEXT, add_special_tokens=False).ids)
    assert original.encode(TEXT, add_special_tokens=False).ids == before


def test_a_copy_around_the_same_vocabulary_encodes_like_a_deep_copy() -> None:
    added = AddedTokens(one_token_a_byte())
    copy = added.literal_backend
    expected = deepcopy(one_token_a_byte())
    expected.add_special_tokens([AddedToken(content, special=True) for content in added.by_content])
    expected.add_tokens([AddedToken(START, normalized=False)])
    expected.encode_special_tokens = True
    assert copy.encode(TEXT, add_special_tokens=False).ids == expected.encode(TEXT, add_special_tokens=False).ids
    assert copy.token_to_id(START) == expected.token_to_id(START)
    assert copy.decode(copy.encode(TEXT).ids) == TEXT


def test_a_tokenizer_whose_added_tokens_would_get_other_ids_is_copied_deeply() -> None:
    original = Tokenizer(BPE({"a": 0}, []))
    original.add_tokens([AddedToken("<x>")])
    original.model = BPE({"a": 0, "b": 1, "c": 2}, [])
    assert original.token_to_id("<x>") == 1
    copy = AddedTokens(original).literal_backend
    assert copy.get_vocab_size() == deepcopy(original).get_vocab_size() + 1
