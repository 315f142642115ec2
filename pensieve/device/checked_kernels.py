"""Our own kernels, each compared with MLX's operations on this machine before it is used (S9)."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class CheckedKernels:
    """The verdict on each kernel that was checked in this process. Callable from any thread."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._notes: dict[str, str] = {}

    def serves(self, name: str, is_exact: Callable[[], bool]) -> bool:
        """Whether to use the kernel: the result of the first check of that name. Failures are logged."""
        if name not in self._serving:
            self._serving[name] = self._passes(name, is_exact)
        return self._serving[name]

    def _passes(self, name: str, is_exact: Callable[[], bool]) -> bool:
        try:
            if is_exact():
                return True
            log.warning("%s differs from MLX's own operations here, which are used instead", name)
        except Exception:  # a kernel that does not compile fails in its own way
            log.exception("%s does not run here; MLX's own operations are used instead", name)
        return False

    def note(self, name: str, verdict: str) -> None:
        """Record the verdict of a check that chooses between more than two ways to compute the same."""
        self._notes[name] = verdict

    def verdicts(self) -> dict[str, str]:
        return {**{name: "used" if serves else "not used" for name, serves in self._serving.items()}, **self._notes}


CHECKED_KERNELS = CheckedKernels()
