"""A model's config and tokenizer are read from wherever they are, and its weights are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.estimate.without_weights import without_weights
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.tokenizers.load import load_tokenizer
from tests.models.gguf.gguf_files import write_llama
from tests.models.hub.hub_server import files_of, hub_of, own_cache
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

QUIET = SilentProgress()
TEXT = "Hello, 猫!"


def tiny(folder: Path) -> Path:
    write_byte_tokenizer(folder)
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259, max_position_embeddings=777)


def read(name: str) -> tuple[int, list[int]]:
    """The window, and the tokens of a text."""
    with without_weights(name, QUIET) as files:
        return files.config["max_position_embeddings"], load_tokenizer(files.tokenizer_folder()).encode(TEXT)


def test_a_model_of_the_hub_is_read_without_fetching_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny(tmp_path / "source")
    with hub_of({"org/tiny": files_of(folder)}, tmp_path, monkeypatch) as hub:
        with without_weights("org/tiny", QUIET) as files:
            assert files.config["max_position_embeddings"] == 777
            assert hub.downloads("tokenizer.json") == []  # the config alone may answer the question
        assert read("org/tiny") == read(str(folder))
        assert hub.downloads("model.safetensors") == []
    assert not list((tmp_path / "hub").rglob("config.json"))


def test_a_gguf_file_is_read_without_being_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path, monkeypatch)
    path = tmp_path / "tiny.gguf"
    write_llama(path)
    found = read(str(path))
    assert not list(tmp_path.rglob("*.safetensors"))
    assert found == read(str(resolve(str(path), progress=QUIET).path))


def test_a_name_that_means_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path, monkeypatch)
    with pytest.raises(ModelLoadingError), without_weights("nothing-of-the-kind", QUIET):
        pass
