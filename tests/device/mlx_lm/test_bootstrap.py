"""Importing mlx-lm has no side effects on the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.device.device import device_info
from tests.device.python_process import run_python
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

WATCH = """
import asyncio, json, resource
from pathlib import Path

resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 6000))
wired, folder = [], {folder!r}

def watch():
    import mlx.core as mx
    mx.set_wired_limit = lambda limit: wired.append(limit) or 0
    facts = mx.device_info()
    mx.device_info = lambda *_: {{**facts, "max_recommended_working_set_size": 2**34}}  # as on Metal
    return mx
"""
END = """
mx.eval(mx.compile(lambda a: mx.exp(a) + a * 2)(mx.ones(4)))
print(json.dumps([len(wired), resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""
OURS = """
from pensieve.device.device import device_info
device_info()
mx = watch()
from pensieve.models.files.model_folder import ModelFolder
from tests.engine.support.generate import answer, user_request

from tests.support.engines import engines_of

async def play():
    async with engines_of(ModelFolder(Path(folder), "tiny", "tiny", "2026-01-01T00:00:00Z"))() as engine:
        _, finished = await answer(engine, user_request("Hello", max_tokens=4))
        assert finished.usage.output_tokens > 0
asyncio.run(play())
"""
MLX_LM = """
mx = watch()
from mlx_lm import load, stream_generate
model, tokenizer = load(folder)
list(stream_generate(model, tokenizer, [5, 6], max_tokens=2))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_byte_tokenizer(tmp_path_factory.mktemp("bytes"))
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def test_limits_stay_and_no_compiled_code_is_written_to_shared_folders(folder: Path, tmp_path: Path) -> None:
    """Wired memory has been linked to kernel panics (docs/decisions/0008-memory-is-never-wired.md)."""
    printed = run_python(f"{WATCH.format(folder=str(folder))}{OURS}{END}", TMPDIR=str(tmp_path))
    assert json.loads(printed) == [0, [5000, 6000]]
    assert not (tmp_path / "mlx").exists()


def test_mlx_lm_alone_has_these_side_effects(folder: Path, tmp_path: Path) -> None:
    num_wired, files = json.loads(run_python(f"{WATCH.format(folder=str(folder))}{MLX_LM}{END}", TMPDIR=str(tmp_path)))
    assert num_wired > 0
    assert files != [5000, 6000]
    assert (tmp_path / "mlx").exists() or device_info().backend != "cpu"
