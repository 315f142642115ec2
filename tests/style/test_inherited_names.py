"""Classes stay out of what those that they extend keep private, where another distribution has written them."""

from __future__ import annotations

import ast

import pytest

from tests.style.inherited_names import inherited_in, inherited_of

SERVER = "from hypercorn.asyncio.tcp_server import TCPServer\nclass A(TCPServer):\n "


def test_no_class_overrides_or_uses_what_its_base_keeps_private() -> None:
    assert [*map(str, inherited_in("pensieve", "contracts", "features"))] == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (SERVER + "async def _read_data(self): pass", "A._read_data"),
        (SERVER + "async def run(self):\n  await self._close()", "A._close"),
        (SERVER + "def run(self):\n  self._own = 1", ""),
        ("from hypercorn.asyncio import tcp_server\nclass A(tcp_server.TCPServer):\n _close = None", "A._close"),
        ("import hypercorn.asyncio.tcp_server as tcp\nclass A(tcp.TCPServer):\n _close = None", "A._close"),
        ("class A(B):\n def _close(self): pass", ""),
    ],
)
def test_what_counts_as_inherited(code: str, expected: str) -> None:
    assert [name for _, name in inherited_of(ast.parse(code))] == expected.split()
