"""The model types that the matrix leaves out, and the seeds of the others."""

from __future__ import annotations

from typing import Final

NOT_BUILT: Final = {
    "bitnet": "its kernels need Metal, and the matrix runs on a CPU",
    "muse_spark": "its kernels need Metal, and the matrix runs on a CPU",
    "olmo": "mlx-lm requires the package ai2-olmo for it",
    "phi3small": "mlx-lm masks tokens of its own vocabulary of 100,352, which is larger than the matrix's",
    "prism_hadamard_qwen35": "only its makers' tool writes its packed weights",
}
"""Model types that the matrix leaves out, with the reason."""
NOTES: Final = {
    "plamo3": "mlx-lm's window is one token longer in prefill than in decoding, so its answer to a prompt longer than "
    "the window depends on the prefill chunk size",
}
"""Model types whose answers may differ from mlx-lm's, because mlx-lm itself has several, with the reason."""
IN_MLX_LMS_CACHES: Final = {
    "deepseek_v41": "the model has a kind of cache of its own, with one position for all requests",
    "plamo3": "its windows: mlx-lm's window has another length in prefill than in decoding (see the note above)",
}
"""Model types of which requests, or windows, stay in mlx-lm's own caches, with the reason."""
PARTS: Final = frozenset((
    "activations", "base", "bitlinear_layers", "cache", "gated_delta", "mla", "pipeline", "rope_utils", "ssm",
    "switch_layers",
))  # fmt: skip
"""Modules of mlx_lm.models that are not models."""

SEEDS: Final[dict[str, int]] = {
    "afm7": 1, "baichuan_m1": 6, "bailing_moe": 3, "bailing_moe_v3": 1, "cohere": 4, "dbrx": 2, "deepseek_v2": 2,
    "deepseek_v3": 5, "deepseek_v32": 1, "deepseek_v41": 1, "dots1": 3, "ernie4_5_moe": 4, "exaone": 1, "exaone4": 1,
    "exaone_moe": 2, "gemma2": 1, "gemma3n": 5, "gemma4": 1, "gemma4_text": 1, "glm": 3, "glm4": 3, "glm4_moe": 1,
    "glm4_moe_lite": 5, "glm_moe_dsa": 1, "gpt_neox": 1, "gpt_oss": 5, "gptj": 1, "granite": 2, "granitemoe": 1,
    "helium": 2, "hunyuan": 1, "internlm2": 1, "internlm3": 2, "iquestloopcoder": 1, "jamba": 5, "kimi_k25": 5,
    "kimi_k3": 5, "kimi_vl": 5, "Klear": 3, "laguna": 5, "lfm2": 2, "lfm2-vl": 2, "llama": 2, "llama4_text": 3,
    "mamba": 2, "mellum": 2, "mimo": 7, "mimo_v2_flash": 1, "minicpm": 1, "minicpm3": 4, "minimax": 1, "mistral3": 2,
    "mixtral": 1, "muse_glimmer": 1, "nanbeige": 2, "nemotron_h": 1, "olmo2": 1, "olmo_hybrid": 3, "openelm": 2,
    "phi": 2, "phi3": 1, "phimoe": 5, "pixtral": 2, "plamo": 1, "qwen": 3, "qwen2": 7, "qwen2_vl": 7, "qwen3_5": 1,
    "qwen3_5_moe": 1, "qwen3_next": 6, "recurrent_gemma": 6, "rwkv7": 1, "seed_oss": 2, "solar_open": 1,
    "spark2_5": 2, "stablelm": 2, "step3p5": 1, "talkie": 1, "telechat3": 2, "youtu_llm": 2,
}  # fmt: skip
"""Seeds that give long and different answers; the others use 0."""
