"""Every kind of name leads to a model, and an unknown name to an error with the options."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import home, models_folder
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress, SilentProgress
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.resolve import resolve
from tests.models.gguf.gguf_files import write_llama
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = write_byte_tokenizer(tmp_path / "tiny-model")
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def resolved(source: str) -> ModelFolder:
    return resolve(source, progress=SilentProgress())


def test_the_embedded_model_has_a_name() -> None:
    folder = resolve(SMOLLM2.name, progress=ConsoleProgress())
    assert folder.id == SMOLLM2.name
    assert folder.path == models_folder() / SMOLLM2.name
    assert folder.created_at == "2024-10-31T00:00:00Z"


def test_a_folder_is_named_after_itself(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny)
    for source in (str(tiny), f"{tiny}/", ".", "../tiny-model"):
        folder = resolved(source)
        assert (folder.path, folder.id, folder.display_name) == (tiny, "tiny-model", "tiny-model")
    assert datetime.fromisoformat(folder.created_at).tzinfo is not None


def test_a_tilde_stands_for_the_home_folder(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tiny.parent))
    assert resolved("~/tiny-model").path == tiny


def test_a_gguf_file_is_converted_once_and_found_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    write_llama(tmp_path / "small.gguf")
    first = resolved(str(tmp_path / "small.gguf"))
    assert first.id == "small"
    assert first.path.parent == tmp_path / "home" / "models"
    (tmp_path / "small.gguf").rename(tmp_path / "elsewhere.gguf")
    modified = first.path.stat().st_mtime_ns
    assert resolved(str(tmp_path / "elsewhere.gguf")).path.stat().st_mtime_ns >= modified


def truncate(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{}"), r"config\.json has no model_type"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"has no model\*\.safetensors"),
        (truncate, r"model\.safetensors has 5000 bytes instead of \d+"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "truncated, or not a safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(bytes(100)), "its header is damaged"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
    ],
)
def test_an_incomplete_or_damaged_folder_is_refused_with_the_file_at_fault(
    tiny: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(tiny)
    with pytest.raises(ModelLoadingError, match=message) as caught:
        resolved(str(tiny))
    assert caught.value.source == str(tiny)


@pytest.mark.parametrize("source", ["", "gpt-4", "./nowhere", "/nowhere/at/all", "a/b/c", "mlx community/x"])
def test_an_unknown_name_is_refused_with_the_options(source: str) -> None:
    with pytest.raises(ModelLoadingError, match=r"smollm2-135m .*folder or \.gguf file .*organisation/name"):
        resolved(source)


def test_a_file_of_another_kind_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ModelLoadingError, match=r"is a file, but not a \.gguf file"):
        resolved(str(tmp_path / "model.bin"))


def test_the_home_is_the_users_cache_unless_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PENSIEVE_HOME", raising=False)
    assert home().name == "pensieve"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PENSIEVE_HOME", "~/models-of-mine")
    assert home() == tmp_path / "models-of-mine"


def test_a_safetensors_header_written_by_mlx_is_accepted(tmp_path: Path, tiny: Path) -> None:
    import mlx.core as mx  # noqa: PLC0415

    mx.save_safetensors(str(tiny / "model.safetensors"), {"a": mx.ones((3, 5))}, metadata={"format": "mlx"})
    assert resolved(str(tiny)).path == tiny
    assert json.loads((tiny / "config.json").read_text())["model_type"] == "llama"
