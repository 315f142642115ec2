"""A loaded model is the model of its files, in the form that suits the device, and its figures are measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from contracts.values.vocabulary import ChatMessage, ModelFeature, Role
from pensieve.core.errors import ModelLoadingError
from pensieve.device.device import device_info
from pensieve.engine.kv.sizes import measured_sizes
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import LoadedModel, load
from pensieve.models.loading.weights import narrow_scales
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.text_decoder import TextDecoder
from tests.device.python_process import run_python
from tests.engine.support.tiny_modules import prefill
from tests.support.tiny_model import CHATML, write_byte_tokenizer, write_tiny_model

on_cpu = pytest.mark.skipif(device_info().backend != "cpu", reason="weights stay packed on a GPU")
WITH_TOOLS = CHATML + "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"


def tiny(folder: Path, *, template: str | None = CHATML, **config: Any) -> ModelFolder:
    write_byte_tokenizer(folder, chat_template=template)
    write_tiny_model(folder, tokenizer_folder=folder, **{"vocab_size": 259, **config})
    return ModelFolder(folder, "tiny", "Tiny", "2025-01-01T00:00:00Z")


def greedy(model: LoadedModel, prompt: list[int], num_tokens: int) -> list[int]:
    from mlx_lm.generate import generate_step  # noqa: PLC0415 - only after load

    return [token for token, _ in generate_step(mx.array(prompt), model.model, max_tokens=num_tokens)]


def parameters(model: LoadedModel) -> list[mx.array]:
    flat = tree_flatten(model.model.parameters())
    assert isinstance(flat, list)
    return [array for _, array in flat]


def test_the_embedded_model_knows_the_capital_of_france() -> None:
    model = load(resolve("smollm2-135m", progress=ConsoleProgress()))
    prompt = ChatTemplate(model.tokenizer).render((ChatMessage(Role.USER, "What is the capital of France?"),)).token_ids
    decoder = TextDecoder(model.tokenizer)
    text = "".join(map(decoder.step, greedy(model, prompt, 8))) + decoder.finish()
    assert text == "The capital of France is Paris."
    assert (model.context_window_tokens, model.vocabulary_size) == (8192, 49152)
    assert model.eos_token_ids == {2}
    if device_info().backend == "cpu":
        assert model.weights_bytes == 538_060_032
        assert sum(layer.bytes_per_token for layer in measured_sizes(prefill(model, [0])).layers) == 30 * 2 * 3 * 64 * 4
    model.release()


def test_its_sizes_are_measured(tmp_path: Path) -> None:
    model = load(tiny(tmp_path))
    arrays = parameters(model)
    assert model.weights_bytes == sum(array.nbytes for array in arrays)
    assert (
        sum(layer.bytes_per_token for layer in measured_sizes(prefill(model, [0])).layers)
        == 2 * 2 * 2 * 16 * arrays[0].itemsize
    )
    assert model.vocabulary_size == 259
    assert greedy(model, [5, 6], 5) == greedy(model, [5, 6], 5)


@on_cpu
@pytest.mark.parametrize("bits", [4, 8])
def test_on_the_cpu_weights_are_unpacked_to_exactly_the_stored_numbers(tmp_path: Path, bits: int) -> None:
    from mlx_lm import utils  # noqa: PLC0415 - only after import_mlx_lm

    folder = tiny(tmp_path)
    packed, config = utils.load_model(tmp_path)
    packed, config = utils.quantize_model(packed, config, group_size=32, bits=bits)
    utils.save_model(tmp_path, packed, donate_model=False)
    utils.save_config(config, tmp_path / "config.json")
    layer = packed.model.layers[0].mlp.up_proj
    assert layer.bits == bits
    scales, biases = layer.scales.astype(mx.float32), layer.biases.astype(mx.float32)
    expected = mx.dequantize(layer.weight, scales, biases, 32, bits)
    model = load(folder)
    assert np.array_equal(np.array(model.model.model.layers[0].mlp.up_proj.weight), np.array(expected))
    assert {array.dtype for array in parameters(model)} == {mx.float32}


def test_on_a_gpu_scales_are_narrowed_to_the_type_that_the_model_computes_in(tmp_path: Path) -> None:
    """Otherwise a GPU computes in f32 from the first product on, and keys and values take twice the bytes."""
    from mlx_lm import utils  # noqa: PLC0415 - only after import_mlx_lm

    folder = tiny(tmp_path)
    model, config = utils.load_model(folder.path)
    model, config = utils.quantize_model(model, config, group_size=32, bits=4)
    layer = model.model.layers[0].mlp.up_proj
    layer.scales, layer.biases = layer.scales.astype(mx.float32), layer.biases.astype(mx.float32)
    assert model(mx.array([[5, 6]])).dtype == mx.float32
    narrow_scales(model)
    assert model(mx.array([[5, 6]])).dtype == mx.float16


def test_release_frees_the_weights(tmp_path: Path) -> None:
    before = mx.get_active_memory()
    model = load(tiny(tmp_path))
    assert mx.get_active_memory() >= before + model.weights_bytes
    model.release()
    assert model.weights_bytes == 0
    assert mx.get_active_memory() <= before + 4096


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"max_position_embeddings": 777}, 777),
        ({"max_position_embeddings": None, "text_config": {"max_position_embeddings": 555}}, 555),
        ({"max_position_embeddings": None, "max_seq_len": 333}, 333),
        ({"max_position_embeddings": None}, 4096),
    ],
)
def test_the_window_is_read_from_the_config(tmp_path: Path, config: dict[str, Any], window: int) -> None:
    assert load(tiny(tmp_path, **config)).context_window_tokens == window


def test_the_window_may_come_from_the_tokenizer(tmp_path: Path) -> None:
    folder = tiny(tmp_path, max_position_embeddings=None)
    settings = (tmp_path / "tokenizer_config.json").read_text()
    (tmp_path / "tokenizer_config.json").write_text(settings.replace("{", '{"model_max_length": 222, ', 1))
    assert load(folder).context_window_tokens == 222


@pytest.mark.parametrize(
    ("template", "features"),
    [
        (None, set()),
        (CHATML, {ModelFeature.SYSTEM_PROMPT}),
        (WITH_TOOLS, {ModelFeature.SYSTEM_PROMPT, ModelFeature.FUNCTION_CALLING}),
    ],
)
def test_its_features_are_read_from_its_template(
    tmp_path: Path, template: str | None, features: set[ModelFeature]
) -> None:
    model = load(tiny(tmp_path, template=template))
    always = {ModelFeature.STREAMING, ModelFeature.TOOL_CALLING, ModelFeature.JSON_MODE}
    assert {feature for feature in ModelFeature if model.supports(feature)} == always | features


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").write_text('{"model_type": "no-such"}'), "no-such not supported"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "config.json and its weights"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "its tokenizer cannot be used"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "its tokenizer cannot be used"),
        (lambda folder: (folder / "model.safetensors").write_bytes(bytes(9)), r"model\.safetensors"),
    ],
)
def test_an_unusable_part_is_named(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = tiny(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelLoadingError, match=message) as caught:
        load(folder)
    assert str(tmp_path) in str(caught.value)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"hidden_size": 64', '"hidden_size": 32'))
    with pytest.raises(ModelLoadingError, match=r"config\.json and its weights cannot be used"):
        load(folder)


def test_a_model_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadingError, match="custom module"):
        load(tiny(tmp_path, model_file="evil.py"))


def test_a_model_type_that_makes_mlx_lm_exit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadingError, match="needs a package for it that is not installed"):
        load(tiny(tmp_path, model_type="olmo"))


LOAD_EMBEDDED = """
import json, re, resource, sys
from pathlib import Path
from pensieve.device import blas
blas.preload()
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
import_mlx_lm()
from pensieve.models.loading.load import load
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve

