"""The sizes and layer settings that the small configs of the matrix share."""

from __future__ import annotations

from typing import Any, Final

VOCABULARY: Final = 131
"""Three control tokens and the 128 bytes of ASCII, so every token is one character of the answer."""
LAYERS: Final = 4
MIXED: Final = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
WINDOW: Final = 24
"""Shorter than the prompts, so that the window slides."""

SHARED: Final[dict[str, Any]] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": LAYERS,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "norm_eps": 1e-5,
    "layer_norm_eps": 1e-5,
    "layer_norm_epsilon": 1e-5,
    "layernorm_epsilon": 1e-5,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "use_bias": False,
    "eos_token_id": 2,
    "sliding_window": WINDOW,
    # experts
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "num_shared_experts": 1,
    "n_shared_experts": 1,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "shared_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 32,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "n_group": 1,
    "topk_group": 1,
    "routed_scaling_factor": 1.0,
    # latent attention
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
}

YARN: Final = {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2048, "mscale_all_dim": 0}
LONG: Final = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.5] * 4}
GRANITE: Final = {
    "logits_scaling": 1.0, "attention_multiplier": 0.25, "embedding_multiplier": 1.0, "residual_multiplier": 1.0,
}  # fmt: skip
LINEAR: Final = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.5, "full_attention_interval": 2,
}  # fmt: skip
MAMBA: Final = {
    "state_size": 8, "conv_kernel": 4, "use_conv_bias": True, "time_step_rank": 4, "ssm_state_size": 8,
    "n_groups": 1, "mamba_num_heads": 4, "mamba_head_dim": 16, "mamba_proj_bias": False,
}  # fmt: skip
INDEXER: Final = {"index_head_dim": 16, "index_n_heads": 2, "index_topk": 16, "topk_method": "noaux_tc"}
MIXED_ROPE: Final = {
    "full_attention": {"rope_theta": 50000.0, "rope_type": "default"},
    "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
}
LFM2: Final = {
    "conv_bias": False, "conv_L_cache": 3, "block_dim": 64, "block_ff_dim": 96, "block_multiple_of": 8,
    "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [1, 3],
}  # fmt: skip
GEMMA4: Final = {
    "num_kv_shared_layers": 2, "global_head_dim": 32, "layer_types": MIXED, "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
}  # fmt: skip
KDA: Final = {
    "kda_layers": [1, 3], "full_attn_layers": [2, 4], "num_heads": 4, "head_dim": 16, "short_conv_kernel_size": 4,
}  # fmt: skip
