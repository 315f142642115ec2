"""The cores that other work leaves free are counted by the CPU time that it uses."""

from __future__ import annotations

import threading

from pensieve.device.threads.free_cores import INTERVAL_SECONDS, CpuUsage, FreeCores, usage_now


class Machine:
    """Seconds of CPU per second of the clock."""

    def __init__(self, num_cores: int = 4) -> None:
        self.usage = CpuUsage(0.0, 0.0, 0.0, 0.0)
        self.num_looks = 0
        self.cores = FreeCores(num_cores, self._look)

    def _look(self) -> CpuUsage:
        self.num_looks += 1
        return self.usage

    def run(self, *, others: float = 0.0, own: float = 0.0, python: float = 0.0, seconds: float = 10.0) -> int:
        for _ in range(round(seconds / INTERVAL_SECONDS)):
            clock, busy, used, of_python = self.usage
            self.usage = CpuUsage(
                clock + INTERVAL_SECONDS,
                busy + INTERVAL_SECONDS * (others + own),
                used + INTERVAL_SECONDS * own,
                of_python + INTERVAL_SECONDS * python,
            )
            self.cores.number(self.usage.clock)
        return self.cores.number(self.usage.clock)


def test_all_cores_are_free_before_anything_is_known() -> None:
    assert Machine().cores.number(0.0) == 4


def test_what_other_processes_use_is_not_free() -> None:
    assert Machine().run(others=1.0) == 3
    assert Machine().run(others=2.6) == 1
    assert Machine().run(others=0.2) == 4


def test_one_core_is_always_left() -> None:
    assert Machine().run(others=9.0) == 1


def test_the_products_themselves_do_not_count() -> None:
    assert Machine().run(own=4.0) == 4
    assert Machine().run(own=3.0, others=1.0) == 3


def test_other_python_of_this_process_counts() -> None:
    assert Machine().run(own=2.0, python=1.0) == 3


def test_what_has_ended_soon_counts_no_more() -> None:
    machine = Machine()
    assert machine.run(others=3.0) == 1
    assert machine.run(seconds=4 * INTERVAL_SECONDS) == 4


def test_what_ran_while_the_thread_rested_does_not_count() -> None:
    machine = Machine()
    assert machine.run(others=3.0) == 1
    clock, busy, used, of_python = machine.usage
    machine.usage = CpuUsage(clock + 60, busy + 180, used, of_python)
    assert machine.cores.number(clock + 60, rested=60) == 4
    assert machine.run(others=3.0, seconds=INTERVAL_SECONDS) == 1


def test_what_ran_beside_a_step_of_many_seconds_counts() -> None:
    """A step is that long where it waits for a core: with more threads it would wait longer."""
    machine = Machine()
    clock, busy, used, of_python = machine.usage
    machine.usage = CpuUsage(clock + 60, busy + 180, used, of_python)
    assert machine.cores.number(clock + 60) == 1


def test_one_looks_only_now_and_then() -> None:
    machine = Machine()
    for _ in range(100):
        machine.cores.number(INTERVAL_SECONDS / 2)
    assert machine.num_looks == 1


def test_where_the_figures_are_hidden_all_cores_are_used() -> None:
    def hidden() -> CpuUsage:
        raise FileNotFoundError("/proc/stat")

    cores = FreeCores(4, hidden)
    assert [cores.number(seconds) for seconds in (0.0, 1.0, 2.0)] == [4, 4, 4]


def test_the_real_usage_grows_by_the_work_of_a_thread() -> None:
    before = usage_now()
    done = threading.Event()

    def work() -> None:
        while usage_now().own - before.own < 0.1:
            sum(range(10_000))
        done.set()
        keep.wait()

    keep = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    done.wait()
    after = usage_now()
    keep.set()
    thread.join()
    assert after.own - before.own >= 0.1
    assert after.busy - before.busy >= 0.05
    assert after.python - before.python >= 0.05
