"""A tokenizer without Transformers renders the same conversations and encodes the same tokens as with it."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.prompts.options import TEMPLATE_ERRORS
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer, TokenizerMetadata
from pensieve.models.tokenizers.load import load_tokenizer
from tests.models.gguf.tokenizer_cases import TEXTS
from tests.models.prompts import templates
from tests.models.tokenizers.example_tokenizers import one_token_a_byte
from tests.support.tiny_model import CHATML

EDGE_CASES = (
    "{% generation %}{{ messages[0].content }}{% endgeneration %}\n{%- if tools %}\n  {{ tools | tojson(indent=2) }}\n"
    "{% endif %}",
    "{% for m in messages %}{% if loop.index0 > 1 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}",
    "{{ messages | tojson(true, none, (',', ':'), true) }}{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
    "{% set n = namespace(a=1, self=2) %}{% set n.b = 3 %}{{ n.a }}{{ n.b }}{{ dict(a=1) }}"
    "{{ dict.fromkeys('ab', 0) }}",
    "{% set n = namespace(_a=1) %}{{ n._a }}",
    "{{ messages.__class__.__mro__ }}{{ ''.__class__ }}",
    "{{ raise_exception('no: ' + messages[0].role) }}",
    "{{ strftime_now('%Y') }}{{ documents is none }}{{ enable_thinking }}",
    "{% for m in messages %}{{ m.content is defined }}{{ m.thinking }}{{ m.reasoning_content }}{% endfor %}",
    "{{ messages[0]['content'] + 1 }}",
    "{{ tools[0]['function']['name'] }}",
    "  {% if true %}\n   x\n  {% endif %}\n\ty\n",
)
TEMPLATES = (templates.QWEN2_5, templates.QWEN3, templates.DEEPSEEK, templates.MISTRAL, CHATML, *EDGE_CASES)
TOOLS = [{"type": "function", "function": {"name": "löok", "parameters": {"type": "object", "properties": {}}}}]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ("<|im_end|>", "</think>", "猫")
)
call = st.fixed_dictionaries(
    {"id": st.just("call1"), "type": st.just("function")}
    | {"function": st.fixed_dictionaries({"name": text, "arguments": st.dictionaries(text, text | st.integers())})}
)
turn = st.fixed_dictionaries(
    {"role": st.sampled_from(("system", "user", "assistant", "tool")), "content": text | st.none()},
    optional={"reasoning_content": text, "thinking": text, "tool_calls": st.lists(call, min_size=1, max_size=2)},
)


@cache
def pair(template: str | None) -> tuple[Any, Any]:
    """The same tokenizer without Transformers and with it."""
    import_mlx_lm()
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - only after import_mlx_lm

    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    make: Any = PreTrainedTokenizerFast
    original = make(tokenizer_object=one_token_a_byte(), chat_template=template, **special)
    return FastTokenizer(one_token_a_byte(), TokenizerMetadata(special, template, 512, {})), original


def outcome(tokenizer: Any, conversation: list[dict[str, Any]], **options: Any) -> Any:
    try:
        return tokenizer.apply_chat_template(conversation, tokenize=False, return_dict=False, **options)
    except TEMPLATE_ERRORS as error:
        return type(error), str(error)


@given(st.sampled_from(TEMPLATES), st.lists(turn, min_size=1, max_size=4), st.booleans(), st.booleans(), st.booleans())
def test_conversations_are_rendered_to_the_same_text(
    template: str, conversation: list[dict[str, Any]], has_tools: Any, opens: Any, thinks: Any
) -> None:
    fast, original = pair(template)
    options = {"tools": TOOLS if has_tools else None, "add_generation_prompt": opens, "enable_thinking": thinks}
    actual, expected = outcome(fast, conversation, **options), outcome(original, conversation, **options)
    if isinstance(expected, str):
        assert actual == expected
    else:
        assert isinstance(actual, tuple), actual
        assert actual[0] is expected[0]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_renders_or_raises_the_same(template: str) -> None:
    fast, original = pair(template)
    conversation = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho.", "thinking": "Hm."}]
    actual, expected = outcome(fast, conversation, tools=TOOLS), outcome(original, conversation, tools=TOOLS)
    assert actual == expected or (not isinstance(expected, str) and actual[0] is expected[0])


def test_a_missing_template_and_an_empty_conversation_raise() -> None:
    for tokenizer in pair(None):
        assert outcome(tokenizer, [{"role": "user", "content": "Hi."}])[0] is ValueError
    for tokenizer in pair(CHATML):
        assert outcome(tokenizer, [])[0] is ValueError


def test_an_invalid_template_raises_when_it_is_used() -> None:
    fast, _ = pair("{% if %}")
    assert issubclass(outcome(fast, [{"role": "user", "content": "Hi."}])[0], jinja2.TemplateError)


def test_a_template_is_chosen_by_name() -> None:
    for tokenizer in pair(CHATML):
        tokenizer.chat_template = {"default": "plain", "tool_use": "tools"}
        conversation = [{"role": "user", "content": "Hi."}]
        assert [outcome(tokenizer, conversation), outcome(tokenizer, conversation, tools=TOOLS)] == ["plain", "tools"]
        tokenizer.chat_template = CHATML


def test_the_embedded_models_tokenizer_is_loaded_without_transformers_and_behaves_the_same(tmp_path: Path) -> None:
    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415 - only after import_mlx_lm

    folder = embedded_folder(ConsoleProgress())
    fast, original = load_tokenizer(folder, 2), load(folder, eos_token_ids=2)
    assert isinstance(fast.tokenizer, FastTokenizer)
    assert_same(fast, original)


def assert_same(fast: Any, original: Any) -> None:
    for name in (
        *("eos_token_ids", "has_chat_template"),
        *("chat_template", "bos_token", "bos_token_id", "eos_token_id", "unk_token_id", "model_max_length"),
        *("special_tokens_map",),
    ):
        assert getattr(fast, name) == getattr(original, name), name
    assert len(fast) == len(original)
    assert fast.get_vocab() == original.get_vocab()
    for sample in (*TEXTS, "<|im_start|>user\nHi<|im_end|>"):
        for adds in (True, False):
            ids = original.encode(sample, add_special_tokens=adds)
            assert fast.encode(sample, add_special_tokens=adds) == ids
        for skips in (True, False):
            assert fast.decode(ids, skip_special_tokens=skips) == original.decode(ids, skip_special_tokens=skips)
        assert fast.convert_ids_to_tokens(ids) == original.convert_ids_to_tokens(ids)
        tokens = original.convert_ids_to_tokens(ids)
        assert fast.convert_tokens_to_ids(tokens) == original.convert_tokens_to_ids(tokens)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedded model's tokenizer in a folder that Pensieve did not write, and an empty home."""
    source = embedded_folder(ConsoleProgress())
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copyfile(source / name, folder / name)
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    import_mlx_lm()
    return folder


