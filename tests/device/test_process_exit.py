"""A process that has used MLX ends with its own exit status."""

from __future__ import annotations

import sys

import pytest

from pensieve.device.device import device_info
from pensieve.device.process_exit import exit_cleanly
from tests.device.python_process import run_python


@pytest.mark.skipif(device_info().backend == "cuda", reason="the process of the tests would end")
def test_without_cuda_the_status_is_returned() -> None:
    assert "mlx.core" in sys.modules
    assert exit_cleanly(3) == 3


def test_a_process_that_has_used_mlx_ends_with_its_status() -> None:
    code = """
import sys
from pensieve.device.device import device_info
from pensieve.device.process_exit import exit_cleanly
device_info()
import mlx.core as mx
mx.eval(mx.ones((2, 2)) @ mx.ones((2, 2)))
print("printed")
sys.exit(exit_cleanly(0))
"""
    assert run_python(code) == "printed"
