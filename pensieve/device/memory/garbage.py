"""Python's search for garbage, which stops all threads.

It takes 50 ms among the objects of a server that has just started, and no stream goes on meanwhile. A request of tens
of thousands of turns causes ten searches.
"""

from __future__ import annotations

import gc

_is_settled = False


def settle() -> None:
    """From now on, searches leave out what is alive now."""
    global _is_settled  # noqa: PLW0603 - as the collector, it belongs to the process
    _is_settled = True
    collect()


def collect() -> None:
    """Free all garbage, also of what was alive when it was settled."""
    if _is_settled:
        gc.unfreeze()
    gc.collect()
    if _is_settled:
        gc.freeze()
