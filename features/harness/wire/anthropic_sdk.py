"""Anthropic's Python SDK as a client of the target."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from features.harness.target.target import TargetServer
from features.harness.wire.sdk_faults import answers_accepted_by

if TYPE_CHECKING:
    import httpx2
    from anthropic import Anthropic


@contextlib.contextmanager
def official_sdk(
    target: TargetServer, api_key: str | None = None, *, local_address: str | None = None
) -> Iterator[Anthropic]:
    """The SDK as a client of the server under test. An answer that it cannot read fails the scenario."""
    import anthropic  # noqa: PLC0415 - an extra, and slow to import

    with (
        anthropic.Anthropic(
            base_url=target.url,
            api_key=api_key or target.api_key or "any",
            max_retries=0,
            http_client=_from_address(local_address) if local_address is not None else None,
            _strict_response_validation=True,
        ) as sdk,
        answers_accepted_by("the official SDK"),
    ):
        yield sdk


def _from_address(address: str) -> httpx2.Client:
    """The SDK's HTTP client, with connections from `address`."""
    import anthropic  # noqa: PLC0415 - as above
    import httpx2  # noqa: PLC0415 - comes with the SDK

    return anthropic.DefaultHttpxClient(transport=httpx2.HTTPTransport(local_address=address))
