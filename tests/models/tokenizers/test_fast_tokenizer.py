"""Without Transformers a conversation is the same text, and a text the same tokens, as with it."""

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
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer, TokenizerFacts
from pensieve.models.tokenizers.load import load_tokenizer
from tests.models.gguf.tokenizer_cases import TEXTS
from tests.models.prompts import templates
from tests.models.tokenizers.example_tokenizers import one_token_a_byte
from tests.support.tiny_model import CHATML

CORNERS = (
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
TEMPLATES = (templates.QWEN2_5, templates.QWEN3, templates.DEEPSEEK, templates.MISTRAL, CHATML, *CORNERS)
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
    """The same tokenizer without and with Transformers."""
    import_mlx_lm()
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - only after import_mlx_lm

    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    make: Any = PreTrainedTokenizerFast
    original = make(tokenizer_object=one_token_a_byte(), chat_template=template, **special)
    return FastTokenizer(one_token_a_byte(), TokenizerFacts(special, template, 512, {})), original


def outcome(tokenizer: Any, conversation: list[dict[str, Any]], **options: Any) -> Any:
    try:
        return tokenizer.apply_chat_template(conversation, tokenize=False, return_dict=False, **options)
    except TEMPLATE_ERRORS as error:
        return type(error), str(error)


@given(st.sampled_from(TEMPLATES), st.lists(turn, min_size=1, max_size=4), st.booleans(), st.booleans(), st.booleans())
def test_a_conversation_is_the_same_text(
    template: str, conversation: list[dict[str, Any]], has_tools: Any, opens: Any, thinks: Any
) -> None:
    direct, original = pair(template)
    options = {"tools": TOOLS if has_tools else None, "add_generation_prompt": opens, "enable_thinking": thinks}
    written, expected = outcome(direct, conversation, **options), outcome(original, conversation, **options)
    if isinstance(expected, str):
        assert written == expected
    else:
        assert isinstance(written, tuple), written
        assert written[0] is expected[0]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_taken_or_refused_alike(template: str) -> None:
    direct, original = pair(template)
    conversation = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho.", "thinking": "Hm."}]
    written, expected = outcome(direct, conversation, tools=TOOLS), outcome(original, conversation, tools=TOOLS)
    assert written == expected or (not isinstance(expected, str) and written[0] is expected[0])


def test_no_template_and_no_message_are_refused() -> None:
    for tokenizer in pair(None):
        assert outcome(tokenizer, [{"role": "user", "content": "Hi."}])[0] is ValueError
    for tokenizer in pair(CHATML):
        assert outcome(tokenizer, [])[0] is ValueError


def test_a_template_that_is_none_is_refused_when_it_is_used() -> None:
    direct, _ = pair("{% if %}")
    assert issubclass(outcome(direct, [{"role": "user", "content": "Hi."}])[0], jinja2.TemplateError)


def test_templates_go_by_name() -> None:
    for tokenizer in pair(CHATML):
        tokenizer.chat_template = {"default": "plain", "tool_use": "tools"}
        said = [{"role": "user", "content": "Hi."}]
        assert [outcome(tokenizer, said), outcome(tokenizer, said, tools=TOOLS)] == ["plain", "tools"]
        tokenizer.chat_template = CHATML


def test_the_embedded_models_tokenizer_is_read_without_transformers_and_is_the_same(tmp_path: Path) -> None:
    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415 - only after import_mlx_lm

    folder = embedded_folder(ConsoleProgress())
    direct, original = load_tokenizer(folder, 2), load(folder, eos_token_ids=2)
    assert isinstance(direct._tokenizer, FastTokenizer)
    assert_same(direct, original)


def assert_same(direct: Any, original: Any) -> None:
    for fact in (
        *("eos_token_ids", "think_start", "think_end", "has_tool_calling", "tool_call_start", "has_chat_template"),
        *("chat_template", "bos_token", "bos_token_id", "eos_token_id", "unk_token_id", "model_max_length"),
        *("special_tokens_map",),
    ):
        assert getattr(direct, fact) == getattr(original, fact), fact
    assert len(direct) == len(original)
    assert direct.get_vocab() == original.get_vocab()
    assert type(direct.detokenizer) is type(original.detokenizer)
    for words in (*TEXTS, "<|im_start|>user\nHi<|im_end|>"):
        for adds in (True, False):
            ids = original.encode(words, add_special_tokens=adds)
            assert direct.encode(words, add_special_tokens=adds) == ids
        for skips in (True, False):
            assert direct.decode(ids, skip_special_tokens=skips) == original.decode(ids, skip_special_tokens=skips)
        assert direct.convert_ids_to_tokens(ids) == original.convert_ids_to_tokens(ids)
        tokens = original.convert_ids_to_tokens(ids)
        assert direct.convert_tokens_to_ids(tokens) == original.convert_tokens_to_ids(tokens)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedded model's tokenizer, of a folder that was made elsewhere, and a home where nothing is known yet."""
    made = embedded_folder(ConsoleProgress())
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copyfile(made / name, folder / name)
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    import_mlx_lm()
    return folder


@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "Qwen2Tokenizer", "GPT2Tokenizer"])
def test_what_transformers_made_of_a_folder_is_made_without_it_the_next_time(folder: Path, kind: str) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": kind}))
    first, second = load_tokenizer(folder, 2), load_tokenizer(folder, 2)
    assert not isinstance(first._tokenizer, FastTokenizer)
    assert isinstance(second._tokenizer, FastTokenizer)
    assert_same(second, first)


def test_a_folder_that_has_changed_is_looked_at_anew(folder: Path) -> None:
    load_tokenizer(folder, None)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": "another"}))
    changed = load_tokenizer(folder, None)
    assert not isinstance(changed._tokenizer, FastTokenizer)
    assert changed.chat_template == load_tokenizer(folder, None).chat_template == "another"
    (folder / "chat_template.jinja").write_text("a third")
    assert load_tokenizer(folder, None).chat_template == load_tokenizer(folder, None).chat_template == "a third"


def test_what_was_kept_and_is_damaged_is_made_anew(folder: Path, tmp_path: Path) -> None:
    load_tokenizer(folder, None)
    (kept,) = (tmp_path / "home" / "tokenizers").iterdir()
    kept.write_text('{"facts": {}, "backend": null}')
    assert not isinstance(load_tokenizer(folder, None)._tokenizer, FastTokenizer)
    assert isinstance(load_tokenizer(folder, None)._tokenizer, FastTokenizer)


def test_a_tokenizer_with_code_of_its_own_stays_with_transformers(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "NewlineTokenizer"}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "no-such-type"}))
    for _ in range(2):
        loaded = load_tokenizer(folder, None)
        assert type(loaded._tokenizer).__name__ == "NewlineTokenizer"
        assert loaded.encode("a\nb") == loaded.encode("a<n>b")
