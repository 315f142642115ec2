"""The short form of these tests, which CI runs: of what starts an engine for each case, at least one of each kind."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

MODEL_TYPES: Final = frozenset((
    # Caches of full attention: dense, mixtures of experts, latent attention, learned positions, parts of other models
    "llama", "qwen2", "qwen3_moe", "mixtral", "phi3", "glm4_moe", "deepseek_v3", "minicpm3", "gpt2", "granite",
    "cohere", "llama4_text", "mistral3",
    # Sliding windows beside full attention
    "gemma3", "gemma3n", "gemma4", "gpt_oss", "cohere2", "mimo_v2_flash",
    # Recurrent states beside full attention
    "qwen3_5", "qwen3_next", "lfm2", "kimi_linear", "granitemoehybrid", "falcon_h1", "nemotron_h", "jamba",
    # Recurrent states alone, and beside sliding windows
    "mamba", "mamba2", "rwkv7", "recurrent_gemma", "baichuan_m1",
    # Several caches in one layer, chunks, capped scores, caches of their own, and models with a pass for each request
    "deepseek_v32", "deepseek_v41", "minimax_m3_vl", "longcat_flash_ngram", "llama4", "gemma2", "afm7",
    "plamo3",
))  # fmt: skip

CASES: Final[Mapping[str, frozenset[str]]] = {
    "matrix/test_model_types": MODEL_TYPES,
    "matrix/test_rope_forms": frozenset(
        ("llama", "gemma3", "gpt_oss", "qwen3_5", "deepseek_v3", "phi3", "llama4", "glm4_moe")
    ),
    "rigged/test_calls": frozenset((
        "qwen3", "qwen3-coder", "gpt-oss", "deepseek-v3.1", "gemma-4", "llama-3.1", "glm-4.6", "kimi-k2",
        "mistral-nemo", "minimax-m3", "lfm2.5", "command-r7b", "muse-glimmer",
    )),
    # A server with a whole tokenizer takes ten seconds of a processor. Byte-level, with channels, and SentencePiece
    "rigged/test_http": frozenset(
        f"{family}-{turn}"
        for family in ("qwen3", "gpt-oss", "gemma-3")
        for turn in ("text", "one call", "two calls", "thinking", "a conversation of four turns")
    ),
}  # fmt: skip
"""The cases of parametrised tests that the short form keeps, by module. Other modules keep all of theirs."""

TAKEN_IN_TURN: Final = frozenset(("test_templates",))
"""Modules whose families are tried both with thinking and without: in the short form, each in one of the two."""


def is_its_turn(case: str) -> bool:
    """Whether the short form has this case, such as "qwen3-silent". It has all that are not of such a pair."""
    family, _, mode = case.rpartition("-")
    modes = ("silent", "thinking")
    return mode not in modes or mode == modes[zlib.crc32(family.encode()) % 2]
