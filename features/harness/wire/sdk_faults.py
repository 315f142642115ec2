"""An answer that an SDK cannot handle is the server's failure, not an error in the suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def answers_accepted_by(sdk: str) -> Iterator[None]:
    """Turn every exception of the SDK into a failure of the scenario.

    Raises:
        AssertionError: in place of any other exception.
    """
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"expected {sdk} to accept the answer\n  actual {error!r}") from error
