"""The supported architectures by their names in GGUF, and the checks that a file has to pass to be one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.architectures.family import ArchitectureFamily, Dimensions
from pensieve.models.gguf.architectures.gemma import GEMMA, GEMMA2, GEMMA3
from pensieve.models.gguf.architectures.llama import LLAMA
from pensieve.models.gguf.architectures.phi import PHI2, PHI3
from pensieve.models.gguf.architectures.qwen import QWEN2, QWEN3
from pensieve.models.gguf.architectures.starcoder import STARCODER2
from pensieve.models.gguf.file import GgufFile
from pensieve.models.gguf.layout import ModelLayout, TensorTarget
from pensieve.models.gguf.metadata import GgufMetadata

ARCHITECTURES: Final[Mapping[str, ArchitectureFamily]] = {
    "llama": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "gemma3": GEMMA3,
    "phi2": PHI2,
    "phi3": PHI3,
    "starcoder2": STARCODER2,
}
_END_OF_TURN_TOKENS: Final = ("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<EOT>")
"""From llama.cpp (llama-vocab.cpp), which stops at these too, because many files name only the end of a document."""


def layout_of(gguf: GgufFile) -> ModelLayout:
    """Match a whole file to one of mlx-lm's models, before anything is converted.

    Raises:
        ModelLoadingError: the architecture is not supported; mlx-lm's model cannot represent a metadata key, a tensor
            or a shape; something is missing; or the metadata is damaged. The message names the cause.
    """
    architecture = gguf.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        supported = ", ".join(ARCHITECTURES)
        message = f"the architecture {architecture!r:.40} cannot be converted from GGUF; supported are {supported}"
        raise ModelLoadingError(str(gguf.path), message)
    metadata = GgufMetadata(gguf, architecture)
    if gguf.metadata.get("split.count", 1) != 1:
        raise metadata.error("the file is one part of a split model; join the parts with llama-gguf-split --merge")
    return _layout(gguf, ARCHITECTURES[architecture], metadata)


def _layout(gguf: GgufFile, family: ArchitectureFamily, metadata: GgufMetadata) -> ModelLayout:
    dimensions = _dimensions(gguf, metadata)
    family_config = family.config(metadata, dimensions)
    targets = family.targets(dimensions, gguf)
    _require_same_tensors(gguf, metadata, targets, family)
    config = {
        "model_type": family.model_type,
        "architectures": [family.class_name],
        "hidden_size": dimensions.hidden_size,
        "num_hidden_layers": dimensions.num_layers,
        "intermediate_size": dimensions.intermediate_size,
        "num_attention_heads": dimensions.num_heads,
        "num_key_value_heads": dimensions.num_kv_heads,
        **family_config,
        "max_position_embeddings": metadata.integer("context_length"),
        "vocab_size": dimensions.vocabulary_size,
        "tie_word_embeddings": family.ties_embeddings(gguf),
        "bos_token_id": metadata.token_id("bos", dimensions.vocabulary_size),
        "eos_token_id": _end_tokens(metadata, dimensions.vocabulary_size),
    }
    metadata.require_all_keys_read()
    return ModelLayout(targets, config)


def _dimensions(gguf: GgufFile, metadata: GgufMetadata) -> Dimensions:
    embeddings = gguf.tensors.get("token_embd.weight")
    if embeddings is None:
        raise metadata.error("tensor 'token_embd.weight' is missing")
    hidden_size, num_heads = metadata.integer("embedding_length"), metadata.integer("attention.head_count")
    num_kv_heads = metadata.integer("attention.head_count_kv", num_heads)
    num_layers = metadata.integer("block_count")
    head_dim = metadata.integer("attention.key_length", hidden_size // num_heads)
    if num_layers > len(gguf.tensors):
        raise metadata.error(f"{num_layers} layers do not fit a file of {len(gguf.tensors)} tensors")
    if num_heads % num_kv_heads:
        raise metadata.error(f"{num_heads} attention heads are not divisible by {num_kv_heads} KV heads")
    return Dimensions(
        hidden_size=hidden_size,
        intermediate_size=metadata.integer("feed_forward_length"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        vocabulary_size=embeddings.shape[0],
    )


def _require_same_tensors(
    gguf: GgufFile, metadata: GgufMetadata, expected: Mapping[str, tuple[TensorTarget, ...]], family: ArchitectureFamily
) -> None:
    for name in gguf.tensors:
        if name not in expected and name not in family.config_tensors:
            raise metadata.error(f"tensor {name!r:.80} is not part of a plain {family.model_type} model")
    for name, targets in expected.items():
        if name not in gguf.tensors:
            raise metadata.error(f"tensor {name!r} is missing")
        shape = gguf.tensors[name].shape
        expected_shape = (sum(target.shape[0] for target in targets), *targets[0].shape[1:])
        if shape != expected_shape:
            raise metadata.error(f"tensor {name!r} has the shape {shape}, but the metadata implies {expected_shape}")


def _end_tokens(metadata: GgufMetadata, vocabulary_size: int) -> list[int]:
    """The tokens that end generation: those that the file names, and if none of them ends a turn, those that do."""
    named = {metadata.token_id(role, vocabulary_size) for role in ("eos", "eot", "eom")} - {None}
    control = metadata.control_tokens()
    end_of_turn = {
        control[token] for token in _END_OF_TURN_TOKENS if control.get(token, vocabulary_size) < vocabulary_size
    }
    if metadata.token_id("eot", vocabulary_size) is None and not named & end_of_turn:
        named |= end_of_turn
    return sorted(token_id for token_id in named if token_id is not None)
