"""Each step gets the threads with which steps of its kind were quickest."""

from __future__ import annotations

import pytest

from pensieve.core.quickest import TRIES
from pensieve.engine import blas_threads
from pensieve.engine.blas_threads import BlasThreads
from pensieve.metal.blas import Blas


class Machine:
    """Four cores, on which a step takes so long with one thread and with all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], cores: int = 4) -> None:
        self.threads, self.now, self.used = cores, 0.0, list[int]()
        self._seconds = seconds
        monkeypatch.setattr(blas_threads, "preload", lambda: Blas("BLAS", None, cores))
        monkeypatch.setattr(blas_threads, "set_threads", self._set)
        monkeypatch.setattr("pensieve.engine.blas_threads.time.perf_counter", lambda: self.now)
        self.steps = BlasThreads()

    def _set(self, num_threads: int) -> None:
        self.threads = num_threads

    def step(self, num_rows: int, num_tokens: int | None = None) -> None:
        self.steps.before(num_rows)
        self.used.append(self.threads)
        self.now += self._seconds[self.threads]
        self.steps.after(num_rows if num_tokens is None else num_tokens)


def test_a_step_of_few_rows_gets_one_thread_where_that_is_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {1: 0.05, 4: 0.05})
    for _ in range(40):
        machine.step(1)
    assert set(machine.used[-20:]) == {1}
    assert machine.used.count(4) <= TRIES + 1


def test_it_gets_all_where_they_are_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {1: 0.1, 4: 0.05})
    for _ in range(40):
        machine.step(8)
    assert set(machine.used[-20:]) == {4}


def test_prompts_are_read_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {1: 0.05, 4: 0.05})
    for _ in range(40):
        machine.step(1)
    machine.step(0, 1)
    assert machine.used[-1] == 4
    machine.step(1)
    assert machine.used[-1] == 1


def test_steps_that_brought_more_than_a_token_a_row_are_not_compared_with_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, {1: 0.05, 4: 0.01})
    for _ in range(40):
        machine.step(1, 6)
    assert set(machine.used) == {1}, "nothing was learned"


def test_with_one_core_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {1: 0.05}, cores=1)
    monkeypatch.setattr(blas_threads, "set_threads", lambda _: pytest.fail("there is nothing to choose"))
    for _ in range(5):
        machine.step(1)
