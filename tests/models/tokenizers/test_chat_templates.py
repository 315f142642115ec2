"""Chat templates are read from every file in which a folder may have them, with and without Transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.tokenizers.chat_templates import read_chat_templates
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer
from pensieve.models.tokenizers.load import load_tokenizer
from tests.support.tiny_model import write_byte_tokenizer


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    import_mlx_lm()


def write(folder: Path, files: dict[str, Any]) -> Path:
    """A tokenizer's folder with additional files. The key "chat_template" sets the one in tokenizer_config.json."""
    write_byte_tokenizer(folder)
    path = folder / "tokenizer_config.json"
    settings = {key: value for key, value in json.loads(path.read_text()).items() if key != "chat_template"}
    if "chat_template" in files:
        settings["chat_template"] = files.pop("chat_template")
    path.write_text(json.dumps(settings))
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


PLACES: list[tuple[dict[str, Any], Any]] = [
    ({"chat_template": "config"}, "config"),
    ({"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]}, ("a", "b")),
    ({"chat_template": {"default": "a", "tool_use": "b"}}, ("a", "b")),
    ({"chat_template.json": {"chat_template": "processor"}}, "processor"),
    ({"chat_template": "config", "chat_template.json": {"chat_template": "processor"}}, "processor"),
    ({"chat_template": "config", "chat_template.jinja": "\ufefffile"}, "file"),
    ({"chat_template.jinja": "a", "additional_chat_templates/tool_use.jinja": "b"}, ("a", "b")),
    ({"chat_template": "a", "additional_chat_templates/tool_use.jinja": "b"}, ("a", "b")),
    ({}, None),
]


@pytest.mark.parametrize(("files", "expected"), PLACES)
def test_templates_in_every_file_are_found_with_and_without_transformers(
    tmp_path: Path, files: dict[str, Any], expected: Any
) -> None:
    folder = write(tmp_path / "model", dict(files))
    templates = {"default": expected[0], "tool_use": expected[1]} if isinstance(expected, tuple) else expected
    by_transformers, from_cache = load_tokenizer(folder, 2), load_tokenizer(folder, 2)
    assert not isinstance(by_transformers.tokenizer, FastTokenizer)
    assert isinstance(from_cache.tokenizer, FastTokenizer)
    for tokenizer in (by_transformers, from_cache):
        assert tokenizer.chat_template == templates
        assert bool(tokenizer.has_chat_template) is (expected is not None)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"chat_template.jinja": "a\n{% if %}"},
            r"chat_template\.jinja: the chat template does not compile: line 2",
        ),
        ({"chat_template": "{{ a"}, r"tokenizer_config\.json: the chat template does not compile: line 1"),
        ({"chat_template.json": {"chat_template": "{% else %}"}}, r"chat_template\.json: the chat template does not"),
        (
            {"chat_template": "a", "additional_chat_templates/tool_use.jinja": "\n\n{% endif %}"},
            r"additional_chat_templates/tool_use\.jinja: the chat template 'tool_use' does not compile: line 3",
        ),
        ({"chat_template.json": "{"}, r"chat_template\.json is not JSON"),
    ],
)
def test_a_template_that_does_not_compile_fails_at_load_and_the_error_names_file_and_line(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    folder = write(tmp_path / "model", dict(files))
    with pytest.raises(ValueError, match=f"^{message}"):
        load_tokenizer(folder, 2)


def test_a_template_may_use_the_functions_and_filters_of_transformers(tmp_path: Path) -> None:
    template = "{% generation %}{{ strftime_now('%Y') }}{% endgeneration %}{{ raise_exception('no') if false }}"
    template += "{% set n = namespace(a=dict(b=[])) %}{% set _ = n.a.b.append(1) %}{{ n.a | tojson(indent=1) }}"
    folder = write(tmp_path / "model", {"chat_template": template})
    assert list(read_chat_templates(folder)) == ["default"]
    tokenizer = load_tokenizer(folder, 2)
    cached = load_tokenizer(folder, 2).tokenizer
    assert isinstance(cached, FastTokenizer)
    text = cached.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False, strftime_now=lambda _: "1999")
    assert text == '1999{\n "b": [\n  1\n ]\n}'
    assert tokenizer.chat_template == template
