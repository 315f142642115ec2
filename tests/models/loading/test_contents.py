"""A folder that cannot be loaded is refused with one sentence that names the file and the fix."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.estimate.inspect import inspect_model
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.importing import import_model
from pensieve.models.library.resolve import resolve
from tests.models.gguf.gguf_files import write_llama
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

QUIET = SilentProgress()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = write_byte_tokenizer(tmp_path / "tiny")
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def with_mark(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        content = path.read_text(encoding="utf-8") if path.exists() else "{}"
        path.write_text(content, encoding="utf-8-sig")

    return damage


def with_config(**settings: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))

    return damage


def with_tensor(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = mx.load(str(folder / "model.safetensors"))
        assert isinstance(tensors, dict)
        mx.save_safetensors(str(folder / "model.safetensors"), {**tensors, name: mx.zeros((8, 8))})

    return damage


def renamed(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / old).rename(folder / new)


def as_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    (folder / "model.safetensors").rename(folder / "adapters.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (with_mark("config.json"), r"/config\.json starts with a byte order mark: save it as UTF-8 without one"),
        (with_mark("tokenizer_config.json"), r"/tokenizer_config\.json starts with a byte order mark"),
        (with_mark("generation_config.json"), r"/generation_config\.json starts with a byte order mark"),
        (with_mark("tokenizer.json"), r"/tokenizer\.json starts with a byte order mark"),
        (lambda folder: (folder / "config.json").write_text("[]"), r"/config\.json holds a list .* fetch it again"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": 3}'), "has no model_type"),
        (
            lambda folder: (folder / "config.json").write_bytes(LFS),
            r"/config\.json is a Git LFS pointer.* `git lfs",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(LFS),
            r"/model\.safetensors is a Git LFS pointer.* `git lfs",
        ),
        (
            lambda folder: (folder / "tokenizer.json").write_bytes(LFS),
            r"/tokenizer\.json is a Git LFS pointer.* `git lfs pull`",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b""),
            r"/model\.safetensors is empty: fetch it again",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"no tokenizer\.json: copy the tokenizer files"),
        (as_adapter, "it is an adapter: import it with --adapter"),
        (
            renamed("model.safetensors", "pytorch_model.bin"),
            r"only PyTorch weights \(pytorch_model\.bin\): save them as",
        ),
        (renamed("model.safetensors", "consolidated.safetensors"), r"but consolidated\.safetensors: rename it"),
        (renamed("model.safetensors", "model-00001-of-00003.safetensors"), r"lacks model-00002-of-00003\.safetensors"),
        (
            with_config(quantization_config={"quant_method": "awq", "bits": 4}),
            r"packed by awq, but they are not .* remove",
        ),
        (with_config(quantization_config={"quant_method": "gptq"}), "packed by gptq, but they are not"),
        (with_tensor("model.layers.0.mlp.up_proj.qweight"), "packed as by AWQ or GPTQ .* fetch config.json again"),
        (with_tensor("model.layers.0.mlp.up_proj.weight.absmax"), "packed by bitsandbytes, which mlx-lm does not read"),
    ],
)
def test_one_sentence_states_what_is_wrong_and_how_to_fix_it(
    tiny: Path, damage: Callable[[Path], object], message: str
) -> None:
    resolve(str(tiny), progress=QUIET)
    damage(tiny)
    with pytest.raises(ModelLoadingError, match=message) as caught:
        resolve(str(tiny), progress=QUIET)
    assert "\n" not in str(caught.value)


def test_weights_packed_by_mlx_lm_may_keep_a_foreign_quantization_config(tiny: Path) -> None:
    with_config(quantization_config={"quant_method": "awq"}, quantization={"group_size": 64, "bits": 4})(tiny)
    assert resolve(str(tiny), progress=QUIET).path == tiny


@pytest.fixture
def gguf_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "downloaded"
    folder.mkdir()
    write_llama(folder / "small.gguf")
    (folder / "mmproj-small.gguf").write_bytes(b"the part that reads images")
    (folder / "README.md").write_text("a model")
    return folder


def test_a_folder_with_one_gguf_file_counts_as_that_file(gguf_only: Path) -> None:
    found = resolve(str(gguf_only), progress=QUIET)
    assert found == resolve(str(gguf_only / "small.gguf"), progress=QUIET)
    assert inspect_model(str(gguf_only), progress=QUIET).headers
    assert import_model(gguf_only, None, copy=False, progress=QUIET).name == "small"


def test_a_folder_with_several_gguf_files_is_refused_with_their_names(gguf_only: Path) -> None:
    shutil.copyfile(gguf_only / "small.gguf", gguf_only / "other.gguf")
    for find in (resolve, inspect_model):
        with pytest.raises(ModelLoadingError, match=r"name one of them as FOLDER/FILE: other\.gguf, small\.gguf"):
            find(str(gguf_only), progress=QUIET)
