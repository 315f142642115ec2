import threading
import weakref

import pytest

from pensieve.device.threads.pooled_thread import PooledThread


def ran_on(num_runs: int) -> list[int | None]:
    """The threads of `num_runs` runs, one after another."""
    idents: list[int | None] = []
    for _ in range(num_runs):
        thread = PooledThread(lambda: idents.append(threading.current_thread().ident), name="reused")
        thread.start()
        thread.join()
    return idents


def test_a_thread_is_reused_after_its_target_returns() -> None:
    before = threading.active_count()
    assert len(set(ran_on(5))) == 1
    assert threading.active_count() <= before + 1


def test_concurrent_targets_get_threads_of_their_own() -> None:
    meeting = threading.Barrier(3, timeout=300)

    def meet() -> None:
        meeting.wait()

    threads = [PooledThread(meet, name="reused") for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not meeting.broken


def test_an_error_of_a_target_is_logged_and_the_thread_is_reused(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("a fault of ours")

    thread = PooledThread(fail, name="reused")
    thread.start()
    thread.join()
    assert "a fault of ours" in caplog.text
    assert len(ran_on(2)) == 2


def test_a_target_is_released_after_it_ran() -> None:
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
