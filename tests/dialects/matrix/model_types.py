"""A small config of each model type of mlx-lm. A model ignores the keys that it does not read, so all start from one."""

from __future__ import annotations

from typing import Any, Final

VOCABULARY: Final = 131
"""Three control tokens and the 128 bytes of ASCII: every token is one character of the answer."""
LAYERS: Final = 4
_MIXED: Final = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
_WINDOW: Final = 24
"""Shorter than the prompts, so that windows move."""

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
    "sliding_window": _WINDOW,
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

_YARN: Final = {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2048, "mscale_all_dim": 0}
_LONG: Final = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.5] * 4}
_GRANITE: Final = {
    "logits_scaling": 1.0, "attention_multiplier": 0.25, "embedding_multiplier": 1.0, "residual_multiplier": 1.0,
}  # fmt: skip
_LINEAR: Final = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.5, "full_attention_interval": 2,
}  # fmt: skip
_MAMBA: Final = {
    "state_size": 8, "conv_kernel": 4, "use_conv_bias": True, "time_step_rank": 4, "ssm_state_size": 8,
    "n_groups": 1, "mamba_num_heads": 4, "mamba_head_dim": 16, "mamba_proj_bias": False,
}  # fmt: skip
_INDEXER: Final = {"index_head_dim": 16, "index_n_heads": 2, "index_topk": 16, "topk_method": "noaux_tc"}
_MIXED_ROPE: Final = {
    "full_attention": {"rope_theta": 50000.0, "rope_type": "default"},
    "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
}

