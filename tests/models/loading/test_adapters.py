"""An adapter changes a model exactly as in mlx-lm, whether its weights are packed or dense."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from pensieve.core.errors import ModelLoadingError
from pensieve.device.device import device_info
from pensieve.engine.prompt_cache.fingerprint import fingerprint_of
from pensieve.models.files.adapter_folder import require_adapter
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.names import NamedModel, add_name
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import LoadedModel, load
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

KEYS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
PROMPT = [5, 6, 7, 200]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = write_byte_tokenizer(tmp_path / "base")
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def packed(folder: Path, bits: int) -> None:
    from mlx_lm import utils  # noqa: PLC0415 - only after import_mlx_lm

    model, config = utils.load_model(folder)
    model, config = utils.quantize_model(model, config, group_size=32, bits=bits)
    utils.save_model(folder, model, donate_model=False)
    utils.save_config(config, folder / "config.json")


def write_adapter(folder: Path, base: Path, *, kind: str = "lora", rank: int = 4) -> Path:
    """An adapter with random weights for the last layer, with mlx-lm's names and shapes."""
    from mlx_lm import utils  # noqa: PLC0415
    from mlx_lm.tuner.utils import linear_to_lora_layers  # noqa: PLC0415

    parameters = {"rank": rank, "scale": 2.0, "dropout": 0.1, "keys": list(KEYS)}
    model, _ = utils.load_model(base, lazy=True)
    model.freeze()
    linear_to_lora_layers(model, 1, parameters, use_dora=kind == "dora")
    mx.random.seed(1)
    weights = {name: mx.random.normal(array.shape) * 0.3 for name, array in flat(model.trainable_parameters())}
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": kind, "num_layers": 1, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def flat(tree: Any) -> list[tuple[str, mx.array]]:
    found = tree_flatten(tree)
    assert isinstance(found, list)
    return found


def logits(model: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(model(mx.array([PROMPT]))[0].astype(mx.float32))


def loaded(base: Path, adapter: Path | None = None) -> LoadedModel:
    return load(ModelFolder(base, "tiny", "Tiny", "2025-01-01T00:00:00Z", adapter=adapter))


@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_the_logits_are_those_of_mlx_lm(base: Path, tmp_path: Path, bits: int | None, kind: str) -> None:
    loaded(base)  # imports mlx-lm safely
    if bits is not None:
        packed(base, bits)
    adapter = write_adapter(tmp_path / "adapter", base, kind=kind)
    from mlx_lm.utils import load as mlx_lm_load  # noqa: PLC0415

    theirs, _ = mlx_lm_load(str(base), adapter_path=str(adapter))
    theirs.apply(lambda array: array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array)
    ours = loaded(base, adapter)
    assert np.abs(logits(ours.model) - logits(theirs)).max() < 1e-3
    assert np.abs(logits(ours.model) - logits(loaded(base).model)).max() > 0.05


def test_an_adapter_may_hold_full_weights(base: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"fine_tune_type": "full"}')
    weights = mx.zeros((64, 64), mx.float16)
    mx.save_safetensors(str(adapter / "adapters.safetensors"), {"model.layers.1.self_attn.q_proj.weight": weights})
    model = loaded(base, adapter)
    assert not np.array(model.model.model.layers[1].self_attn.q_proj.weight).any()
    if device_info().backend == "cpu":
        assert {array.dtype for _, array in flat(model.model.parameters())} == {mx.float32}


def test_each_adapter_has_its_own_fingerprint(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    model = loaded(base)
    adapters = [write_adapter(tmp_path / name, base, rank=rank) for name, rank in (("a", 2), ("b", 4))]
    fingerprints = {fingerprint_of(base, model, adapter) for adapter in (None, *adapters)}
    assert len(fingerprints) == 3
    assert fingerprint_of(base, model) in fingerprints


def test_a_name_can_refer_to_a_base_and_an_adapter(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    loaded(base)
    adapter = write_adapter(tmp_path / "adapter", base)
    add_name(NamedModel("mine", "adapter", str(adapter), str(adapter), base=str(base)))
    folder = resolve("mine", progress=SilentProgress())
    assert (folder.id, folder.path, folder.adapter) == ("mine", base, adapter)
    load(folder)


def peft(folder: Path) -> None:
    (folder / "adapters.safetensors").rename(folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), r"adapter_config\.json is missing; .*mlx_lm\.lora"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "has no num_layers"),
        (lambda folder: (folder / "adapters.safetensors").unlink(), r"adapters\.safetensors is missing"),
        (lambda folder: (folder / "adapters.safetensors").write_bytes(b"x" * 100), "truncated, or not a safetensors"),
        (peft, "a PEFT adapter; an mlx-lm adapter"),
    ],
)
def test_an_incomplete_or_damaged_adapter_is_refused_with_the_file_at_fault(
    base: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    loaded(base)
    adapter = write_adapter(tmp_path / "adapter", base)
    require_adapter("mine", adapter)
    damage(adapter)
    with pytest.raises(ModelLoadingError, match=message):
        loaded(base, adapter)


def test_an_adapter_for_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    loaded(base)
    adapter = write_adapter(tmp_path / "adapter", base)
    other = write_byte_tokenizer(tmp_path / "other")
    write_tiny_model(other, tokenizer_folder=other, vocab_size=259, intermediate_size=64)
    with pytest.raises(ModelLoadingError, match=r"(?s)the adapter .*adapter cannot be used: .*does not match"):
        loaded(other, adapter)
