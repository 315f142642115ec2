"""A tokenizer built from SentencePiece's pieces and scores gives the same tokens as SentencePiece itself."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, Role
from pensieve.core.errors import ModelLoadingError
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.text_decoder import TextDecoder
from tests.models.gguf.tokenizer_cases import TEXTS, files_of, tokenizer_of

_PROSE = Path(__file__, "../../../../../ARCHITECTURE.md").resolve().read_text(encoding="utf-8")
_CODE = Path(__file__).read_text(encoding="utf-8")
USER_DEFINED = ["▁▁", "▁▁▁▁", "\n", "\n\n", "<table>"]

with_prefix = pytest.mark.parametrize("prefix", [True, False], ids=["like llama", "like gemma"])


@cache
def trained(*, prefix: bool) -> Any:
    """A small vocabulary: with a space prefix like Llama 2, or with user-defined tokens for white space like Gemma."""
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in (_PROSE + _CODE).split("\n") if line] + list(TEXTS[15:25]) * 4),
        model_writer=model,
        model_type="bpe",
        vocab_size=1200,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefix,
        user_defined_symbols=[] if prefix else USER_DEFINED,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def entries(*, prefix: bool, **changes: Any) -> dict[str, Any]:
    """The metadata that llama.cpp's converter writes (`_create_vocab_sentencepiece`)."""
    processor = trained(prefix=prefix)
    ids = range(processor.vocab_size())
    pieces = [processor.id_to_piece(token_id) for token_id in ids]
    kinds = [
        2 if processor.is_unknown(token_id)
        else 3 if processor.is_control(token_id)
        else 6 if processor.is_byte(token_id)
        else 4 if not prefix and pieces[token_id] in USER_DEFINED
        else 1
        for token_id in ids
    ]  # fmt: skip
    defaults = {
        "ggml.model": "llama",
        "ggml.pre": "default",
        "ggml.tokens": pieces,
        "ggml.scores": [processor.get_score(token_id) for token_id in ids],
        "ggml.token_type": kinds,
        "ggml.unknown_token_id": 0,
        "ggml.bos_token_id": 1,
        "ggml.eos_token_id": 2,
        "ggml.add_space_prefix": prefix,
    }
    return {**defaults, **{f"ggml.{key}": value for key, value in changes.items()}}


@with_prefix
def test_texts_in_all_scripts_become_the_same_tokens_and_decode_again(tmp_path: Path, prefix: bool) -> None:  # noqa: FBT001
    tokenizer = tokenizer_of(tmp_path, entries(prefix=prefix))
    paragraphs = [*TEXTS, *_PROSE.split("\n\n"), *_CODE.split("\n\n")]
    for text in paragraphs:
        if "<s>" in text:
            continue  # a control token, which SentencePiece encodes as ordinary text
        encoding = tokenizer.encode(text, add_special_tokens=False)
        assert encoding.ids == trained(prefix=prefix).encode(text), repr(text)
        assert tokenizer.decode(encoding.ids).replace("▁", " ") == text.replace("▁", " ")


@with_prefix
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from([*"aab \n.,()é世😀", "  ", " the", "tion", "    ", "\n\n"]) | st.text(max_size=6))
)
def test_any_text_becomes_the_same_tokens(tmp_path: Path, prefix: bool, words: list[str]) -> None:  # noqa: FBT001
    text = "".join(words)
    assume(not any(control in text for control in ("<unk>", "<s>", "</s>")))  # SentencePiece takes them for text
    found = _cached_tokenizer(tmp_path, prefix=prefix).encode(text, add_special_tokens=False).ids
    assert found == trained(prefix=prefix).encode(text)


_TOKENIZERS: dict[bool, Any] = {}


def _cached_tokenizer(folder: Path, *, prefix: bool) -> Any:
    if prefix not in _TOKENIZERS:
        _TOKENIZERS[prefix] = tokenizer_of(folder, entries(prefix=prefix))
    return _TOKENIZERS[prefix]


