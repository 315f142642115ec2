"""The fingerprint changes with everything that KV depends on, and with nothing else (C2)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import mlx.core as mx
import pytest

from pensieve.engine.prompt_cache.fingerprint import fingerprint_of
from pensieve.models.files.home import HOME_VARIABLE
from tests.engine.support.tiny_modules import tiny_module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_the_fingerprint_depends_on_content_not_on_path_or_time(folder: Path, tmp_path: Path) -> None:
    model = tiny_module("llama")
    before = fingerprint_of(folder, model)
    os.utime(folder / "config.json", (1, 1))
    (folder / "README.md").write_text("new", encoding="utf-8")
    assert fingerprint_of(folder, model) == before
    shutil.copytree(folder, tmp_path / "copy")
    assert fingerprint_of(tmp_path / "copy", model) == before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_every_file_of_the_model_changes_the_fingerprint(folder: Path, name: str) -> None:
    model = tiny_module("llama")
    before = fingerprint_of(folder, model)
    (folder / name).write_bytes(name.upper().encode())  # of the same size
    os.utime(folder / name, (2, 2))
    assert fingerprint_of(folder, model) != before


def test_data_types_and_cache_kinds_change_the_fingerprint(folder: Path) -> None:
    fingerprints = {
        fingerprint_of(folder, tiny_module("llama")),
        fingerprint_of(folder, tiny_module("llama", dtype=mx.bfloat16)),
        fingerprint_of(folder, tiny_module("mamba2")),
    }
    assert len(fingerprints) == 3


def test_checksums_are_cached_and_a_damaged_cache_is_rebuilt(folder: Path, tmp_path: Path) -> None:
    model, cache_file = tiny_module("llama"), tmp_path / "home" / "file-sums.json"
    before = fingerprint_of(folder, model)
    checksums = json.loads(cache_file.read_text(encoding="utf-8"))
    for damaged in ("{", "[]", '{"a": 1}'):
        cache_file.write_text(damaged, encoding="utf-8")
        assert fingerprint_of(folder, model) == before
    cache_file.write_text(json.dumps(dict.fromkeys(checksums, "another sum")), encoding="utf-8")
    assert fingerprint_of(folder, model) != before
