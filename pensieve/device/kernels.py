"""Compiles kernels in the device's own language through MLX (S7: compile_kernel).

Uses `mlx.core.fast.metal_kernel` or `mlx.core.fast.cuda_kernel`. The Metal path has not been tested on a Mac.
"""

from __future__ import annotations

from typing import cast

import mlx.core as mx

from contracts.protocols.memory import CompiledKernel
from contracts.values.vocabulary import KernelSource
from pensieve.core.errors import DeviceError


def compile_kernel(source: KernelSource) -> CompiledKernel:
    """A kernel that takes MLX's arguments: inputs, grid, threadgroup, output shapes and dtypes.

    Raises:
        DeviceError: MLX runs on the CPU, or rejects the source.
    """
    if mx.default_device() == mx.Device(mx.cpu):
        raise DeviceError(f"kernel {source.name} needs a GPU, but MLX runs on the CPU")
    build = mx.fast.metal_kernel if mx.metal.is_available() else mx.fast.cuda_kernel
    try:
        kernel = build(
            name=source.name,
            input_names=list(source.input_names),
            output_names=list(source.output_names),
            source=source.body,
        )
        return cast(CompiledKernel, kernel)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"kernel {source.name} does not compile: {error}") from error
