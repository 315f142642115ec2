"""From a model's folder to a model that can run, with its tokenizer, its features and its limits (S1, S5)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from contracts.values.vocabulary import ModelFeature, Sampling
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.errors import ModelLoadingError
from pensieve.device.device import device_info
from pensieve.models.files.adapter_folder import require_adapter
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.checks.integrity import require_unchanged
from pensieve.models.loading.checks.token_ids import require_possible_ids
from pensieve.models.loading.config import DEFAULT_WINDOW_TOKENS, context_window_tokens, normalised_config
from pensieve.models.loading.contents import validate_folder
from pensieve.models.loading.generation_config import read_generation_config
from pensieve.models.loading.links import without_strays
from pensieve.models.loading.weights import apply_adapter, make_dense, read_weights
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.safetensors.shards import weight_files
from pensieve.models.templates.budget import TemplateLimitError
from pensieve.models.tokenizers.chat_templates import template_file
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.load import load_tokenizer
from pensieve.models.tokenizers.thinking_tokens import ThinkingTokens, thinking_tokens

log = logging.getLogger(__name__)

_MAX_REASON_CHARACTERS: Final = 300
_MAX_SANE_WINDOW: Final = 10_000_000
"""Tokenizers without a limit have 1e30."""


@dataclass(slots=True)
class LoadedModel:
    """A model in memory. Only the thread that loaded it may run or release it."""

    model: Any
    """An `mlx.nn.Module`: token ids [batch, length] and a cache to logits [batch, length, vocabulary]."""
    tokenizer: Any
    """A ModelTokenizer. Any thread may use it."""
    config: Mapping[str, Any]
    context_window_tokens: int
    vocabulary_size: int
    """The width of the logits; it may exceed the tokenizer's vocabulary."""
    eos_token_ids: frozenset[int]
    weights_bytes: int
    features: frozenset[ModelFeature]
    dialect: Dialect
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    """What the model's makers recommend."""
    thinking: ThinkingTokens | None = None
    """None if the model's thinking cannot be recognised."""
    mtp: Any = None
    """The `MtpHead` of the checkpoint, if it has one and drafts are wanted of it."""

    def supports(self, feature: ModelFeature) -> bool:
        return feature in self.features

    def release(self) -> None:
        """Drop the weights. Their memory moves to MLX's buffer cache, which the caller may clear."""
        self.model = self.mtp = None
        self.weights_bytes = 0


def load(folder: ModelFolder, *, with_mtp: bool = False) -> LoadedModel:
    """Load the folder's model onto the device, and its MTP head if wanted. Call it on the thread that will run the
    model: MLX's streams are thread-local.

    Raises:
        ModelLoadingError: a file is missing, damaged or of an unknown kind; it names the file.
        DeviceError: MLX is not installed or does not work.
    """
    _require_sound(folder)
    from pensieve.device.mlx_lm import loading  # noqa: PLC0415 - half a second

    with _errors_explained(folder, "config.json and its weights"), without_strays(folder.path) as path:
        model, config = loading.load_model(path, lazy=True, model_config=normalised_config(loading.load_config(path)))
    with ThreadPoolExecutor(2, "pensieve-read") as pool:  # reading the weights leaves a core free
        eos_token_id, defaults = config.get("eos_token_id"), loading.tokenizer_defaults(model)
        reading = pool.submit(load_tokenizer, folder.path, eos_token_id, defaults)
        checking = pool.submit(require_unchanged, folder.id, folder.path, weight_files(folder.path))
        weights_bytes, vocabulary_size = _read_weights(model, folder)
        mtp, mtp_bytes = _read_mtp(model, config, folder) if with_mtp else (None, 0)
    checking.result()
    with _errors_explained(folder, "its tokenizer"):
        tokenizer = reading.result()
        dialect = dialect_of(tokenizer)
    with _errors_explained(folder, f"its chat template ({template_file(folder.path)})"):
        features = _features(tokenizer)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        config=config,
        context_window_tokens=_context_window_tokens(config, tokenizer),
        vocabulary_size=vocabulary_size,
        eos_token_ids=frozenset(tokenizer.eos_token_ids),
        weights_bytes=weights_bytes + mtp_bytes,
        features=features,
        dialect=dialect,
        thinking=thinking_tokens(dialect, tokenizer),
        sampling=_recommended_sampling(folder),
        mtp=mtp,
    )