EXTRA: Final[dict[str, dict[str, Any]]] = {
    "Klear": {},
    "afm7": {"hidden_dim": 64, "num_layers": 4, "num_kv_reuse_layers": 1, "num_heads": 4, "num_kv_heads": 2},
    "afmoe": {"layer_types": _MIXED},
    "apertus": {"post_norm": False, "qk_norm": True},
    "baichuan_m1": {"sliding_window_layers": [0, 2], "conv_window": 2},
    "bailing_hybrid": {"layer_group_size": 2, "group_norm_size": 1, "num_key_value_heads": 4},
    "bailing_moe": {},
    "bailing_moe_linear": {"layer_group_size": 2, "group_norm_size": 1, "topk_group": 1, "num_key_value_heads": 4},
    "bailing_moe_v3": {"layer_group_size": 2},
    "bitnet": {},
    "cohere": {},
    "cohere2": {"sliding_window_pattern": 2},
    "dbrx": {
        "d_model": 64, "n_layers": 4, "n_heads": 4,
        "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
    },
    "deepseek": {"moe_layer_freq": 1},
    "deepseek_v2": {"rope_scaling": _YARN, "topk_method": "greedy"},
    "deepseek_v3": {},
    "deepseek_v32": _INDEXER,
    "deepseek_v41": {"compress_ratios": [0, 0, 0, 0]},
    "dots1": {},
    "ernie4_5": {},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2},
    "exaone": {"num_layers": 4},
    "exaone4": {"rope_scaling": None, "sliding_window_pattern": "LG", "layer_types": _MIXED},
    "exaone_moe": {"layer_types": _MIXED, "is_moe_layer": [False, True, True, True]},
    "falcon_h1": {"mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_state": 8},
    "gear": {"layer_types": _MIXED},
    "gemma": {},
    "gemma2": {},
    "gemma3": {"text_config": {"model_type": "gemma3_text", "sliding_window_pattern": 2, "query_pre_attn_scalar": 16}},
    "gemma3_text": {"sliding_window_pattern": 2, "query_pre_attn_scalar": 16},
    "gemma3n": {
        "text_config": {
            "model_type": "gemma3n_text", "num_kv_shared_layers": 2, "vocab_size_per_layer_input": VOCABULARY, "rope_local_base_freq": 10000.0,
            "final_logit_softcapping": 30.0, "layer_types": _MIXED, "activation_sparsity_pattern": [0.0] * 4,
            "hidden_size_per_layer_input": 16, "altup_num_inputs": 2, "altup_coef_clip": 120.0,
            "altup_correct_scale": True, "altup_active_idx": 0, "laurel_rank": 8,
        },
    },
    "gemma4": {
        "text_config": {
            "model_type": "gemma4_text", "num_kv_shared_layers": 2, "global_head_dim": 32, "layer_types": _MIXED,
            "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY,
        },
    },
    "gemma4_text": {
        "num_kv_shared_layers": 2, "global_head_dim": 32, "layer_types": _MIXED, "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": VOCABULARY,
    },
    "glm": {},
    "glm4": {"partial_rotary_factor": 0.5},
    "glm4_moe": {"partial_rotary_factor": 0.5, "rope_scaling": None, "use_qk_norm": True},
    "glm4_moe_lite": {},
    "glm_moe_dsa": {
        **_INDEXER, "scoring_func": "sigmoid", "moe_layer_freq": 1,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    },
    "gpt2": {"n_ctx": 4096, "n_embd": 64, "n_head": 4, "n_layer": 4, "n_positions": 4096},
    "gpt_bigcode": {"n_embd": 64, "n_layer": 4, "n_inner": 96, "n_head": 4, "n_positions": 4096},
    "gpt_neox": {"rotary_emb_base": 10000, "rotary_pct": 0.5},
    "gpt_oss": {"rope_scaling": _YARN, "layer_types": _MIXED},
    "gptj": {"n_embd": 64, "n_layer": 4, "n_inner": 96, "n_head": 4, "n_positions": 4096, "rotary_dim": 8},
    "granite": _GRANITE,
    "granitemoe": _GRANITE,
    "granitemoehybrid": {
        **_GRANITE, "layer_types": ["mamba", "attention", "mamba", "attention"], "mamba_n_heads": 4, "mamba_d_head": 16,
        "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_n_groups": 1, "mamba_proj_bias": False, "mamba_conv_bias": True, "mamba_expand": 1,
    },
    "helium": {},
    "hunyuan": {
        "moe_topk": 2, "num_shared_expert": 1, "use_mixed_mlp_moe": True, "use_qk_norm": True, "use_cla": False,
        "cla_share_factor": 2, "rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 1000.0},
    },
    "hunyuan_v1_dense": {"rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 1000.0}},
    "internlm2": {},
    "internlm3": {},
    "iquestloopcoder": {"loop_num": 2, "loop_window_size": 24},
    "jamba": {
        "attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2,
        "mamba_d_conv": 4, "mamba_d_state": 8, "mamba_expand": 2,
    },
    "kimi_k25": {"text_config": {"model_type": "deepseek_v3"}},
    "kimi_k3": {
        "text_config": {
            "model_type": "kimi_linear", "activation_situ_beta": 1.0, "attn_res_block_size": 2,
            "linear_attn_config": {
                "kda_layers": [1, 3], "full_attn_layers": [2, 4], "num_heads": 4, "head_dim": 16,
                "short_conv_kernel_size": 4,
            },
        },
    },
    "kimi_linear": {
        "linear_attn_config": {
            "kda_layers": [1, 3], "full_attn_layers": [2, 4], "num_heads": 4, "head_dim": 16,
            "short_conv_kernel_size": 4,
        },
        "model_max_length": 4096,
    },
    "kimi_vl": {"text_config": {"model_type": "deepseek_v3"}},
    "laguna": {"layer_types": _MIXED, "rope_parameters": _MIXED_ROPE},
    "lfm2": {
        "conv_bias": False, "conv_L_cache": 3, "block_dim": 64, "block_ff_dim": 96, "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [1, 3],
    },
    "lfm2-vl": {
        "text_config": {
            "model_type": "lfm2", "conv_bias": False, "conv_L_cache": 3, "block_dim": 64, "block_ff_dim": 96, "block_multiple_of": 8,
            "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [1, 3],
        },
    },
    "lfm2_moe": {"conv_bias": False, "conv_L_cache": 3, "full_attn_idxs": [1, 3], "use_expert_bias": True},
    "lille-130m": {"block_size": 4096, "n_embd": 64, "n_head": 4, "n_kv_heads": 2, "n_layer": 4},
    "llama": {},
    "llama4": {
        "text_config": {
            "model_type": "llama4_text", "attention_chunk_size": 32, "interleave_moe_layer_step": 2,
            "intermediate_size_mlp": 96, "num_experts_per_tok": 1, "rope_scaling": None, "use_qk_norm": True,
        },
    },
    "llama4_text": {"intermediate_size_mlp": 96, "no_rope_layers": [1, 1, 1, 0], "use_qk_norm": True},
    "longcat_flash": {
        "attention_method": "MLA", "zero_expert_type": "identity", "ffn_hidden_size": 96, "moe_topk": 2,
        "expert_ffn_hidden_size": 32, "zero_expert_num": 2, "num_layers": 2, "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
    },
    "longcat_flash_ngram": {
        "ffn_hidden_size": 96, "moe_topk": 2, "expert_ffn_hidden_size": 32, "zero_expert_num": 2, "num_layers": 2,
        "mla_scale_q_lora": True, "mla_scale_kv_lora": True, "ngram_vocab_size_ratio": 4, "emb_neighbor_num": 3,
        "emb_split_num": 2,
    },
    "mamba": _MAMBA,
    "mamba2": {**_MAMBA, "num_heads": 8, "intermediate_size": 128, "time_step_limit": [0.0, 100.0]},
    "mellum": {"layer_types": _MIXED, "rope_parameters": _MIXED_ROPE},
    "mimo": {},
    "mimo_v2_flash": {
        "hybrid_layer_pattern": [1, 0, 1, 0], "moe_layer_freq": [0, 1, 1, 1], "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False, "sliding_window_size": _WINDOW, "topk_method": "noaux_tc",
        "scoring_func": "sigmoid", "swa_rope_theta": 10000.0, "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2, "swa_head_dim": 16, "swa_v_head_dim": 16, "partial_rotary_factor": 0.5,
        "n_shared_experts": None,
    },
    "minicpm": {"dim_model_base": 64, "scale_depth": 1.0, "scale_emb": 1.0},
    "minicpm3": {"dim_model_base": 64, "scale_depth": 1.0, "scale_emb": 1.0, "rope_scaling": _LONG},
    "minimax": {"rotary_dim": 8},
    "minimax_m3_vl": {"text_config": {}},
    "ministral3": {
        "layer_types": _MIXED,
        "rope_parameters": {**_YARN, "rope_theta": 10000.0, "llama_4_scaling_beta": 0.1},
    },
    "mistral3": {"text_config": {"model_type": "llama"}},
    "mistral4": {"rope_parameters": {**_YARN, "rope_theta": 10000.0, "llama_4_scaling_beta": 0.1}},
    "mixtral": {},
    "muse_glimmer": {"layer_types": _MIXED, "layer_rope_theta": [10000.0, 0, 10000.0, 0]},
    "muse_spark": {
        "text_config": {
            "post_norm_eps": 1e-6, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
            "layer_rope_theta": [10000.0, 0, 10000.0, 0], "layer_types": _MIXED, "final_logit_softcapping": 30.0,
            "output_multiplier": 1.0, "moe_hidden_size": 64, "num_shared_experts": 0,
        },
    },
    "nanbeige": {},
    "nanochat": {},
    "nemotron": {"hidden_act": "relu2", "partial_rotary_factor": 0.5},
    "nemotron-nas": {
        "block_configs": [{
            "attention": {"n_heads_in_group": 2, "no_op": False, "replace_with_linear": False},
            "ffn": {"ffn_mult": 1.5, "no_op": False, "replace_with_linear": False},
        }] * 4,
    },
    "nemotron_h": {**_MAMBA, "hybrid_override_pattern": "M*M-"},
    "olmo2": {},
    "olmo3": {"layer_types": _MIXED},
    "olmo_hybrid": {**_LINEAR, "linear_allow_neg_eigval": True},
    "olmoe": {},
    "openelm": {
        "num_transformer_layers": 4, "model_dim": 64, "ffn_dim_divisor": 8, "num_query_heads": [4] * 4,
        "num_kv_heads": [2] * 4, "ffn_multipliers": [1.0] * 4,
    },
    "phi": {"partial_rotary_factor": 0.5},
    "phi3": {},
    "phimoe": {"rope_scaling": {**_LONG, "short_factor": [1.0] * 8, "long_factor": [1.5] * 8, "long_mscale": 1.1,
                                "short_mscale": 1.0}},
    "phixtral": {
        "num_vocab": VOCABULARY, "model_dim": 64, "num_heads": 4, "num_layers": 4, "rotary_dim": 8,
    },
    "pixtral": {"text_config": {"model_type": "llama"}},
    "plamo": {"n_shared_head": 2},
    "plamo2": {"mamba_d_state": 8, "mamba_num_heads": 4, "mamba_step": 2, "hidden_size_per_head": 16},
    "plamo3": {"window_size": _WINDOW, "sliding_window_pattern": 2},
    "qwen": {"kv_channels": 16},
    "qwen2": {},
    "qwen2_moe": {},
    "qwen2_vl": {"text_config": {"model_type": "qwen2"}},
    "qwen3": {},
    "qwen3_5": {"text_config": {"model_type": "qwen3_5_text", **_LINEAR}},
    "qwen3_5_moe": {"text_config": {"model_type": "qwen3_5_moe_text", **_LINEAR}},
    "qwen3_moe": {},
    "qwen3_next": _LINEAR,
    "qwen3_vl": {"text_config": {"model_type": "qwen3"}},
    "qwen3_vl_moe": {"text_config": {"model_type": "qwen3_moe"}},
    "recurrent_gemma": {
        "conv1d_width": 4, "logits_soft_cap": 30.0, "attention_window_size": _WINDOW,
        "block_types": ["recurrent", "attention"], "num_key_value_heads": 1,
    },
    "rwkv7": {
        "a_low_rank_dim": 8, "v_low_rank_dim": 8, "gate_low_rank_dim": 8, "decay_low_rank_dim": 8,
    },
    "seed_oss": {},
    "smollm3": {"no_rope_layer_interval": 4},
    "solar_open": {"partial_rotary_factor": 1.0},
    "spark2_5": {"layer_types": _MIXED, "rope_parameters": _MIXED_ROPE},
    "stablelm": {"use_qkv_bias": False, "partial_rotary_factor": 0.5},
    "starcoder2": {},
    "step3p5": {"num_attention_groups": 2, "layer_types": _MIXED},
    "talkie": {},
    "telechat3": {},
    "youtu_llm": {},
}  # fmt: skip


