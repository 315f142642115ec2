"""What a server reports where it cannot listen."""

from __future__ import annotations

import pytest

from pensieve.cli.serve.listener import bind, cannot_listen


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
def test_an_address_of_another_machine_is_fixed_by_another_host(host: str) -> None:
    with pytest.raises(OSError) as refused:  # noqa: PT011 - the message is the system's
        bind(host, 0)
    assert cannot_listen(host, 0, refused.value).endswith("; choose another with --host")


def test_a_port_in_use_is_fixed_by_another_port() -> None:
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(OSError) as refused:  # noqa: PT011
            bind("127.0.0.1", port)
    assert cannot_listen("127.0.0.1", port, refused.value).endswith("; choose another with --port")
