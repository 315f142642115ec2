"""Whatever a model's files state, the load succeeds or ends in one sentence that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.contents import validate_folder
from pensieve.models.loading.load import load
from tests.support.tiny_model import CHATML, write_byte_tokenizer, write_tiny_model

VALUES: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 10**9, 10**12, 10**15, 10**30, 1.5, float("nan"), float("inf"), "x", [], {}, [1, "a"]]),
    st.dictionaries(
        st.sampled_from(["type", "rope_type", "factor", "bits", "group_size", "quant_method"]), st.integers()
    ),
)
KEYS: Final = (
    "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters", "max_position_embeddings",
    "quantization", "quantization_config", "text_config", "eos_token_id", "tie_word_embeddings", "layer_types",
    "model_file",
)  # fmt: skip


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "intact"
    folder.mkdir()
    write_byte_tokenizer(folder, chat_template=CHATML)
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


@pytest.fixture
def model(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "model"))


def load_or_explain(folder: Path) -> str:
    """The error's message, or nothing if the model loads."""
    try:
        load(ModelFolder(folder, "tiny", "Tiny", "2025-01-01T00:00:00Z"))
    except ModelLoadingError as error:
        message = str(error)
        assert str(folder) in message
        assert "\n" not in message
        assert len(message) < 1000
        return message
    return ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=2), dropped=st.sampled_from(KEYS))
def test_any_config_loads_or_is_explained(model: Path, changes: dict[str, Any], dropped: str) -> None:
    config = json.loads((model / "config.json").read_text())
    original = json.dumps(config)
    config.pop(dropped, None)
    (model / "config.json").write_text(json.dumps({**config, **changes}))
    load_or_explain(model)
    (model / "config.json").write_text(original)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("vocab_size", 10**12),
        ("max_position_embeddings", 10**15),
        ("hidden_size", -1),
        ("rope_theta", float("nan")),
        ("rms_norm_eps", float("nan")),
        ("rope_scaling", {"type": "linear", "factor": float("inf")}),
        ("text_config", True),
        ("quantization_config", {"quant_method": [1]}),
    ],
)
def test_an_impossible_number_is_refused_with_the_setting(model: Path, key: str, value: object) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ModelLoadingError, match=r"config\.json: \w+(\.factor)? is .*needed; fetch the file again"):
        validate_folder("tiny", model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe"])
def test_a_damaged_text_file_is_named(model: Path, name: str, content: bytes) -> None:
    (model / name).write_bytes(content)
    assert load_or_explain(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda tokenizer: tokenizer["model"]["vocab"].update({"a": 2**31}),
        lambda tokenizer: tokenizer["model"]["vocab"].update({"a": -1}),
        lambda tokenizer: tokenizer["added_tokens"].append({"id": 10**9, "content": "q"}),
    ],
)
def test_a_token_id_that_would_take_gigabytes_is_refused(model: Path, change: Callable[[Any], None]) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    change(tokenizer)
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "tokenizer.json: the token" in load_or_explain(model)


def edited(change: Callable[[dict[str, Any], str, str], object]) -> Callable[[bytes], bytes]:
    """A header with a change to the entries of two tensors."""

    def edit(data: bytes) -> bytes:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        first, second, *_ = (name for name in header if name != "__metadata__")
        change(header, first, second)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        edited(lambda header, a, b: header[a].update(data_offsets=header[b]["data_offsets"])),
        edited(lambda header, a, _: header[a].update(data_offsets=[0, 10**12])),
        edited(lambda header, a, _: header[a].update(data_offsets=header[a]["data_offsets"][::-1])),
        edited(lambda header, a, _: header[a].update(dtype="F64")),
        edited(lambda header, a, _: header[a].update(dtype=["F32"])),
        edited(lambda header, a, _: header[a].update(shape=[2**40, 2**40])),
        edited(lambda header, a, _: header[a].update(shape=[-1, -1])),
        edited(lambda header, a, _: header[a].update(shape=[1.5])),
        edited(lambda header, a, _: header.update({a: None})),
        lambda data: (2**63).to_bytes(8, "little") + data[8:],
        lambda data: data[:-1],
        lambda _: b"",
        lambda _: (100_000).to_bytes(8, "little") + b"[" * 100_000,
    ],
)
def test_a_damaged_header_of_the_weights_is_refused(model: Path, damage: Callable[[bytes], bytes]) -> None:
    path = model / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelLoadingError, match=r"model\.safetensors .*fetch it again|header is damaged"):
        validate_folder("tiny", model)


def test_a_tensor_that_the_header_has_twice_is_named(model: Path) -> None:
    path = model / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].rstrip()
    name, entry = next((name, entry) for name, entry in json.loads(header).items() if name != "__metadata__")
    double = header[:-1] + f', "{name}": {json.dumps(entry)}}}'.encode()
    path.write_bytes(len(double).to_bytes(8, "little") + double + data[8 + length :])
    with pytest.raises(ModelLoadingError, match=f"'{name}' twice"):
        validate_folder("tiny", model)


@pytest.mark.parametrize("shard", ["../../etc/passwd", "/etc/passwd", "model-00002-of-00002.safetensors", 5])
def test_an_index_that_names_other_files_is_refused(model: Path, shard: object) -> None:
    (model / "model.safetensors").rename(model / "model-00001-of-00001.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelLoadingError, match=f"lacks {shard}"):
        validate_folder("tiny", model)
