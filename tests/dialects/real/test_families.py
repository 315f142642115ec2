"""Each family has its real template, and its control tokens with the flags of the published tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dialects.real.downloads import template_names
from tests.dialects.real.families import Family, families, family
from tests.dialects.real.tokenizers import tokenizer_of, write_family

ALL = [pytest.param(each, id=each.name) for each in families()]

TEXT = 'def f(x):\n\treturn {"a": [1, 2.5]}  # naïve 猫 🦙\n'

FLAGS = [
    ("qwen3", "<tool_call>", False),
    ("qwen3", "</think>", False),
    ("qwen3", "<|im_end|>", True),
    ("gpt-oss", "<|channel|>", True),
    ("deepseek-v3.1", "<｜User｜>", False),
    ("deepseek-v3.1", "</think>", False),
    ("llama-3.1", "<|python_tag|>", True),
    ("gemma-4", '<|"|>', True),
    ("gemma-4", "<|tool_call>", True),
    ("command-r7b", "<|START_ACTION|>", False),
    ("command-r7b", "<|END_OF_TURN_TOKEN|>", True),
    ("devstral", "[ARGS]", True),
    ("glm-4.6", "<arg_value>", False),
    ("bielik", "<|im_end|>", True),
]


def test_sixty_families_have_a_template() -> None:
    assert len(families()) >= 60
    named = {each.template for each in families()} - {"own"}
    assert named <= set(template_names())


@pytest.mark.parametrize("family", ALL)
def test_each_mark_of_a_family_is_one_token_with_its_flag_and_text_survives_a_round_trip(family: Family) -> None:
    tokenizer = tokenizer_of(family)
    marks = [*family.eos, *(family.special or ()), *family.plain, *(mark for _, mark in family.renamed)]
    added = {token.content: token for token in tokenizer.get_added_tokens_decoder().values()}
    for mark in {*marks, family.bos or family.eos[0]}:
        assert tokenizer.encode(f"a{mark}b", add_special_tokens=False).tokens[1] == mark
        assert tokenizer.decode(tokenizer.encode(mark, add_special_tokens=False).ids, skip_special_tokens=False) == mark
    assert tokenizer.decode(tokenizer.encode(TEXT, add_special_tokens=False).ids).lstrip() == TEXT
    assert all(added[mark].special for mark in family.special or ())
    assert not any(added[mark].special for mark in family.plain)


@pytest.mark.parametrize(("name", "mark", "special"), FLAGS)
def test_a_mark_has_the_flag_of_the_published_tokenizer(name: str, mark: str, special: bool) -> None:  # noqa: FBT001 - a row of a table
    added = tokenizer_of(family(name)).get_added_tokens_decoder().values()
    assert [token.special for token in added if token.content == mark] == [special]


def test_a_familys_folder_has_its_template_and_tokens(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "deep" / "folder", family("deepseek-v3.1"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "<｜tool▁calls▁begin｜>" in config["chat_template"]
    assert config["eos_token"] == "<｜end▁of▁sentence｜>"
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    assert "<think>" in [token["content"] for token in added]
