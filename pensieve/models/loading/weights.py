"""A model's weights in memory, in the format that suits the device (S1).

Metal and CUDA compute on packed weights. MLX's CPU backend unpacks them one by one and emulates half precision, so
there they are unpacked once, to dense f32: fifty times as fast, for four to eight times the memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pensieve.device.device import device_info
from pensieve.models.loading.adapters import fuse_adapter, put_adapter


def make_dense(model: Any) -> None:
    """Have every weight unpacked and in f32 once it is evaluated.

    Scales and biases are widened before they are used, so the weights are exactly the stored numbers.
    """
    from pensieve.device.mlx_lm.loading import dequantize_model  # noqa: PLC0415 - half a second

    model.apply(_widened)
    dequantize_model(model)
    model.apply(_widened)  # weights packed without floating-point scales (mxfp4 and similar) unpack to bfloat16


def apply_adapter(model: Any, adapter: Path) -> None:
    """Wrap packed weights in the adapter's layers, as mlx-lm does; on the CPU, fuse the adapter into the dense weights.

    Raises:
        Exception: of any type, from mlx-lm, if the adapter does not fit the model.
    """
    put_adapter(model, adapter)
    if device_info().backend == "cpu":
        model.apply(_widened)
        fuse_adapter(model)


def read_weights(model: Any) -> int:
    """Read the weights from their files into memory, and return their size in bytes."""
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first
    from mlx.utils import tree_flatten  # noqa: PLC0415

    if device_info().backend != "cpu":
        narrow_scales(model)
    arrays = [array for _, array in cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters()))]
    for array in arrays:
        mx.eval(array)  # one at a time: each packed array is freed before the next one is read
    mx.clear_cache()
    return sum(array.nbytes for array in arrays)


def narrow_scales(model: Any) -> None:
    """Convert f32 scales and biases to the type that the model computes in.

    Some GGUF types store them in f32. A product with them is f32 too, and so is everything computed from it: keys and
    values would take twice the bytes. The conversion changes a weight by less than a thousandth.
    """
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first

    packed = [module for module in model.modules() if "scales" in module and "biases" in module]
    types = {array.dtype for module in packed for array in (module.scales, module.biases)}
    dense = {mx.float16, mx.bfloat16} & {module.weight.dtype for module in model.modules() if "weight" in module}
    if mx.float32 not in types or len(dense) != 1:
        return
    (narrow,) = dense
    for module in packed:
        module.scales, module.biases = module.scales.astype(narrow), module.biases.astype(narrow)


def _widened(array: Any) -> Any:
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first

    return array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array
