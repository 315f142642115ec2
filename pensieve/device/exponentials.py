"""Functions made of exponentials, in whichever form is faster here.

MLX's CPU backend computes `mx.exp`, and with it `mx.sigmoid` and `mx.softmax`, number by number: on x86, 12 ns each
(mlx 0.32). `mx.power` calls the C library, which takes 4. In a small model, exponentials were half of a prefill.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Final

import mlx.core as mx

from pensieve.device.device import device_info

LOG2_E: Final = math.log2(math.e)
_MAX_RATIO: Final = 0.7
"""Powers must take less than this share of the time of `mx.exp`, since they need further operations."""
_TIMED_NUMBERS: Final = 2**14
_TIMES: Final = 25


@cache
def powers_are_faster() -> bool:
    """Whether powers of two are clearly faster than `mx.exp` on this machine. The first call times both: 10 ms.

    Each is timed many times for a moment, in turn, and the shortest times are compared: on a busy machine, another
    result would change the last bits of answers from one start to the next.
    """
    if device_info().backend != "cpu":
        return False
    numbers = mx.random.normal((_TIMED_NUMBERS,), key=mx.random.key(0))
    mx.eval(numbers)
    times = [(_seconds(lambda: power_of_two(numbers)), _seconds(lambda: mx.exp(numbers))) for _ in range(_TIMES)]
    return min(power for power, _ in times) < _MAX_RATIO * min(exponential for _, exponential in times)


def power_of_two(exponents: mx.array) -> mx.array:
    return mx.power(mx.array(2, exponents.dtype), exponents)


def silu(values: mx.array) -> mx.array:
    """`mlx.nn.silu` by powers of two."""
    return values / (1 + power_of_two(values * -LOG2_E))


def weighted_sums(scores: mx.array, values: mx.array) -> mx.array:
    """`mx.softmax(scores / LOG2_E) @ values` by powers of two, of scores [..., queries, keys]."""
    weights = power_of_two(scores - mx.max(scores, axis=-1, keepdims=True))
    return (weights @ values) / mx.sum(weights, axis=-1, keepdims=True)


def _seconds(compute: Callable[[], mx.array]) -> float:
    began = time.perf_counter()
    mx.eval(compute())
    return time.perf_counter() - began
