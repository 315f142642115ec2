"""From a model's folder to a model that can run (S1, S5): weights in the form that suits the device, and its figures.

Metal and CUDA compute on packed weights. MLX's CPU backend unpacks them one by one and emulates half precision, so
there they are unpacked once, to dense f32: fifty times as fast, for four to eight times the memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from contracts.values.vocabulary import ModelFeature, Sampling
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.errors import ModelLoadingError
from pensieve.device.device import device_info
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.files.adapter_folder import require_adapter
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.adapters import fuse_adapter, put_adapter
from pensieve.models.loading.config import DEFAULT_WINDOW_TOKENS, context_window_tokens, normalised_config
from pensieve.models.loading.contents import validate_folder
from pensieve.models.loading.generation_config import read_generation_config
from pensieve.models.loading.links import without_strays
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.load import load_tokenizer
from pensieve.models.tokenizers.thinking_tokens import ThinkingTokens, thinking_tokens

log = logging.getLogger(__name__)

_SANE_WINDOW: Final = 10_000_000
"""Tokenizers without a bound of their own say 1e30."""


@dataclass(slots=True)
class LoadedModel:
    """A model in memory. Its arrays belong to the thread that loaded it: only that thread may run or release it."""

    model: Any
    """An `mlx.nn.Module`: token ids [batch, length] and a cache to logits [batch, length, vocabulary]."""
    tokenizer: Any
    """mlx-lm's TokenizerWrapper around a DirectTokenizer or a Transformers tokenizer. Any thread may use it."""
    config: Mapping[str, Any]
    context_window_tokens: int
    vocabulary_size: int
    """The width of the logits; it may exceed the tokenizer's own."""
    eos_token_ids: frozenset[int]
    weights_bytes: int
    features: frozenset[ModelFeature]
    dialect: Dialect
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    """As the model's makers recommend it."""
    thinking: ThinkingTokens | None = None
    """Where its thinking can be counted."""

    def supports(self, feature: ModelFeature) -> bool:
        return feature in self.features

    def release(self) -> None:
        """Let go of the weights. Their memory goes to MLX's cache of buffers, for the caller to reclaim."""
        self.model = None
        self.weights_bytes = 0


def load(folder: ModelFolder) -> LoadedModel:
    """Load the folder's model onto the device. To be called on the thread that will run it: streams are thread-local.

    Raises:
        ModelLoadingError: a file is missing, damaged or of an unknown kind; it is named.
        DeviceError: there is no MLX that works.
    """
    validate_folder(folder.id, folder.path)
    if folder.adapter is not None:
        require_adapter(folder.id, folder.adapter)
    import_mlx_lm()
    from mlx_lm import utils  # noqa: PLC0415 - only after import_mlx_lm

    with _blaming(folder, "config.json and its weights"), without_strays(folder.path) as path:
        model, config = utils.load_model(path, lazy=True, model_config=normalised_config(utils.load_config(path)))
    with ThreadPoolExecutor(1, "pensieve-read-tokenizer") as beside:  # bringing the weights in leaves a core to it
        reading = beside.submit(load_tokenizer, folder.path, config.get("eos_token_id"))
        weights_bytes, vocabulary_size = _brought_in(model, folder)
    with _blaming(folder, "its tokenizer"):
        tokenizer = reading.result()
        features = _features(tokenizer)
        dialect = dialect_of(tokenizer)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        config=config,
        context_window_tokens=_context_window_tokens(config, tokenizer),
        vocabulary_size=vocabulary_size,
        eos_token_ids=frozenset(tokenizer.eos_token_ids),
        weights_bytes=weights_bytes,
        features=features,
        dialect=dialect,
        thinking=thinking_tokens(dialect, tokenizer),
        sampling=_recommended_sampling(folder),
    )


def _recommended_sampling(folder: ModelFolder) -> Sampling:
    found = read_generation_config(folder.path)
    if found.problem:
        log.warning(found.problem)
    return found.sampling