SEEDS: Final = {"Klear": 3, "afm7": 1, "baichuan_m1": 6, "bailing_moe": 3, "bailing_moe_v3": 1, "cohere": 4, "dbrx": 2, "deepseek_v2": 2, "deepseek_v3": 5, "deepseek_v32": 1, "deepseek_v41": 1, "dots1": 3, "ernie4_5_moe": 4, "exaone": 1, "exaone4": 1, "exaone_moe": 2, "gemma2": 1, "gemma3n": 5, "gemma4": 1, "gemma4_text": 1, "glm": 3, "glm4": 3, "glm4_moe": 1, "glm4_moe_lite": 5, "glm_moe_dsa": 1, "gpt_neox": 1, "gpt_oss": 5, "gptj": 1, "granite": 2, "granitemoe": 1, "helium": 2, "hunyuan": 1, "internlm2": 1, "internlm3": 2, "iquestloopcoder": 1, "jamba": 5, "kimi_k25": 5, "kimi_k3": 5, "kimi_vl": 5, "laguna": 5, "lfm2": 2, "lfm2-vl": 2, "llama": 2, "llama4_text": 3, "mamba": 2, "mellum": 2, "mimo": 7, "mimo_v2_flash": 1, "minicpm": 1, "minicpm3": 4, "minimax": 1, "mistral3": 2, "mixtral": 1, "muse_glimmer": 1, "nanbeige": 2, "nemotron_h": 1, "olmo2": 1, "olmo_hybrid": 3, "openelm": 2, "phi": 2, "phi3": 1, "phimoe": 5, "pixtral": 2, "plamo": 1, "qwen": 3, "qwen2": 7, "qwen2_vl": 7, "qwen3_5": 1, "qwen3_5_moe": 1, "qwen3_next": 6, "recurrent_gemma": 6, "rwkv7": 1, "seed_oss": 2, "solar_open": 1, "spark2_5": 2, "stablelm": 2, "step3p5": 1, "talkie": 1, "telechat3": 2, "youtu_llm": 2}


def config_of(model_type: str) -> dict[str, Any]:
    """The whole config; parts of a model start from the same sizes."""
    extra = EXTRA[model_type]
    config = {**SHARED, "model_type": model_type, **extra}
    if "text_config" in extra:
        config["text_config"] = {**SHARED, **extra["text_config"]}
    return config
