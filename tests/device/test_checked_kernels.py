"""A kernel of our own is used only if it computes what MLX's operations compute."""

from __future__ import annotations

import pytest

from pensieve.device.checked_kernels import CheckedKernels


def test_each_kernel_is_checked_once_and_its_verdict_kept() -> None:
    kernels, checks = CheckedKernels(), iter([True])
    assert kernels.serves("exact", lambda: next(checks))
    assert kernels.serves("exact", lambda: next(checks)), "not checked again"
    assert kernels.verdicts() == {"exact": "used"}


@pytest.mark.parametrize("error", [None, ValueError("does not compile")])
def test_a_kernel_that_is_inexact_or_fails_is_not_used_and_named_in_the_log(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    def is_exact() -> bool:
        if error is not None:
            raise error
        return False

    kernels = CheckedKernels()
    assert not kernels.serves("attention of 4 heads", is_exact)
    assert "attention of 4 heads" in caplog.text
    assert kernels.verdicts() == {"attention of 4 heads": "not used"}
