"""The bytes of recurrent layers' states, as mlx-lm's models keep them: the same for a conversation of any length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_F32_BYTES: Final = 4


class StateError(ValueError):
    """A layer has a state whose size is not known here."""


def state_bytes(told: Mapping[str, Any], num_states: int, number_bytes: int) -> int:
    """Bytes of `num_states` layers' states together.

    Raises:
        StateError: the architecture's states are not known.
        KeyError: the config does not say a size; it is named.
    """
    return num_states * _bytes_of_one(told, number_bytes) if num_states else 0


def _bytes_of_one(told: Mapping[str, Any], number_bytes: int) -> int:
    """The last inputs of a convolution, and the recurrent state proper."""
    model_type = str(told["model_type"])
    if model_type.startswith("qwen3"):
        values, keys = int(told["linear_num_value_heads"]), int(told["linear_num_key_heads"])
        key_size, value_size = int(told["linear_key_head_dim"]), int(told["linear_value_head_dim"])
        conv = (int(told["linear_conv_kernel_dim"]) - 1) * (2 * keys * key_size + values * value_size)
        return conv * number_bytes + values * key_size * value_size * _F32_BYTES
    if model_type.startswith("lfm2"):
        return (int(told["conv_L_cache"]) - 1) * int(told["hidden_size"]) * number_bytes
    if model_type in ("mamba", "falcon_mamba"):
        inner, state = int(told["intermediate_size"]), int(told["state_size"])
        return (int(told["conv_kernel"]) - 1 + state) * inner * number_bytes
    if model_type == "mamba2":
        state = int(told.get("ssm_state_size") or told["state_size"])
        return _mamba2(told, ("num_heads", "head_dim", "n_groups", "conv_kernel"), state, number_bytes)
    if model_type == "granitemoehybrid":
        names = ("mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_conv")
        return _mamba2(told, names, int(told["mamba_d_state"]), number_bytes)
    raise StateError(f"the state of {model_type} is not known")


def _mamba2(told: Mapping[str, Any], names: tuple[str, str, str, str], state: int, number_bytes: int) -> int:
    heads, size, groups, kernel = (int(told[name]) for name in names)
    return ((kernel - 1) * (heads * size + 2 * groups * state) + heads * size * state) * number_bytes
