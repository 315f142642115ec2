"""Connects the official SDK, with strict response validation, to `pensieve serve` in another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anthropic

from perf_gates.loads.servers import serving as serving_process


@contextmanager
def serving(*arguments: str) -> Iterator[anthropic.Anthropic]:
    """Yield a client of `pensieve serve` with these arguments and without a disk cache."""
    with (
        serving_process("--cache-disk", "0", *arguments) as server,
        anthropic.Anthropic(base_url=server.url, api_key="any", _strict_response_validation=True) as client,
    ):
        yield client