@with_prefix
def test_mlx_lms_loader_and_the_text_decoder_agree_with_sentencepiece(tmp_path: Path, prefix: bool) -> None:  # noqa: FBT001
    import_mlx_lm()
    from mlx_lm.utils import load_tokenizer  # noqa: PLC0415

    for name, content in files_of(tmp_path, entries(prefix=prefix)).items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    for text in ("Hello, world!", "a  b\n\n世界 😀"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert ids == trained(prefix=prefix).encode(text)
        assert tokenizer.encode(text) == [1, *ids]
        decoder = TextDecoder(tokenizer)
        assert "".join([*map(decoder.step, ids), decoder.finish()]) == text


@pytest.mark.parametrize(
    ("flags", "first_and_last"),
    [
        ({}, ([1], [])),
        ({"add_bos_token": False}, ([], [])),
        ({"add_bos_token": True, "add_eos_token": True}, ([1], [2])),
        ({"bos_token_id": None}, ([], [])),
    ],
)
def test_first_and_last_tokens_are_added_if_the_file_requires_them(
    tmp_path: Path, flags: dict[str, Any], first_and_last: tuple[list[int], list[int]]
) -> None:
    tokenizer = tokenizer_of(tmp_path, entries(prefix=True, **flags))
    text = tokenizer.encode("a text", add_special_tokens=False).ids
    assert tokenizer.encode("a text").ids == [*first_and_last[0], *text, *first_and_last[1]]


def test_control_tokens_are_matched_in_text_and_skipped_when_decoding(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, entries(prefix=True))
    ids = tokenizer.encode("<s>one</s>", add_special_tokens=False).ids
    assert (ids[0], ids[-1]) == (1, 2)
    assert tokenizer.decode(ids) == "one"


def test_phi_3s_control_tokens_absorb_the_line_break_after_them(tmp_path: Path) -> None:
    metadata = entries(prefix=True)
    metadata["ggml.tokens"] = [*metadata["ggml.tokens"][:-1], "<|end|>"]
    metadata["ggml.token_type"] = [*metadata["ggml.token_type"][:-1], 3]
    last = len(metadata["ggml.tokens"]) - 1
    phi, other = (tokenizer_of(tmp_path, metadata, architecture=name) for name in ("phi3", "llama"))
    assert phi.encode("<|end|>\nb", add_special_tokens=False).ids == [last, phi.token_to_id("▁b")]
    assert phi.encode("<s>\n", add_special_tokens=False).ids == other.encode("<s>\n", add_special_tokens=False).ids
    assert other.encode("<|end|>\nb", add_special_tokens=False).ids[:2] != [last, phi.token_to_id("▁b")]


def test_no_space_is_added_after_mistrals_control_tokens(tmp_path: Path) -> None:
    metadata = entries(prefix=True)
    metadata["ggml.tokens"] = [*metadata["ggml.tokens"][:-1], "[INST]"]
    metadata["ggml.token_type"] = [*metadata["ggml.token_type"][:-1], 3]
    tokenizer = tokenizer_of(tmp_path, metadata)
    text = trained(prefix=True).encode("the model reads")
    assert tokenizer.encode("the model reads", add_special_tokens=False).ids == text
    assert tokenizer.encode("<s>[INST] the model reads", add_special_tokens=False).ids == [
        1,
        len(metadata["ggml.tokens"]) - 1,
        *text,
    ]


def test_a_conversation_begins_with_one_bos_token_with_or_without_a_chat_template(tmp_path: Path) -> None:
    import_mlx_lm()
    from mlx_lm.utils import load_tokenizer  # noqa: PLC0415

    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    messages = (ChatMessage(Role.USER, "Hello"),)
    template = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
    for chat_template in (template, None):
        for name, content in files_of(tmp_path, {**entries(prefix=True), "chat_template": chat_template}).items():
            (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
        token_ids = ChatTemplate(load_tokenizer(tmp_path)).render(messages).token_ids
        assert (token_ids[0], token_ids.count(1)) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, "tokenizer.ggml.scores is missing"),
        ({"scores": [0.0]}, "1 scores for 1200 tokens"),
        ({"scores": [float("nan")] * 1200}, "1200 scores for 1200 tokens, or a score that is NaN"),
        ({"tokens": ["a"] * 1200}, "the token 'a' is defined twice"),
        (
            {"tokens": [f"{number}" + "a" * 2000 for number in range(1200)], "token_type": [1] * 1200},
            "2004 characters; at most 1024",
        ),
        ({"token_type": [9] * 1200}, "or an unknown type"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces is set"),
        ({"precompiled_charsmap": [1, 2]}, "precompiled_charsmap is set"),
        ({"add_space_prefix": 1}, "add_space_prefix is 1; it must be true or false"),
        ({"bos_token_id": 1200}, "the bos token is 1200; it must be an id below 1200"),
    ],
)
def test_an_inconsistent_vocabulary_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadingError, match=message):
        files_of(tmp_path, entries(prefix=True, **changes))


def test_tokens_that_differ_only_in_how_they_write_a_space_are_refused(tmp_path: Path) -> None:
    metadata = entries(prefix=False)
    metadata["ggml.tokens"] = [*metadata["ggml.tokens"][:-1], "  "]
    metadata["ggml.token_type"] = [*metadata["ggml.token_type"][:-1], 4]
    with pytest.raises(ModelLoadingError, match="how they write a space"):
        files_of(tmp_path, metadata)