def _require_sound(folder: ModelFolder) -> None:
    validate_folder(folder.id, folder.path)
    require_possible_ids(folder.id, folder.path)
    if folder.adapter is not None:
        require_adapter(folder.id, folder.adapter)


def _recommended_sampling(folder: ModelFolder) -> Sampling:
    found = read_generation_config(folder.path)
    if found.problem:
        log.warning(found.problem)
    return found.sampling


def _read_weights(model: Any, folder: ModelFolder) -> tuple[int, int]:
    """Read the weights in the format that suits the device; their bytes, and the width of the logits."""
    if device_info().backend == "cpu":
        with _errors_explained(folder, "its weights"):
            make_dense(model)
    if folder.adapter is not None:
        with _errors_explained(folder, f"the adapter {folder.adapter}"):
            apply_adapter(model, folder.adapter)
    with _errors_explained(folder, "its weights"):
        weights_bytes = read_weights(model)
        _run_by_chunks(model)
        return weights_bytes, _logits_width(model)


def _read_mtp(model: Any, config: Mapping[str, Any], folder: ModelFolder) -> tuple[Any, int]:
    """The MTP head, if there is one that fits the model, and its bytes. Answers do not depend on it."""
    from pensieve.models.mtp.load import load_head  # noqa: PLC0415 - the BLAS comes first

    try:
        head = load_head(model, config, weight_files(folder.path))
        if head is None:
            return None, 0
        if device_info().backend == "cpu":
            make_dense(head)
        return head, read_weights(head)
    except Exception as error:  # of any type, as from other weights
        log.warning("%s is served without its multi-token-prediction head, which cannot be used: %s", folder.id, error)
        return None, 0


def _run_by_chunks(model: Any) -> None:
    from pensieve.models.loading.gated_delta.install import has_kernel, run_by_chunks  # noqa: PLC0415 - half a second

    backend = device_info().backend
    if not has_kernel(backend):
        run_by_chunks(model, backend)


@contextmanager
def _errors_explained(folder: ModelFolder, part: str) -> Iterator[None]:
    """Turn any error into a ModelLoadingError that names the folder and the part.

    mlx-lm, Transformers and tokenizers raise every type of error, plain Exception included. Some of mlx-lm's models end
    the process if a package that they need is not installed.
    """
    try:
        yield
    except TemplateLimitError as error:
        raise ModelLoadingError(
            folder.id, f"{folder.path}: {part} {error}: fetch the original template, or fix this one"
        ) from error
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())[:_MAX_REASON_CHARACTERS] or type(error).__name__
        if isinstance(error, SystemExit):
            message = "mlx-lm needs a package for it that is not installed (named above)"
        raise ModelLoadingError(folder.id, f"{folder.path}: {part} cannot be used: {message}") from error


def _logits_width(model: Any) -> int:
    """Run one token, which also proves that the model runs."""
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first

    from pensieve.device.mlx_lm.caches import new_caches  # noqa: PLC0415 - half a second

    logits = model(mx.array([[0]]), cache=new_caches(model))
    mx.eval(logits)
    return int(logits.shape[-1])


def _context_window_tokens(config: Mapping[str, Any], tokenizer: Any) -> int:
    """From the config, else from the tokenizer."""
    stated = context_window_tokens(config)
    if stated is not None:
        return stated
    length = getattr(tokenizer, "model_max_length", None)
    return int(length) if length and length < _MAX_SANE_WINDOW else DEFAULT_WINDOW_TOKENS


def _features(tokenizer: Any) -> frozenset[ModelFeature]:
    """What the template and the vocabulary allow. Calls and JSON can follow schemas if the vocabulary can be read."""
    features = {ModelFeature.STREAMING}
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        features |= {ModelFeature.JSON_MODE, ModelFeature.TOOL_CALLING}
    template = ChatTemplate(tokenizer)
    if template.takes_system_prompt:
        features.add(ModelFeature.SYSTEM_PROMPT)
    if template.takes_tools:
        features.add(ModelFeature.FUNCTION_CALLING)
    return frozenset(features)
