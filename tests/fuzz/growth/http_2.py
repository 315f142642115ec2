"""What a connection of HTTP/2 may have more of: headers, frames, settings, streams. A script answers."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import hpack
import psutil

from perf_gates.loads.servers import serving
from tests.fuzz.growth.search import MAX_BYTES, OK, Cost

_DATA, _HEADERS, _PRIORITY, _RESET, _SETTINGS, _PUSH, _PING, _WINDOW, _CONTINUATION = 0, 1, 2, 3, 4, 5, 6, 8, 9
_END_STREAM, _END_HEADERS, _PADDED, _ACK = 1, 4, 8, 1
_FRAME_BYTES: Final = 16_384
_BODY: Final = json.dumps(
    {"model": "claude-any", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
).encode()
Pairs = Iterable[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


_START: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0)
_LAST_PING: Final = b"lastping"


def _block(more: Pairs = (), *, post: bool = False, path: str = "/health", huffman: bool = False) -> bytes:
    method, path = ("POST", "/v1/messages") if post else ("GET", path)
    pairs = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost"), *more]
    return bytes(hpack.Encoder().encode(pairs, huffman=huffman))


def _get(block: bytes, part_bytes: int = _FRAME_BYTES) -> bytes:
    """A request without a body, whose header block comes in frames of this size."""
    first, *rest = [block[at : at + part_bytes] for at in range(0, len(block), part_bytes)]
    kinds = [_HEADERS, *[_CONTINUATION] * len(rest)]
    flags = [0] * len(rest) + [_END_HEADERS]
    frames = [frame(kind, flag, 1, part) for kind, flag, part in zip(kinds, flags, [first, *rest], strict=True)]
    return b"".join([frames[0][:4] + bytes([frames[0][4] | _END_STREAM]) + frames[0][5:], *frames[1:]])


def _posted(*parts: bytes) -> bytes:
    """A request whose body has these frames before it."""
    head = frame(_HEADERS, _END_HEADERS, 1, _block([("content-type", "application/json")], post=True))
    return b"".join([head, *parts, frame(_DATA, _END_STREAM, 1, _BODY)])


def _gets(number: int, also: Callable[[int], bytes] = lambda _: b"") -> bytes:
    head = _END_STREAM | _END_HEADERS
    return b"".join(frame(_HEADERS, head, 2 * at + 1, _block()) + also(2 * at + 1) for at in range(number))


def _setting(number: int, value: int) -> bytes:
    return struct.pack(">HI", number, value)


def _depends(stream: int, on: int) -> bytes:
    return frame(_PRIORITY, 0, stream, struct.pack(">IB", on, 1))


def _reset(stream: int) -> bytes:
    return frame(_RESET, 0, stream, b"\0\0\0\x08")


def _flips(number: int) -> bytes:
    """A long chain of streams, whose order is turned round again and again."""
    chain = b"".join(_depends(2 * at + 3, 2 * at + 1) for at in range(400))
    return chain + b"".join(_depends(1, 801) if at % 2 else _depends(801, 0) for at in range(number))


FRAMES: Final[Mapping[str, Callable[[int], bytes]]] = {
    "headers": lambda n: _get(_block((f"x-{at}", "v") for at in range(n))),
    "cookies": lambda n: _get(_block(("cookie", f"a{at}=b") for at in range(n))),
    "a long header": lambda n: _get(_block([("x-a", "v" * n)])),
    "a long header in Huffman's code": lambda n: _get(_block([("x-a", "0" * n)], huffman=True)),
    "a long name": lambda n: _get(_block([("x" * n, "v")])),
    "a long path": lambda n: _get(_block(path="/" + "a" * n)),
    "parts of a query": lambda n: _get(_block(path="/v1/models?" + "&".join(f"a{at}=1" for at in range(n)))),
    "continuations of one byte": lambda n: _get(_block([("x-a", "v" * n)]), 1),
    "empty continuations": lambda n: (
        frame(_HEADERS, _END_STREAM, 1, _block())
        + frame(_CONTINUATION, 0, 1) * n
        + frame(_CONTINUATION, _END_HEADERS, 1)
    ),
    "repetitions of a header": lambda n: _get(_block([("x-a", "v" * 3900), *[("x-a", "v" * 3900)] * n])),
    "sizes of the table": lambda n: _get(b"\x20\x3f\xe1\x1f" * n + _block()),
    "trailers": lambda n: (
        _posted()[: -9 - len(_BODY)]
        + frame(_DATA, 0, 1, _BODY)
        + _get(bytes(hpack.Encoder().encode([(f"t{at}", "v") for at in range(n)], huffman=False)))
    ),
    "priorities": lambda n: b"".join(_depends(2 * at + 1, 0) for at in range(n)),
    "a chain of priorities": lambda n: b"".join(_depends(2 * at + 3, 2 * at + 1) for at in range(n)),
    "turns of a chain of priorities": _flips,
    "window updates": lambda n: frame(_WINDOW, 0, 0, b"\0\0\0\1") * n,
    "window updates of a closed stream": lambda n: _gets(1, _reset) + frame(_WINDOW, 0, 1, b"\0\0\0\1") * n,
    "settings": lambda n: frame(_SETTINGS, 0, 0) * n,
    "settings in one frame": lambda n: frame(_SETTINGS, 0, 0, _setting(4, 1000) * min(n, 2730)) * max(1, n // 2730),
    "windows beside open streams": lambda n: (
        b"".join(frame(_HEADERS, _END_HEADERS, 2 * at + 1, _block(post=True)) for at in range(90))
        + b"".join(frame(_SETTINGS, 0, 0, _setting(4, 1000 + at % 2)) for at in range(n))
    ),
    "pings": lambda n: frame(_PING, 0, 0, b"12345678") * n,
    "answers to pings": lambda n: frame(_PING, _ACK, 0, b"12345678") * n,
    "requests": _gets,
    "resets": lambda n: _gets(n, _reset),
    "data of a closed stream": lambda n: _gets(1, _reset) + frame(_DATA, 0, 1, b"a") * n,
    "data of one byte": lambda n: _posted(frame(_DATA, 0, 1, b" ") * n),
    "empty data": lambda n: _posted(frame(_DATA, 0, 1) * n),
    "padding": lambda n: _posted(frame(_DATA, _PADDED, 1, b"\xff " + b"\0" * 255) * n),
    "unknown frames": lambda n: frame(0x63, 0, 0) * n,
    "promises": lambda n: frame(_PUSH, _END_HEADERS, 1, b"\0\0\0\2") * n,
}


class PlayedServer:
    def __init__(self, pid: int, port: int) -> None:
        self._process, self._port = psutil.Process(pid), port

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[PlayedServer]:
        script = folder / "script.toml"
        script.write_text('[[reply]]\ntext = "Hello."\n', encoding="utf-8")
        with serving("--script", str(script), "--log-level", "error") as server:
            yield cls(server.pid, int(server.url.rpartition(":")[2]))

    def cost(self, frames: Callable[[int], bytes], size: int) -> Cost:
        data = frames(size)[: 2 * MAX_BYTES]
        before = self._seconds()
        self._exchange(_START + data + frame(_PING, 0, 0, _LAST_PING))
        return Cost(self._seconds() - before, 0.0, OK, len(data))

    def _exchange(self, data: bytes) -> None:
        """Send all, and read until the last ping is answered or the connection closed."""
        with contextlib.closing(socket.create_connection(("127.0.0.1", self._port), 600)) as connection:
            connection.settimeout(0)
            received, sent = bytearray(), 0
            while True:
                try:
                    sent += connection.send(data[sent : sent + 65_536])
                except BlockingIOError:
                    pass
                except OSError:  # closed by the server, which may be its right
                    return
                connection.settimeout(0.01 if sent < len(data) else 600)
                try:
                    part = connection.recv(65_536)
                except (TimeoutError, BlockingIOError):
                    continue
                except OSError:
                    return
                received = (received + part)[-100_000:]
                if not part or _LAST_PING in received:
                    return

    def _seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
