"""On a CPU each decode step runs in the form that was quickest for its number of rows."""

from __future__ import annotations

import pytest

from pensieve.core.scheduling.autotune import TRIES
from pensieve.device.blas import Blas
from pensieve.device.device import DeviceInfo, device_info
from pensieve.engine.decoding import cpu_tuning
from pensieve.engine.decoding.cpu_tuning import CpuTuning, StepForm

ALL = 4


class Machine:
    """A simulated CPU: `seconds` is the duration of a step in each form."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        seconds: dict[StepForm, float],
        *,
        cores: int = ALL,
        may_copy: bool = True,
    ) -> None:
        self.threads, self.now, self.used, self.num_free = cores, 0.0, list[StepForm](), cores
        self._seconds, self.rests = seconds, list[float]()
        monkeypatch.setattr(cpu_tuning, "preload", lambda: Blas("BLAS", None, cores))
        monkeypatch.setattr(cpu_tuning, "set_threads", self._set)
        monkeypatch.setattr("pensieve.engine.decoding.cpu_tuning.time.perf_counter", lambda: self.now)
        monkeypatch.setattr("pensieve.engine.decoding.cpu_tuning.time.monotonic", lambda: self.now)
        self.tuning = CpuTuning(may_copy=may_copy, num_free=self._num_free)

    def _num_free(self, _: float, rested: float) -> int:
        self.rests.append(rested)
        return self.num_free

    def _set(self, num_threads: int) -> None:
        self.threads = num_threads

    def step(self, num_rows: int, num_tokens: int | None = None) -> None:
        copies = self.tuning.before(num_rows)
        self.used.append(StepForm(self.threads, copies))
        self.now += self._seconds.get(self.used[-1], 1.0)
        self.tuning.after(num_rows if num_tokens is None else num_tokens)


@pytest.mark.parametrize("num_rows", [1, 8])
def test_a_step_runs_on_one_thread_if_that_is_as_fast(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 1): 0.05, StepForm(ALL, 1): 0.05})
    for _ in range(60):
        machine.step(num_rows)
    assert set(machine.used[-20:]) == {StepForm(1, 1)}
    assert machine.used.count(StepForm(ALL, 1)) <= TRIES + 1


def test_a_step_runs_on_all_threads_if_they_are_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 1): 0.1, StepForm(ALL, 1): 0.05})
    for _ in range(40):
        machine.step(8)
    assert set(machine.used[-20:]) == {StepForm(ALL, 1)}


@pytest.mark.parametrize("cores", [1, ALL])
def test_a_single_row_is_fed_twice_if_that_is_quicker(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 1): 0.1, StepForm(1, 2): 0.08}, cores=cores)
    for _ in range(60):
        machine.step(1)
    assert set(machine.used[-20:]) == {StepForm(1, 2)}


@pytest.mark.parametrize(("num_rows", "may_copy"), [(2, True), (1, False)])
def test_several_rows_or_rows_that_cannot_be_copied_are_fed_once(
    monkeypatch: pytest.MonkeyPatch, num_rows: int, *, may_copy: bool
) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 2): 0.01}, may_copy=may_copy)
    for _ in range(60):
        machine.step(num_rows)
    assert {form.copies for form in machine.used} == {1}


@pytest.mark.parametrize("backend", ["metal", "cuda"])
def test_on_a_gpu_rows_are_fed_once(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    own = device_info()
    fields = {name: getattr(own, name) for name in own.__dataclass_fields__} | {"backend": backend}
    monkeypatch.setattr(cpu_tuning, "device_info", lambda: DeviceInfo(**fields))
    machine = Machine(monkeypatch, {StepForm(1, 2): 0.01}, cores=1)
    for _ in range(60):
        machine.step(1)
    assert {form.copies for form in machine.used} == {1}


def test_prefill_uses_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 1): 0.05})
    for _ in range(60):
        machine.step(1)
    machine.step(0, 1)
    assert machine.used[-1] == StepForm(ALL, 1)
    machine.step(1)
    assert machine.used[-1] == StepForm(1, 1)


def test_beside_a_prefill_a_token_is_decoded_in_the_quickest_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all threads, each product of a few numbers would wait for all of them."""
    machine = Machine(monkeypatch, {StepForm(1, 1): 0.05, StepForm(1, 2): 0.04})
    for _ in range(60):
        machine.step(1)
    assert machine.tuning.before(1, is_plain=False) == 2
    assert machine.threads == 1
    machine.tuning.before_prefill()
    assert machine.threads == ALL


def test_busy_cores_are_neither_used_nor_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 1): 0.05, StepForm(1, 2): 0.04, StepForm(ALL, 1): 0.01})
    machine.num_free = ALL - 1
    for _ in range(60):
        machine.step(1)
    assert set(machine.used) == {StepForm(1, 1), StepForm(1, 2)}
    assert machine.used[-1] == StepForm(1, 2)
    machine.tuning.before_prefill()
    assert machine.threads == ALL - 1


def test_cores_are_used_while_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {StepForm(ALL, 1): 0.01})
    for num_free, expected in ((1, 1), (ALL, ALL), (1, 1), (ALL, ALL)):
        machine.num_free = num_free
        for _ in range(60):
            machine.step(1)
        assert machine.used[-1].threads == expected


def test_steps_with_more_than_one_token_a_row_are_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 1): 0.05, StepForm(ALL, 1): 0.01})
    for _ in range(40):
        machine.step(1, 6)
    assert set(machine.used) == {StepForm(1, 1)}, "nothing was learned"


def test_with_one_core_no_thread_count_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {}, cores=1)
    monkeypatch.setattr(cpu_tuning, "set_threads", lambda _: pytest.fail("there is nothing to choose"))
    for _ in range(5):
        machine.step(1)


def test_a_long_step_is_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, {StepForm(1, 1): 60.0})
    machine.step(1)
    machine.step(1)
    machine.now += 5.0
    machine.step(1)
    assert machine.rests == [0.0, 0.0, 5.0]
