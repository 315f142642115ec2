"""Transformers is imported only when it is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.device.python_process import run_python
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

HEAD = """
import json, sys
from pathlib import Path
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
import_mlx_lm()
from mlx_lm.utils import load_tokenizer
from mlx_lm.generate import BatchGenerator, stream_generate
heavy = lambda: [name for name in ("transformers", "huggingface_hub") if name in sys.modules]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_byte_tokenizer(tmp_path_factory.mktemp("bytes"))
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def test_transformers_is_imported_with_the_first_tokenizer_that_needs_it(folder: Path) -> None:
    code = f"""{HEAD}
before = heavy()
tokenizer = load_tokenizer(Path({str(folder)!r}))
import transformers
from mlx_lm.tokenizer_utils import NewlineTokenizer
known = sys.modules["mlx_lm.generate"].TokenizerWrapper
print(json.dumps([
    before, heavy(), isinstance(tokenizer, known), issubclass(NewlineTokenizer, transformers.PreTrainedTokenizerFast),
    tokenizer.decode(tokenizer.encode("Hi there.")), load_tokenizer(Path({str(folder)!r})).has_chat_template,
]))
"""
    assert json.loads(run_python(code)) == [
        [],
        ["transformers", "huggingface_hub"],
        True,
        True,
        "Hi there.",
        True,
    ]


def test_a_module_that_imports_transformers_gets_the_real_one(folder: Path) -> None:
    code = f"""{HEAD}
from transformers import PreTrainedTokenizerFast
from huggingface_hub import snapshot_download
tokenizer = PreTrainedTokenizerFast.from_pretrained({str(folder)!r})
print(json.dumps([tokenizer.decode(tokenizer.encode("Hi.")), snapshot_download.__module__.partition(".")[0]]))
"""
    assert json.loads(run_python(code)) == ["Hi.", "huggingface_hub"]


def test_mlx_lm_uses_transformers_if_it_is_already_imported() -> None:
    code = """
import json, transformers
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
import_mlx_lm()
from mlx_lm import tokenizer_utils
print(json.dumps(tokenizer_utils.AutoTokenizer is transformers.AutoTokenizer))
"""
    assert json.loads(run_python(code)) is True


def test_a_download_by_mlx_lm_uses_the_real_hub_client(tmp_path: Path) -> None:
    code = f"""{HEAD}
try:
    load_tokenizer("no-such/model-anywhere")
except Exception as error:
    print(json.dumps(type(error).__module__.partition(".")[0]))
"""
    assert json.loads(run_python(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))) == "huggingface_hub"
