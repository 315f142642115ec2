"""A folder's tokenizer ends answers, and renders conversations, as mlx-lm's own wrapper does for the same folder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.device.mlx_lm.tokenizing import renders_by_itself
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer
from pensieve.models.tokenizers.load import load_tokenizer
from pensieve.models.tokenizers.model_tokenizer import ModelTokenizer
from tests.models.tokenizers.example_tokenizers import one_token_a_byte
from tests.support.tiny_model import write_byte_tokenizer

CONVERSATION = [
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Ho."},
    {"role": "user", "content": "Hm?"},
]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))


def write(folder: Path, settings: dict[str, Any]) -> Path:
    write_byte_tokenizer(folder)
    path = folder / "tokenizer_config.json"
    merged = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({key: value for key, value in merged.items() if value is not None}))
    return folder


def by_mlx_lm(folder: Path, *, eos_token_ids: Any = None, defaults: dict[str, Any] | None = None) -> Any:
    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415 - only after import_mlx_lm

    return load(folder, eos_token_ids=eos_token_ids, defaults=defaults)


@pytest.mark.parametrize("template", [None, "of the folder"])
@pytest.mark.parametrize("thinks", [True, False])
def test_a_folder_that_names_a_template_in_python_is_rendered_by_it(
    tmp_path: Path, template: str | None, thinks: Any
) -> None:
    folder = write(tmp_path / "model", {"chat_template_type": "deepseek_v32", "chat_template": template})
    expected = by_mlx_lm(folder)
    by_transformers, from_cache = load_tokenizer(folder), load_tokenizer(folder)
    assert isinstance(from_cache.tokenizer, FastTokenizer)
    for tokenizer in (by_transformers, from_cache):
        assert tokenizer.has_chat_template
        for tokenize in (True, False):
            options: dict[str, Any] = {"add_generation_prompt": True, "enable_thinking": thinks, "tokenize": tokenize}
            rendered = tokenizer.apply_chat_template(CONVERSATION, **options)
            assert rendered == expected.apply_chat_template(CONVERSATION, **options)
            assert tokenize or "<｜User｜>Hm?" in rendered
        assert ChatTemplate(tokenizer).takes_system_prompt


@pytest.mark.parametrize(
    ("stated", "defaults"),
    [
        (None, {}),
        (None, {"eos_token_ids": [7, 8]}),
        (5, {"eos_token_ids": [7, 8]}),
        ([5, 6], {}),
        ([], {"eos_token_ids": [7, 8]}),
    ],
)
def test_what_ends_an_answer_is_stated_by_the_config_the_architecture_and_the_tokenizer(
    tmp_path: Path, stated: Any, defaults: dict[str, Any]
) -> None:
    folder = write(tmp_path / "model", {})
    expected = by_mlx_lm(folder, eos_token_ids=stated, defaults=defaults).eos_token_ids
    assert load_tokenizer(folder, stated, defaults).eos_token_ids == expected


def test_a_template_in_the_folder_comes_before_that_of_the_architecture(tmp_path: Path) -> None:
    defaults = {"chat_template_type": "deepseek_v32"}
    without = load_tokenizer(write(tmp_path / "without", {"chat_template": None}), None, defaults)
    assert "<｜User｜>" in without.apply_chat_template(CONVERSATION, tokenize=False)
    template = "of the folder {{ messages[0].content }}"
    having = load_tokenizer(write(tmp_path / "with", {"chat_template": template}), None, defaults)
    assert having.apply_chat_template(CONVERSATION, tokenize=False) == "of the folder Hi."


def test_an_architecture_without_a_template_in_python_leaves_the_tokenizer_without_one(tmp_path: Path) -> None:
    from mlx_lm.models.muse_spark import TOKENIZER_DEFAULTS  # noqa: PLC0415 - only after import_mlx_lm

    tokenizer = load_tokenizer(write(tmp_path / "model", {"chat_template": None}), None, TOKENIZER_DEFAULTS)
    assert not tokenizer.has_chat_template
    assert tokenizer.eos_token_ids >= {200001, 200008}


def test_a_class_of_transformers_may_render_by_itself() -> None:
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - only after import_mlx_lm

    class Rendering(PreTrainedTokenizerFast):  # type: ignore[misc]  # mypy reads none of Transformers
        def apply_chat_template(self, *arguments: Any, **settings: Any) -> Any:
            raise NotImplementedError

    make: Any = PreTrainedTokenizerFast
    make_rendering: Any = Rendering
    assert renders_by_itself(make_rendering(tokenizer_object=one_token_a_byte()))
    assert not renders_by_itself(make(tokenizer_object=one_token_a_byte()))


def test_a_copy_of_a_tokenizer_is_a_tokenizer(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write(tmp_path / "model", {}))
    copied = copy.copy(tokenizer)
    assert isinstance(copied, ModelTokenizer)
    assert copied.encode("Hi.") == tokenizer.encode("Hi.")
    assert len(copied) == len(tokenizer)
    with pytest.raises(AttributeError):
        _ = copied.no_such_name


@pytest.mark.parametrize("damaged", ["", "[]", "null", "[" * 20_000, '{"backend": "{}", "facts": {}}'])
def test_a_damaged_entry_of_the_cache_costs_time_alone(tmp_path: Path, damaged: str) -> None:
    folder = write(tmp_path / "model", {"tokenizer_class": "PreTrainedTokenizerFast"})
    whole = load_tokenizer(folder)
    (entry,) = (tmp_path / "home" / "tokenizers").iterdir()
    entry.write_text(damaged)
    assert load_tokenizer(folder).tokenizer.get_vocab() == whole.tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("tokens", "refusal"),
    [
        (["<" + "a" * 256], "an added token has 257 characters; at most 256"),
        ([f"<{number:0254}>" for number in range(7900)], "have 2022435 characters together; at most 2000000"),
    ],
)
def test_added_tokens_that_would_take_gigabytes_to_search_for_are_refused(
    tmp_path: Path, tokens: list[str], refusal: str
) -> None:
    folder = write(tmp_path / "model", {})
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    first = content["added_tokens"][-1]
    content["added_tokens"] += [{**first, "id": 1000 + number, "content": token} for number, token in enumerate(tokens)]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=refusal):
        load_tokenizer(folder)
