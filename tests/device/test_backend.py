"""The CPU is taken where there is no GPU, and where one is claimed that does not compute."""

from __future__ import annotations

import threading
import time
from typing import Literal

import mlx.core as mx
import pytest

from pensieve.device.backend import BackendChoice, choose_backend
from pensieve.device.device import _evaluate


def _works() -> None:
    pass


def _fails() -> None:
    raise RuntimeError("[metal::Device] Unable to load kernel.\nDetails follow.")


@pytest.mark.parametrize("claimed", ["metal", "cuda"])
def test_a_gpu_that_computes_is_taken(claimed: Literal["metal", "cuda"]) -> None:
    assert choose_backend(claimed, _works) == BackendChoice(claimed)


def test_a_gpu_that_fails_is_left_for_the_cpu_and_its_words_are_told() -> None:
    choice = choose_backend("metal", _fails)
    assert choice.backend == "cpu"
    assert choice.why_no_gpu == (
        "Metal is there, but its first computation failed: [metal::Device] Unable to load kernel"
    )


def test_a_gpu_that_hangs_is_left_in_time() -> None:
    release = threading.Event()
    began = time.monotonic()
    choice = choose_backend("cuda", lambda: _wait_for(release), patience_seconds=0.1)
    release.set()
    assert time.monotonic() - began < 200
    assert choice == BackendChoice("cpu", "CUDA is there, but its first computation did not end")


def _wait_for(event: threading.Event) -> None:
    event.wait(300)


def test_without_a_gpu_nothing_is_tried_and_the_reason_is_told() -> None:
    choice = choose_backend("cpu", _fails)
    assert choice.backend == "cpu"
    assert choice.why_no_gpu
    assert "failed" not in choice.why_no_gpu


def test_the_real_evaluation_passes_on_a_device_that_computes() -> None:
    _evaluate(mx)
