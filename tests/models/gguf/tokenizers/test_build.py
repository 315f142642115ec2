"""A converted byte-level tokenizer splits texts like the original, and all chat templates are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.tokenizers.pre_tokenizers import PRE_TOKENIZERS
from tests.models.gguf.tokenizer_cases import TEXTS, files_of, tokenizer_of
from tests.support.tiny_model import byte_characters

MARKS = ("<|start|>", "<|end|>")


def entries(pre: str | None = "gpt-2", **changes: Any) -> dict[str, Any]:
    defaults = {
        "ggml.model": "gpt2",
        "ggml.pre": pre,
        "ggml.tokens": [*MARKS, *byte_characters(), "Ġa", "<tool>"],
        "ggml.token_type": [3, 3, *[1] * 257, 4],
        "ggml.merges": ["Ġ a"],
        "ggml.bos_token_id": 0,
        "ggml.eos_token_id": 1,
    }
    return {**defaults, **{f"ggml.{key}": value for key, value in changes.items()}}


def pieces(folder: Path, pre: str | None, text: str, *, architecture: str = "llama") -> list[str]:
    """The parts of a text that the pre-tokenizer splits it into."""
    tokenizer = tokenizer_of(folder, entries(pre), architecture=architecture)
    splits = tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in splits]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            "gpt-2 phi-2 olmo mpt",
            ["It", "'s", " fooBar", "(", "12345", ")", "\n\n", " $", "x", ".", "  ", " 世界"],
        ),
        (
            "smollm starcoder refact codeshell command-r minerva-7b",
            ["It", "'s", " fooBar", "(", "1", "2", "3", "4", "5", ")", "\n\n", " $", "x", ".", "  ", " 世界"],
        ),
        (
            "llama-bpe llama3 llama-v3 falcon3 dbrx smaug-bpe",
            ["It", "'s", " fooBar", "(", "123", "45", ")\n\n", " $", "x", ".", "  ", " 世界"],
        ),
        (
            "qwen2 deepseek-r1-qwen",
            ["It", "'s", " fooBar", "(", "1", "2", "3", "4", "5", ")\n\n", " $", "x", ".", "  ", " 世界"],
        ),
        ("gpt-4o", ["It's", " foo", "Bar", "(", "123", "45", ")\n\n", " $", "x", ".", "  ", " 世界"]),
        ("tekken", ["It", "'s", " foo", "Bar", "(", "1", "2", "3", "4", "5", ")\n\n", " $", "x", ".", "  ", " 世界"]),
        (
            "deepseek-coder",
            ["It", "'", "s", " fooBar", "(", *"12345", ")", "\n", "\n", " $", "x", ".", "  ", " ", "世界"],
        ),
        (
            "deepseek-llm",
            ["It", "'", "s", " fooBar", "(", *"12345", ")", "\n", "\n", " $", "x", ".", "   ", "世界"],
        ),
        ("deepseek-v3", ["It", "'s", " fooBar", "(", "123", "45", ")\n\n", " $", "x", ".", "   ", "世界"]),
        (
            "default",
            ["It", "'", "s", " fooBar", "(", "123", "45", ")", "\n\n ", "$", "x", ".", "  ", " 世界"],
        ),
    ],
)
def test_each_pre_tokenizer_splits_text_as_its_name_requires(tmp_path: Path, names: str, expected: list[str]) -> None:
    for name in names.split():
        assert pieces(tmp_path, name, "It's fooBar(12345)\n\n $x.   世界") == expected, name


def test_no_pre_tokenizer_loses_text(tmp_path: Path) -> None:
    for name, config in PRE_TOKENIZERS.items():
        tokenizer = tokenizer_of(tmp_path, entries(name))
        for text in TEXTS:
            normalizes = config.normalizer is not None
            decoded = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids)
            assert decoded == (tokenizer.normalizer.normalize_str(text) if normalizes else text), (name, text)


@pytest.mark.parametrize("pre", ["gpt-2", "qwen2", "deepseek-coder", "llama-bpe"])
def test_tokens_are_merged_as_in_the_original(tmp_path: Path, pre: str) -> None:
    original = Tokenizer(models.BPE(ignore_merges=PRE_TOKENIZERS[pre].ignore_merges))
    built = tokenizer_of(tmp_path, entries(pre))
    original.pre_tokenizer, original.normalizer = built.pre_tokenizer, built.normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    original.train_from_iterator([*TEXTS, *Path(__file__).read_text(encoding="utf-8").split("\n")], trainer)
    model = json.loads(original.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    changes = {
        "tokens": tokens,
        "token_type": [1] * len(tokens),
        "merges": [" ".join(pair) for pair in model["merges"]],
    }
    built = tokenizer_of(tmp_path, entries(pre, **changes))
    for text in TEXTS:
        assert built.encode(text, add_special_tokens=False).ids == original.encode(text).ids


@pytest.mark.parametrize(("architecture", "pre"), [("qwen2", "qwen2"), ("phi2", "gpt-2"), ("llama", "default")])
def test_a_file_without_a_pre_tokenizer_gets_that_of_its_architecture(
    tmp_path: Path, architecture: str, pre: str
) -> None:
    text = "fooBar(12345)  b\n\n"
    assert pieces(tmp_path, None, text, architecture=architecture) == pieces(tmp_path, pre, text)


@pytest.mark.parametrize(
    ("pre", "flags", "first"),
    [
        ("llama-bpe", {}, [0]),
        ("llama-bpe", {"add_bos_token": False}, []),
        ("qwen2", {}, []),
        ("deepseek-coder", {"add_bos_token": True}, [0]),
    ],
)
def test_a_first_token_is_added_if_the_file_requires_it(
    tmp_path: Path, pre: str, flags: dict[str, Any], first: list[int]
) -> None:
    tokenizer = tokenizer_of(tmp_path, entries(pre, **flags))
    assert tokenizer.encode("").ids == first


def test_user_defined_tokens_are_matched_and_decoded(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, entries())
    ids = tokenizer.encode("a<tool>b<|end|>", add_special_tokens=False).ids
    assert ids[1] == 259
    assert tokenizer.decode(ids) == "a<tool>b"


def test_a_file_without_a_chat_template_gets_none(tmp_path: Path) -> None:
    assert "chat_template" not in files_of(tmp_path, entries())["tokenizer_config.json"]


def test_a_single_chat_template_is_stored_as_a_string(tmp_path: Path) -> None:
    config = files_of(tmp_path, {**entries(), "chat_template": "one"})["tokenizer_config.json"]
    assert config["chat_template"] == "one"


@pytest.mark.parametrize(
    ("templates", "default"),
    [
        ({"chat_template": "plain", "chat_templates": ["tool_use"], "chat_template.tool_use": "with tools"}, "plain"),
        ({"chat_template.tool_use": "with tools"}, "with tools"),
    ],
)
def test_transformers_chooses_among_named_chat_templates(
    tmp_path: Path, templates: dict[str, Any], default: str
) -> None:
    for name, content in files_of(tmp_path, {**entries(), **templates}).items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer.get_chat_template() == default
    tools = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}]
    assert tokenizer.get_chat_template(tools=tools) == "with tools"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ggml.model": "t5"}, "tokenizer.ggml.model is 't5'; supported are 'gpt2' and 'llama'"),
        ({"ggml.model": "bert"}, "tokenizer.ggml.model is 'bert'"),
        ({"ggml.model": "rwkv"}, "tokenizer.ggml.model is 'rwkv'"),
        ({"ggml.model": "none"}, "tokenizer.ggml.model is 'none'"),
        ({"ggml.model": None}, "tokenizer.ggml.model is None"),
        ({"ggml.pre": "strange"}, "tokenizer.ggml.pre is 'strange'; supported are gpt-2"),
        ({"ggml.merges": None}, "tokenizer.ggml.merges is missing"),
        ({"ggml.merges": ["a zz"]}, "damaged: .*zz"),
        ({"ggml.merges": ["ab"]}, "damaged"),
        ({"ggml.tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"ggml.token_type": [1]}, "1 token types for 260 tokens"),
        ({"ggml.eos_token_id": 260}, "the eos token is 260; it must be an id below 260"),
        ({"chat_template": 7}, "the chat template 'default' is not a string"),
    ],
)
def test_what_is_unsupported_or_damaged_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelLoadingError, match=message):
        files_of(tmp_path, {**entries(), **changes})
