"""Writes models of the sizes in the specification with random 4-bit weights, so that gates need no download.

The speed of a forward pass does not depend on the values of the weights. The generated text does, and so does the gain
of speculation. The vocabulary contains the words of the gates' texts, so that these have as many tokens as with a real
model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.models.files.atomic_folder import make_folder
from pensieve.models.files.home import home
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.safetensors.file import PlannedTensor, write_safetensors
from perf_gates.loads.byte_tokenizer import write_byte_tokenizer
from perf_gates.loads.loads import FILE
from perf_gates.measuring.measures import LINE, STORY

BITS: Final = 4
GROUP_SIZE: Final = 64
_CODES_PER_WORD: Final = 32 // BITS
_CODE_MEAN, _CODE_DEVIATION = 7.5, 4.61
"""Mean and standard deviation of codes distributed uniformly over 0 to 15."""
_NUM_CONTROL_TOKENS: Final = 3
END_TOKEN: Final = 2
_FORMAT_VERSION: Final = 2
"""Part of the folder's name. Increase it when the written files change."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`size` is the model size as gates.toml names it, or '' for a size without a gate."""

    name: str
    size: str
    model_type: str
    hidden: int
    inner: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    vocabulary: int
    window_tokens: int
    rope_theta: float
    is_tied: bool = False
    has_biases: bool = False
    normalises_heads: bool = False

    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        quantization = {"bits": BITS, "group_size": GROUP_SIZE}
        return {
            "model_type": self.model_type,
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_size,
            "rms_norm_eps": 1e-6,
            "rope_theta": self.rope_theta,
            "max_position_embeddings": self.window_tokens,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.is_tied,
            "eos_token_id": END_TOKEN,
            "quantization": quantization,
            "quantization_config": quantization,
        }


_LARGE, _SMALL = "6.7B, 4-bit", "3-4B, 4-bit"
SHAPES: Final = {
    shape.name: shape
    for shape in (
        Shape("deepseek-coder-6.7b", _LARGE, "llama", 4096, 11008, 32, 32, 32, 128, 32256, 16384, 1e5),
        Shape("qwen2.5-coder-7b", _LARGE, "qwen2", 3584, 18944, 28, 28, 4, 128, 152064, 32768, 1e6, has_biases=True),
        Shape(
            "qwen3-4b", _SMALL, "qwen3", 2560, 9728, 36, 32, 8, 128, 151936, 40960, 1e6,
            is_tied=True, normalises_heads=True,
        ),
    )
}  # fmt: skip


def shape_folder(shape: Shape) -> Path:
    """The shape's model folder under PENSIEVE_HOME. It is written once, because it takes gigabytes."""
    folder = home() / "perf_gates" / f"{shape.name}-{_FORMAT_VERSION}"
    needed_bytes = sum(tensor.num_bytes for tensor in tensors(shape, np.random.default_rng(0)))
    make_folder(
        folder,
        partial(write_shape, shape=shape),
        source=shape.name,
        needed_bytes=needed_bytes,
        progress=ConsoleProgress(),
    )
    return folder


def write_shape(folder: Path, shape: Shape, seed: int = 0) -> None:
    """Write a shape's model into an existing folder, with no more than one tensor in memory at a time."""
    write_byte_tokenizer(folder)
    widen_tokenizer(folder / "tokenizer.json", shape.vocabulary)
    (folder / "config.json").write_text(json.dumps(shape.config()), encoding="utf-8")
    write_safetensors(folder / "model.safetensors", list(tensors(shape, np.random.default_rng(seed))))


def widen_tokenizer(path: Path, vocabulary: int) -> None:
    """Fill the vocabulary, first with the words of the gates' texts, then with numbered words.

    Other text becomes one token per byte, because there are no merges.
    """
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["pre_tokenizer"]["use_regex"] = tokenizer["model"]["ignore_merges"] = True
    vocab = tokenizer["model"]["vocab"]
    words = dict.fromkeys(
        word.replace(" ", "Ġ") for text in (LINE * 2, STORY, FILE) for word in re.findall(r" ?\w+", text)
    )
    fillers = (f"Ġw{number}" for number in range(vocabulary))
    for word in [*(word for word in words if word not in vocab), *fillers][: vocabulary - len(vocab)]:
        vocab[word] = len(vocab)
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def tensors(shape: Shape, random: np.random.Generator) -> Iterator[PlannedTensor]:
    heads, kv_heads = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    yield from _matrix("model.embed_tokens", shape.vocabulary, shape.hidden, random, num_silent=_NUM_CONTROL_TOKENS)
    for number in range(shape.num_layers):
        at = f"model.layers.{number}"
        for name, rows in (("q_proj", heads), ("k_proj", kv_heads), ("v_proj", kv_heads)):
            yield from _matrix(f"{at}.self_attn.{name}", rows, shape.hidden, random)
            if shape.has_biases:
                yield _filled(f"{at}.self_attn.{name}.bias", (rows,), 0.0)
        yield from _matrix(f"{at}.self_attn.o_proj", shape.hidden, heads, random)
        yield from _matrix(f"{at}.mlp.gate_proj", shape.inner, shape.hidden, random)
        yield from _matrix(f"{at}.mlp.up_proj", shape.inner, shape.hidden, random)
        yield from _matrix(f"{at}.mlp.down_proj", shape.hidden, shape.inner, random)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield _filled(f"{at}.{name}.weight", (shape.hidden,), 1.0)
        for name in ("q_norm", "k_norm") if shape.normalises_heads else ():
            yield _filled(f"{at}.self_attn.{name}.weight", (shape.head_size,), 1.0)
    yield _filled("model.norm.weight", (shape.hidden,), 1.0)
    if not shape.is_tied:
        yield from _matrix("lm_head", shape.vocabulary, shape.hidden, random, num_silent=_NUM_CONTROL_TOKENS)


def _matrix(
    name: str, rows: int, columns: int, random: np.random.Generator, *, num_silent: int = 0
) -> Iterator[PlannedTensor]:
    """Packed random codes, with scales and biases that preserve the magnitude of the input.

    The first `num_silent` rows are zero, so that a control token's logit is never the largest and no answer ends early.
    """
    scale = 1 / (_CODE_DEVIATION * np.sqrt(columns))
    words, groups = (rows, columns // _CODES_PER_WORD), (rows, columns // GROUP_SIZE)
    yield PlannedTensor(f"{name}.weight", "U32", words, lambda: random.integers(0, 1 << 32, words, np.uint32))
    yield _filled(f"{name}.scales", groups, scale, num_silent)
    yield _filled(f"{name}.biases", groups, -_CODE_MEAN * scale, num_silent)


def _filled(name: str, size: tuple[int, ...], value: float, num_silent: int = 0) -> PlannedTensor:
    def make() -> npt.NDArray[np.float16]:
        array = np.full(size, value, np.float16)
        array[:num_silent] = 0
        return array

    return PlannedTensor(name, "F16", size, make)
