"""The CPU is used if there is no GPU, or if the GPU that MLX claims does not compute."""

from __future__ import annotations

import threading
import time
from typing import Literal

import mlx.core as mx
import pytest

from pensieve.device.backend import BackendChoice, choose_backend
from pensieve.device.device import evaluate


def _works() -> None:
    pass


def _fails() -> None:
    raise RuntimeError("[metal::Device] Unable to load kernel.\nDetails follow.")


@pytest.mark.parametrize("claimed", ["metal", "cuda"])
def test_a_gpu_that_computes_is_used(claimed: Literal["metal", "cuda"]) -> None:
    assert choose_backend(claimed, _works) == BackendChoice(claimed)


def test_a_gpu_that_fails_is_replaced_by_the_cpu_with_its_error() -> None:
    choice = choose_backend("metal", _fails)
    assert choice.backend == "cpu"
    assert choice.why_no_gpu == (
        "Metal is available, but its first computation failed: [metal::Device] Unable to load kernel"
    )


def test_a_gpu_that_hangs_is_replaced_by_the_cpu_in_time() -> None:
    release = threading.Event()
    began = time.monotonic()
    choice = choose_backend("cuda", lambda: _wait_for(release), timeout_seconds=0.1)
    release.set()
    assert time.monotonic() - began < 200
    assert choice == BackendChoice("cpu", "CUDA is available, but its first computation did not finish")


def _wait_for(event: threading.Event) -> None:
    event.wait(300)


def test_without_a_gpu_nothing_is_evaluated_and_the_reason_is_given() -> None:
    choice = choose_backend("cpu", _fails)
    assert choice.backend == "cpu"
    assert choice.why_no_gpu
    assert "failed" not in choice.why_no_gpu


def test_the_real_evaluation_passes_on_a_device_that_computes() -> None:
    evaluate(mx)
