"""A model's metadata is read from wherever its files are, without reading any weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.estimate.footprint import footprint
from pensieve.models.estimate.inspect import inspect_model
from pensieve.models.files.progress import SilentProgress
from pensieve.models.hub.local import local_copy
from pensieve.models.hub.name import HubName
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.config import read_config
from tests.models.gguf.gguf_files import write_llama
from tests.models.hub.hub_server import files_of, hub_of, own_cache
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

QUIET = SilentProgress()


def _tiny(folder: Path) -> Path:
    write_byte_tokenizer(folder)
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def test_a_folder_gives_its_config_and_headers(tmp_path: Path) -> None:
    folder = _tiny(tmp_path / "tiny")
    metadata = inspect_model(str(folder), progress=QUIET)
    assert metadata.config["model_type"] == "llama"
    assert "model.layers.1.mlp.down_proj.weight" in {header.name for header in metadata.headers}


def test_a_gguf_file_gives_the_metadata_of_its_conversion_without_being_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache(tmp_path, monkeypatch)
    path = tmp_path / "tiny.gguf"
    write_llama(path)
    metadata = inspect_model(str(path), progress=QUIET)
    written = {file.name for file in tmp_path.rglob("*.safetensors")}
    assert not written
    converted = inspect_model(str(resolve(str(path), progress=QUIET).path), progress=QUIET)
    for dense in (False, True):
        before, after = (footprint(it.config, it.headers, dense=dense) for it in (metadata, converted))
        assert before == after


def test_a_hub_model_is_inspected_without_fetching_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _tiny(tmp_path / "source")
    own_cache(tmp_path, monkeypatch)
    with hub_of({"org/tiny": files_of(folder)}, tmp_path, monkeypatch) as hub:
        metadata = inspect_model("org/tiny", progress=QUIET)
        assert all(hub.downloads("model.safetensors"))
    assert "not on this machine" in metadata.where
    local = inspect_model(str(folder), progress=QUIET)
    remote, expected = (footprint(it.config, it.headers, dense=False) for it in (metadata, local))
    assert remote == expected
    assert local_copy(HubName("org/tiny")) is None  # the files read do not count as a copy


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelLoadingError, match="no such folder"):
        inspect_model("nothing-of-this-name", progress=QUIET)


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    folder = _tiny(tmp_path / "tiny")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelLoadingError, match=r"config\.json cannot be read"):
        inspect_model(str(folder), progress=QUIET)
    (folder / "config.json").write_text(json.dumps([]))
    with pytest.raises(ModelLoadingError, match=r"config\.json holds a list"):
        inspect_model(str(folder), progress=QUIET)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelLoadingError, match="has no model_type"):
        inspect_model(str(folder), progress=QUIET)


def test_a_name_means_the_same_as_to_the_server_even_if_a_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tiny(tmp_path / "smollm2-135m")
    monkeypatch.chdir(tmp_path)
    served = resolve("smollm2-135m", progress=QUIET)
    assert inspect_model("smollm2-135m", progress=QUIET).config == read_config("smollm2-135m", served.path)
    assert inspect_model("./smollm2-135m", progress=QUIET).where == f"the files in {tmp_path / 'smollm2-135m'}"