def peak():
    status = Path("/proc/self/status")  # on Linux, getrusage includes the parent's peak before the fork
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

folder = resolve("smollm2-135m", progress=ConsoleProgress())
before = peak()
model = load(folder)
print(json.dumps([model.weights_bytes, peak() - before, "transformers" in sys.modules]))
"""


@on_cpu
def test_unpacking_takes_little_more_memory_than_the_dense_weights_and_the_packed_file() -> None:
    stored_bytes = (embedded_folder(ConsoleProgress()) / "model.safetensors").stat().st_size
    weights_bytes, grown_bytes, has_transformers = json.loads(run_python(LOAD_EMBEDDED))
    assert weights_bytes > 5 * stored_bytes
    assert grown_bytes < 1.1 * weights_bytes + stored_bytes
    assert not has_transformers


@pytest.mark.parametrize(
    ("template", "limit"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", "steps"),
        ("{{ 'a' * 10**10 }}", "characters"),
        ("{{ '%1000000000d' % 1 }}", "field wider"),
    ],
)
def test_a_template_without_end_is_refused_with_the_file_and_the_limit(
    tmp_path: Path, template: str, limit: str
) -> None:
    with pytest.raises(ModelLoadingError, match=rf"its chat template \(tokenizer_config.json\) .*{limit}.*: fetch"):
        load(tiny(tmp_path, template=template))
