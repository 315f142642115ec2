"""The size of recurrent layers' states in mlx-lm's models; it does not depend on the conversation's length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_F32_BYTES: Final = 4


class StateError(ValueError):
    """The size of the architecture's state is not known."""


def state_bytes(settings: Mapping[str, Any], num_states: int, number_bytes: int) -> int:
    """The total size of `num_states` layers' states.

    Raises:
        StateError: the size of the architecture's state is not known.
        KeyError: the config lacks a setting; it is named.
    """
    return num_states * _layer_bytes(settings, number_bytes) if num_states else 0


def _layer_bytes(settings: Mapping[str, Any], number_bytes: int) -> int:
    """The last inputs of the convolution, plus the recurrent state itself."""
    model_type = str(settings["model_type"])
    if model_type.startswith("qwen3"):
        values, keys = int(settings["linear_num_value_heads"]), int(settings["linear_num_key_heads"])
        key_size, value_size = int(settings["linear_key_head_dim"]), int(settings["linear_value_head_dim"])
        conv = (int(settings["linear_conv_kernel_dim"]) - 1) * (2 * keys * key_size + values * value_size)
        return conv * number_bytes + values * key_size * value_size * _F32_BYTES
    if model_type.startswith("lfm2"):
        return (int(settings["conv_L_cache"]) - 1) * int(settings["hidden_size"]) * number_bytes
    if model_type in ("mamba", "falcon_mamba"):
        inner, state = int(settings["intermediate_size"]), int(settings["state_size"])
        return (int(settings["conv_kernel"]) - 1 + state) * inner * number_bytes
    if model_type == "mamba2":
        state = int(settings.get("ssm_state_size") or settings["state_size"])
        return _mamba2(settings, ("num_heads", "head_dim", "n_groups", "conv_kernel"), state, number_bytes)
    if model_type == "granitemoehybrid":
        names = ("mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_conv")
        return _mamba2(settings, names, int(settings["mamba_d_state"]), number_bytes)
    raise StateError(f"the size of the recurrent state of {model_type} is not known")


def _mamba2(settings: Mapping[str, Any], names: tuple[str, str, str, str], state: int, number_bytes: int) -> int:
    heads, size, groups, kernel = (int(settings[name]) for name in names)
    return ((kernel - 1) * (heads * size + 2 * groups * state) + heads * size * state) * number_bytes
