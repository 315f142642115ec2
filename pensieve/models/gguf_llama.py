"""The llama architecture as a GGUF file holds it, in the words of mlx-lm's llama model.

llama.cpp's converter interleaves the rows of q and k within each head, for its own way to turn them with the position;
`Place.interleaved_heads` says where. A file without `output.weight` ties it to the embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf_file import GgufFile
from pensieve.models.gguf_place import Place


class LlamaLayout:
    """What the metadata of a file of the llama architecture announce.

    Raises, from any of its parts:
        ModelLoadingError: another architecture, a variant that mlx-lm's llama model is not, or damaged metadata.
    """

    def __init__(self, gguf: GgufFile) -> None:
        self._gguf = gguf
        architecture = gguf.metadata.get("general.architecture")
        if architecture != "llama":
            raise self._error(f"its architecture is {architecture!r:.40}; only 'llama' is converted from GGUF")
        scaling = gguf.metadata.get("llama.rope.scaling.type", "none")
        if scaling != "none":
            raise self._error(f"its positions are scaled by {scaling!r:.40}, which is not converted from GGUF")
        if self._number("rope.dimension_count", self._head_dim) != self._head_dim:
            raise self._error("only a part of each head turns with the position, which is not converted from GGUF")

    @cached_property
    def places(self) -> dict[str, tuple[Place, ...]]:
        """Each tensor of the file, and none besides, by its name there."""
        if self._num_layers > len(self._gguf.tensors):
            raise self._error(f"{self._num_layers} layers are announced, and {len(self._gguf.tensors)} tensors there")
        places = {name: (place,) for name, place in self._expected()}
        for name in self._gguf.tensors.keys() - places.keys():
            raise self._error(f"tensor {name!r:.80} is not part of a plain llama model")
        for name, (place,) in places.items():
            if name not in self._gguf.tensors:
                raise self._error(f"tensor {name!r} is missing")
            shape = self._gguf.tensors[name].shape
            if shape != place.shape:
                raise self._error(f"tensor {name!r} has the shape {shape}, where the metadata announce {place.shape}")
        return places

    def config(self) -> dict[str, Any]:
        """config.json, but for what depends on the tensors' types."""
        eos = [self._gguf.metadata.get(f"tokenizer.ggml.{role}_token_id") for role in ("eos", "eot", "eom")]
        return {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": self._hidden,
            "num_hidden_layers": self._num_layers,
            "intermediate_size": self._number("feed_forward_length"),
            "num_attention_heads": self._num_heads,
            "num_key_value_heads": self._num_kv_heads,
            "head_dim": self._head_dim,
            "rms_norm_eps": self._number("attention.layer_norm_rms_epsilon", kind=float),
            "rope_theta": self._number("rope.freq_base", 10000.0, kind=float),
            "max_position_embeddings": self._number("context_length"),
            "vocab_size": self._vocabulary_size,
            "tie_word_embeddings": "output.weight" not in self._gguf.tensors,
            "bos_token_id": self._gguf.metadata.get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": sorted({token_id for token_id in eos if isinstance(token_id, int)}),
        }

    def _expected(self) -> Iterator[tuple[str, Place]]:
        hidden, inner = self._hidden, self._number("feed_forward_length")
        rows, kv_rows = self._num_heads * self._head_dim, self._num_kv_heads * self._head_dim
        yield "token_embd.weight", Place("model.embed_tokens", (self._vocabulary_size, hidden))
        yield "output_norm.weight", Place("model.norm", (hidden,))
        if "output.weight" in self._gguf.tensors:
            yield "output.weight", Place("lm_head", (self._vocabulary_size, hidden))
        for layer in range(self._num_layers):
            there, here = f"blk.{layer}", f"model.layers.{layer}"
            yield f"{there}.attn_norm.weight", Place(f"{here}.input_layernorm", (hidden,))
            yield f"{there}.attn_q.weight", Place(f"{here}.self_attn.q_proj", (rows, hidden), self._num_heads)
            yield (
                f"{there}.attn_k.weight",
                Place(f"{here}.self_attn.k_proj", (kv_rows, hidden), self._num_kv_heads),
            )
            yield f"{there}.attn_v.weight", Place(f"{here}.self_attn.v_proj", (kv_rows, hidden))
            yield f"{there}.attn_output.weight", Place(f"{here}.self_attn.o_proj", (hidden, rows))
            yield f"{there}.ffn_norm.weight", Place(f"{here}.post_attention_layernorm", (hidden,))
            yield f"{there}.ffn_gate.weight", Place(f"{here}.mlp.gate_proj", (inner, hidden))
            yield f"{there}.ffn_up.weight", Place(f"{here}.mlp.up_proj", (inner, hidden))
            yield f"{there}.ffn_down.weight", Place(f"{here}.mlp.down_proj", (hidden, inner))

    @property
    def _hidden(self) -> int:
        return int(self._number("embedding_length"))

    @property
    def _num_layers(self) -> int:
        return int(self._number("block_count"))

    @property
    def _num_heads(self) -> int:
        return int(self._number("attention.head_count"))

    @property
    def _num_kv_heads(self) -> int:
        return int(self._number("attention.head_count_kv", self._num_heads))

    @property
    def _head_dim(self) -> int:
        return int(self._number("attention.key_length", self._hidden // self._num_heads))

    @property
    def _vocabulary_size(self) -> int:
        """As the embeddings have it: they may be padded over the tokenizer's."""
        embeddings = self._gguf.tensors.get("token_embd.weight")
        if embeddings is None:
            raise self._error("tensor 'token_embd.weight' is missing")
        return embeddings.shape[0]

    def _number(self, key: str, default: float | None = None, *, kind: type[int] | type[float] = int) -> Any:
        value = self._gguf.metadata.get(f"llama.{key}", default)
        if isinstance(value, bool) or not isinstance(value, (int, kind)) or value <= 0:
            raise self._error(f"metadata 'llama.{key}' is {value!r:.40}, where a number over 0 is needed")
        return value

    def _error(self, message: str) -> ModelLoadingError:
        return ModelLoadingError(str(self._gguf.path), message)
