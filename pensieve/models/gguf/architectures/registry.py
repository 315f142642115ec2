"""The architectures that are converted from GGUF, by the names that GGUF has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.architectures.family import Dimensions, Family
from pensieve.models.gguf.architectures.gemma import GEMMA, GEMMA2, GEMMA3
from pensieve.models.gguf.architectures.llama import LLAMA
from pensieve.models.gguf.architectures.phi import PHI2, PHI3
from pensieve.models.gguf.architectures.qwen import QWEN2, QWEN3
from pensieve.models.gguf.architectures.starcoder import STARCODER2
from pensieve.models.gguf.file import GgufFile
from pensieve.models.gguf.metadata import ModelMetadata
from pensieve.models.gguf.place import Layout, Place

ARCHITECTURES: Final[Mapping[str, Family]] = {
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
_ENDS_OF_TURN: Final = ("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<EOT>")
"""llama.cpp ends an answer at these too (llama-vocab.cpp), since the files of many models name only another token."""


def layout_of(gguf: GgufFile) -> Layout:
    """Where the tensors of a file go, and the configuration of the model that they make there.

    Raises:
        ModelLoadingError: an architecture that is not converted; one with an entry, a tensor or a shape that mlx-lm's
            model of it has no place for; something missing; or damaged metadata. What it is about is named.
    """
    architecture = gguf.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        message = f"its architecture is {architecture!r:.40}, which is not converted from GGUF; converted are {known}"
        raise ModelLoadingError(str(gguf.path), message)
    announced = ModelMetadata(gguf, architecture)
    if gguf.metadata.get("split.count", 1) != 1:
        raise announced.error("it is one part of several; join them with llama-gguf-split --merge")
    return _layout(gguf, ARCHITECTURES[architecture], announced)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Found as a whole before anything is converted."""

    places: Mapping[str, tuple[Place, ...]]
    found: Mapping[str, Any]

    def config(self) -> dict[str, Any]:
        return dict(self.found)


def _layout(gguf: GgufFile, family: Family, announced: ModelMetadata) -> Layout:
    dimensions = _dimensions(gguf, announced)
    own = family.config(announced, dimensions)
    places = family.places(dimensions, gguf)
    _require_match(gguf, announced, places, family)
    config = {
        "model_type": family.model_type,
        "architectures": [family.class_name],
        "hidden_size": dimensions.hidden,
        "num_hidden_layers": dimensions.layers,
        "intermediate_size": dimensions.inner,
        "num_attention_heads": dimensions.heads,
        "num_key_value_heads": dimensions.kv_heads,
        **own,
        "max_position_embeddings": announced.integer("context_length"),
        "vocab_size": dimensions.vocabulary,
        "tie_word_embeddings": family.is_tied(gguf),
        "bos_token_id": announced.token_id("bos", dimensions.vocabulary),
        "eos_token_id": _ends(announced, dimensions.vocabulary),
    }
    announced.require_all_known()
    return _Layout(places, config)


def _dimensions(gguf: GgufFile, announced: ModelMetadata) -> Dimensions:
    embeddings = gguf.tensors.get("token_embd.weight")
    if embeddings is None:
        raise announced.error("tensor 'token_embd.weight' is missing")
    hidden, heads = announced.integer("embedding_length"), announced.integer("attention.head_count")
    kv_heads = announced.integer("attention.head_count_kv", heads)
    layers = announced.integer("block_count")
    head = announced.integer("attention.key_length", hidden // heads)
    if layers > len(gguf.tensors):
        raise announced.error(f"{layers} layers are announced, and {len(gguf.tensors)} tensors there")
    if heads % kv_heads:
        raise announced.error(f"{heads} heads cannot share {kv_heads} pairs of keys and values")
    return Dimensions(
        hidden=hidden,
        inner=announced.integer("feed_forward_length"),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        vocabulary=embeddings.shape[0],
    )


def _require_match(
    gguf: GgufFile, announced: ModelMetadata, places: Mapping[str, tuple[Place, ...]], family: Family
) -> None:
    for name in gguf.tensors:
        if name not in places and name not in family.into_config:
            raise announced.error(f"tensor {name!r:.80} is not part of a plain {family.model_type} model")
    for name, parts in places.items():
        if name not in gguf.tensors:
            raise announced.error(f"tensor {name!r} is missing")
        shape = gguf.tensors[name].shape
        expected = (sum(place.shape[0] for place in parts), *parts[0].shape[1:])
        if shape != expected:
            raise announced.error(f"tensor {name!r} has the shape {shape}, where the metadata announce {expected}")


def _ends(announced: ModelMetadata, vocabulary: int) -> list[int]:
    """The tokens that end an answer: those that the file names, and where it names no end of a turn, what is one."""
    named = {announced.token_id(role, vocabulary) for role in ("eos", "eot", "eom")} - {None}
    control = announced.control_tokens()
    ends = {control[token] for token in _ENDS_OF_TURN if control.get(token, vocabulary) < vocabulary}
    if announced.token_id("eot", vocabulary) is None and not named & ends:
        named |= ends
    return sorted(token_id for token_id in named if token_id is not None)
