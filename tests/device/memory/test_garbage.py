"""After the start, automatic garbage collections look only at what came later; an unloaded model is still freed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pensieve.device.memory.garbage import Garbage


class _Circle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    yield Garbage()
    gc.freeze()  # as before all tests


def test_what_is_alive_at_the_start_is_left_out_of_later_collections(garbage: Garbage) -> None:
    circle = _Circle()
    assert any(each is circle for each in gc.get_objects())
    garbage.settle()
    assert not any(each is circle for each in gc.get_objects())


def test_what_was_alive_at_the_start_is_freed_all_the_same(garbage: Garbage) -> None:
    circle = _Circle()
    freed = weakref.ref(circle)
    garbage.settle()
    del circle
    gc.collect()
    assert freed() is not None, "an ordinary collection leaves it out"
    garbage.collect()
    assert freed() is None
