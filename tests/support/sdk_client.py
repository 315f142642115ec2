"""The official SDK, strict, connected to a `pensieve serve` of its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anthropic

from perf_gates.loads.servers import serving as serving_process


@contextmanager
def serving(*arguments: str) -> Iterator[anthropic.Anthropic]:
    """A client of `pensieve serve` with these arguments and no cache on disk, until the block ends."""
    with (
        serving_process("--cache-disk", "0", *arguments) as served,
        anthropic.Anthropic(base_url=served.url, api_key="any", _strict_response_validation=True) as client,
    ):
        yield client
