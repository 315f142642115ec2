"""What a server reports where it cannot listen, and what its connections hold back."""

from __future__ import annotations

import contextlib
import socket

import pytest

from pensieve.cli.serve.listener import SEND_BUFFER_BYTES, bind, cannot_listen


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


def test_little_is_sent_ahead_to_a_client_that_does_not_read() -> None:
    """What the operating system holds for such a client looks as if it had read it: a whole answer would fit."""
    with contextlib.closing(bind("127.0.0.1", 0)) as listener, socket.socket() as client:
        listener.listen()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(listener.getsockname())
        with contextlib.closing(listener.accept()[0]) as connection:
            connection.settimeout(0)
            num_bytes = 0
            with contextlib.suppress(BlockingIOError):
                while num_bytes < 2**22:
                    num_bytes += connection.send(bytes(1000))
    assert num_bytes < 4 * SEND_BUFFER_BYTES
