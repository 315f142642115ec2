"""Python's garbage collection, which stops all threads.

It takes 50 ms among the objects of a server that has just started, and no stream goes on meanwhile. A request of tens
of thousands of turns causes ten collections.
"""

from __future__ import annotations

import gc
from typing import Final


class Garbage:
    """Use one for the process: the collector belongs to it."""

    def __init__(self) -> None:
        self._is_settled = False

    def settle(self) -> None:
        """From now on, automatic collections leave out what is alive now."""
        self._is_settled = True
        self.collect()

    def collect(self) -> None:
        """Free all garbage, also of what was alive when it was settled."""
        if self._is_settled:
            gc.unfreeze()
        gc.collect()
        if self._is_settled:
            gc.freeze()


GARBAGE: Final = Garbage()