@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "Qwen2Tokenizer", "GPT2Tokenizer"])
def test_a_folder_that_transformers_loaded_is_loaded_without_it_the_next_time(folder: Path, kind: str) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": kind}))
    first, second = load_tokenizer(folder, 2), load_tokenizer(folder, 2)
    assert not isinstance(first.tokenizer, FastTokenizer)
    assert isinstance(second.tokenizer, FastTokenizer)
    assert_same(second, first)


def test_a_changed_folder_is_loaded_with_transformers_again(folder: Path) -> None:
    load_tokenizer(folder, None)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": "another"}))
    changed = load_tokenizer(folder, None)
    assert not isinstance(changed.tokenizer, FastTokenizer)
    assert changed.chat_template == load_tokenizer(folder, None).chat_template == "another"
    (folder / "chat_template.jinja").write_text("a third")
    assert load_tokenizer(folder, None).chat_template == load_tokenizer(folder, None).chat_template == "a third"


def test_a_damaged_cache_entry_is_replaced(folder: Path, tmp_path: Path) -> None:
    load_tokenizer(folder, None)
    (entry,) = (tmp_path / "home" / "tokenizers").iterdir()
    entry.write_text('{"facts": {}, "backend": null}')
    assert not isinstance(load_tokenizer(folder, None).tokenizer, FastTokenizer)
    assert isinstance(load_tokenizer(folder, None).tokenizer, FastTokenizer)


def test_a_tokenizer_with_custom_code_is_always_loaded_with_transformers(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "NewlineTokenizer"}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "no-such-type"}))
    for _ in range(2):
        loaded = load_tokenizer(folder, None)
        assert type(loaded.tokenizer).__name__ == "NewlineTokenizer"
        assert loaded.encode("a\nb") == loaded.encode("a<n>b")
