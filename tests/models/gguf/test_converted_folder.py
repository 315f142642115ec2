"""A user's GGUF file is read and converted once, in little memory and with a progress report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import SilentProgress
from pensieve.models.gguf.converted_folder import gguf_folder
from tests.models.gguf.gguf_files import HIDDEN, INNER, add_byte_tokenizer, write_llama
from tests.models.gguf.llama_files import quantized, write_llama_from

MB = 1_000_000


class RecordingProgress(SilentProgress):
    """Records each step's total and the byte counts that it reported."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self.totals: dict[str, int] = {}

    @contextmanager
    def track(self, step: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        self.totals[step] = total_bytes
        yield self.counts.setdefault(step, []).append


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_progress_reports_reading_converting_and_checksums_up_to_the_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama(path)
    progress = RecordingProgress()
    folder = gguf_folder(path, progress)
    assert list(progress.counts) == ["Reading model.gguf", "Converting model.gguf", f"Checksums of {folder.name}"]
    for step, counts in progress.counts.items():
        assert counts == sorted(counts)
        assert counts[-1] == progress.totals[step] > 0
    assert progress.totals["Reading model.gguf"] == path.stat().st_size


def test_the_second_call_does_not_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama(path)
    folder = gguf_folder(path, SilentProgress())
    status = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    progress = RecordingProgress()
    assert gguf_folder(path, progress) == folder
    assert not progress.counts


def test_a_modified_or_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama(path)
    first = gguf_folder(path, SilentProgress())
    os.utime(path, ns=(1, 1))
    progress = RecordingProgress()
    assert gguf_folder(path, progress) == first
    assert list(progress.counts) == ["Reading model.gguf"]
    write_llama(tmp_path / "other.gguf", kind=gguf.GGMLQuantizationType.BF16)
    os.utime(tmp_path / "other.gguf", ns=(1, 1))
    assert path.stat().st_size == (tmp_path / "other.gguf").stat().st_size
    (tmp_path / "other.gguf").replace(path)
    assert gguf_folder(path, SilentProgress()) != first


def test_a_damaged_checksum_cache_only_costs_another_read(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama(path)
    folder = gguf_folder(path, SilentProgress())
    (home / "file-sums.json").write_text("{", encoding="utf-8")
    assert gguf_folder(path, SilentProgress()) == folder


def test_a_refused_file_leaves_no_folder(tmp_path: Path, home: Path) -> None:
    def add_unknown_type(writer: gguf.GGUFWriter) -> None:
        rows = np.zeros((INNER, HIDDEN // 32 * 17), np.uint8)
        writer.add_tensor("blk.0.ffn_up.weight", rows, raw_dtype=gguf.GGMLQuantizationType.MXFP4)

    write_llama(tmp_path / "model.gguf", omit=("blk.0.ffn_up.weight",), edit=add_unknown_type)
    with pytest.raises(ModelLoadingError, match=r"'blk.0.ffn_up.weight' has the type MXFP4; supported are F32.*Q8_K"):
        gguf_folder(tmp_path / "model.gguf", SilentProgress())
    assert not (home / "models").exists()


def test_too_little_disk_space_for_the_converted_model_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_llama(tmp_path / "model.gguf")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50 * MB))
    with pytest.raises(ModelLoadingError, match=r"is full: \d+ MB are needed"):
        gguf_folder(tmp_path / "model.gguf", SilentProgress())


def write_large(folder: Path) -> Path:
    """A llama with one small layer, large embeddings in F16 and a large output in Q6_K."""
    config = {
        "num_hidden_layers": 1,
        "max_position_embeddings": 512,
        "hidden_size": 1024,
        "intermediate_size": 256,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    random = np.random.default_rng(8)
    prefix, vocabulary_size = "model.layers.0", 64 * 1200
    shapes = {
        "model.embed_tokens": (vocabulary_size, 1024),
        "model.norm": (1024,),
        "lm_head": (vocabulary_size, 1024),
        f"{prefix}.input_layernorm": (1024,),
        f"{prefix}.post_attention_layernorm": (1024,),
        **{f"{prefix}.self_attn.{part}_proj": (1024, 1024) for part in "qkvo"},
        **{f"{prefix}.mlp.{part}_proj": (256, 1024) for part in ("gate", "up")},
        f"{prefix}.mlp.down_proj": (1024, 256),
    }
    weights = {
        name: random.standard_normal((min(shape[0], 1024), *shape[1:]), np.float32) for name, shape in shapes.items()
    }
    cache = {}
    for module, name, type_name in (("model.embed_tokens", "token_embd", "F16"), ("lm_head", "output", "Q6_K")):
        cache[f"{name}.weight", type_name] = np.tile(
            quantized(weights[module][:64], type_name), (vocabulary_size // 64, 1)
        )
    types = {"token_embd.weight": "F16", "output.weight": "Q6_K"}
    path = folder / "model.gguf"
    write_llama_from(path, folder, weights, lambda name, _: types.get(name, "Q4_K"), add_byte_tokenizer, cache=cache)
    return path


PRINT_PEAK_MEMORY = """
import re, resource, sys
from pathlib import Path
from pensieve.models.gguf.convert import convert_gguf
from pensieve.models.gguf.weights.repack import REPACKINGS
def peak():
    status = Path("/proc/self/status")  # on Linux, getrusage includes the parent's peak before exec
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
print(before, peak())
"""


def test_a_conversion_takes_a_few_megabytes_for_a_file_of_any_size(tmp_path: Path) -> None:
    path = write_large(tmp_path)
    assert path.stat().st_size > 200 * MB
    (tmp_path / "converted").mkdir()
    command = [sys.executable, "-c", PRINT_PEAK_MEMORY, str(path), str(tmp_path / "converted")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after = map(int, output.split())
    assert after - before < 30 * MB
    for large in (path, tmp_path / "converted" / "model.safetensors"):
        large.unlink()  # pytest keeps temporary folders, and these files are large
