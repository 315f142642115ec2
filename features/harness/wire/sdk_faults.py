"""What an SDK cannot take is the server's fault: a failure of the rule, and no error of the suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def answers_taken_by(sdk: str) -> Iterator[None]:
    """Within it, whatever the SDK raises says that it did not get what it expects.

    Raises:
        AssertionError: in place of any other error.
    """
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"expected {sdk} to take the answer\n  actual {error!r}") from error
