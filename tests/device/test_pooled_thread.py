import threading
import weakref

import pytest

from pensieve.device.pooled_thread import PooledThread


def ran_on(num_runs: int) -> list[int | None]:
    """The threads of that many runs, one after another."""
    idents: list[int | None] = []
    for _ in range(num_runs):
        thread = PooledThread(lambda: idents.append(threading.current_thread().ident), name="reused")
        thread.start()
        thread.join()
    return idents


def test_a_thread_is_used_again_when_its_work_is_done() -> None:
    before = threading.active_count()
    assert len(set(ran_on(5))) == 1
    assert threading.active_count() <= before + 1


def test_work_that_runs_at_once_has_a_thread_each() -> None:
    meeting = threading.Barrier(3, timeout=300)

    def meet() -> None:
        meeting.wait()

    threads = [PooledThread(meet, name="reused") for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not meeting.broken


def test_work_that_fails_is_told_and_its_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("a fault of ours")

    thread = PooledThread(fail, name="reused")
    thread.start()
    thread.join()
    assert "a fault of ours" in caplog.text
    assert len(ran_on(2)) == 2


def test_what_ran_is_not_held() -> None:
    class Held:
        def run(self) -> None:
            return

    held = Held()
    gone = weakref.ref(held)
    thread = PooledThread(held.run, name="reused")
    thread.start()
    thread.join()
    del held, thread
    ran_on(1)
    assert gone() is None
