"""Importing mlx-lm has no side effects on the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.device.device import device_info
from tests.device.python_process import run_python
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

GENERATE = """
import json, resource, sys
import mlx.core as mx

resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 6000))
if {carefully}:
    from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
    import_mlx_lm()
from mlx_lm.generate import BatchGenerator, stream_generate, wired_limit
from mlx_lm.utils import load

wired = []
mx.set_wired_limit = lambda limit: wired.append(limit) or 0
facts = mx.device_info()
mx.device_info = lambda *_: {{**facts, "max_recommended_working_set_size": 2**34}}  # as on Metal

model, tokenizer = load({folder!r})
batch = BatchGenerator(model)
batch.close()
list(stream_generate(model, tokenizer, [5, 6], max_tokens=2))
with wired_limit(model):
    pass
mx.eval(mx.compile(lambda a: mx.exp(a) + a * 2)(mx.ones(4)))
print(json.dumps([len(wired), resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_byte_tokenizer(tmp_path_factory.mktemp("bytes"))
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def test_limits_stay_and_no_compiled_code_is_written_to_shared_folders(folder: Path, tmp_path: Path) -> None:
    printed = run_python(GENERATE.format(carefully=True, folder=str(folder)), TMPDIR=str(tmp_path))
    assert json.loads(printed) == [0, [5000, 6000]]
    assert not (tmp_path / "mlx").exists()


def test_a_plain_import_would_have_these_side_effects(folder: Path, tmp_path: Path) -> None:
    printed = run_python(GENERATE.format(carefully=False, folder=str(folder)), TMPDIR=str(tmp_path))
    num_wired, files = json.loads(printed)
    assert num_wired > 0
    assert files != [5000, 6000]
    assert (tmp_path / "mlx").exists() or device_info().backend != "cpu"