def _brought_in(model: Any, folder: ModelFolder) -> tuple[int, int]:
    """Bring the weights into memory in the form that suits the device; their bytes, and the width of the logits."""
    if device_info().backend == "cpu":
        with _blaming(folder, "its weights"):
            _make_dense(model)
    if folder.adapter is not None:
        with _blaming(folder, f"the adapter {folder.adapter}"):
            _adapt(model, folder.adapter)
    with _blaming(folder, "its weights"):
        return _settle(model), _logits_width(model)


@contextmanager
def _blaming(folder: ModelFolder, part: str) -> Iterator[None]:
    """What mlx-lm, Transformers and tokenizers raise over a folder is of every type, plain Exception included. A model
    of mlx-lm's ends the process where a package that it needs is not installed.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        message = str(error).strip() or type(error).__name__
        if isinstance(error, SystemExit):
            message = "mlx-lm needs a package for it that is not installed, and has named it above"
        raise ModelLoadingError(folder.id, f"{folder.path}: {part} cannot be used: {message}") from error


def _settle(model: Any) -> int:
    """Bring the weights from their files into memory; their bytes."""
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first
    from mlx.utils import tree_flatten  # noqa: PLC0415

    if device_info().backend != "cpu":
        _narrow_scales(model)
    arrays = [array for _, array in cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters()))]
    for array in arrays:
        mx.eval(array)  # one at a time: what it was unpacked from is gone before the next is read
    mx.clear_cache()
    return sum(array.nbytes for array in arrays)


def _narrow_scales(model: Any) -> None:
    """Have scales and biases in the type that the model computes in.

    Some GGUF types have theirs in f32, to be exact. A product with them is f32 as well, and so would all be that comes
    after it: keys and values of twice the bytes. What is lost is under a thousandth of a weight.
    """
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first

    packed = [module for module in model.modules() if "scales" in module and "biases" in module]
    types = {array.dtype for module in packed for array in (module.scales, module.biases)}
    dense = {mx.float16, mx.bfloat16} & {module.weight.dtype for module in model.modules() if "weight" in module}
    if mx.float32 not in types or len(dense) != 1:
        return
    (narrow,) = dense
    for module in packed:
        module.scales, module.biases = module.scales.astype(narrow), module.biases.astype(narrow)


def _make_dense(model: Any) -> None:
    """Have every weight unpacked and in f32, when it will be evaluated.

    Scales and biases are widened before they are used, so the weights are exactly the numbers that are stored.
    """
    from mlx_lm.utils import dequantize_model  # noqa: PLC0415 - only after import_mlx_lm

    model.apply(_widened)
    dequantize_model(model)
    model.apply(_widened)  # what is packed without floating scales (mxfp4 and its like) unpacks to bfloat16


def _adapt(model: Any, adapter: Path) -> None:
    """Put an adapter onto the model: around packed weights as mlx-lm does it, into dense ones on the CPU."""
    put_adapter(model, adapter)
    if device_info().backend == "cpu":
        model.apply(_widened)
        fuse_adapter(model)


def _widened(array: Any) -> Any:
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first

    return array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array


def _logits_width(model: Any) -> int:
    """Run one token, which also proves that the model runs."""
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first
    from mlx_lm.models.cache import make_prompt_cache  # noqa: PLC0415

    logits = model(mx.array([[0]]), cache=make_prompt_cache(model))
    mx.eval(logits)
    return int(logits.shape[-1])


def _context_window_tokens(config: Mapping[str, Any], tokenizer: Any) -> int:
    """From the config, else from the tokenizer."""
    stated = context_window_tokens(config)
    if stated is not None:
        return stated
    length = getattr(tokenizer, "model_max_length", None)
    return int(length) if length and length < _SANE_WINDOW else DEFAULT_WINDOW_TOKENS


def _features(tokenizer: Any) -> frozenset[ModelFeature]:
    """What template and vocabulary allow. Calls and JSON can be held to schemas where the vocabulary can be read."""
    features = {ModelFeature.STREAMING}
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        features |= {ModelFeature.JSON_MODE, ModelFeature.TOOL_CALLING}
    template = ChatTemplate(tokenizer)
    if template.takes_system_prompt:
        features.add(ModelFeature.SYSTEM_PROMPT)
    if template.takes_tools:
        features.add(ModelFeature.FUNCTION_CALLING)
    return frozenset(features)
