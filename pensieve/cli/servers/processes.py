"""The processes of `pensieve serve` on this machine. Those of other users are invisible."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psutil

_CHILD_MODULE: Final = "pensieve.cli.process.parent_watch"


@dataclass(frozen=True, slots=True)
class ServingProcess:
    """`process` is the one to signal: the supervisor if there is one. `url` is None until the model is loaded."""

    process: psutil.Process
    url: str | None


def server_processes() -> Iterator[ServingProcess]:
    import psutil  # noqa: PLC0415 - the supervisor of a server does without it

    found = {process.pid: process for process in psutil.process_iter() if is_server(_command(process))}
    for process in found.values():
        try:
            if process.ppid() not in found:
                yield ServingProcess(process, _url(process))
        except psutil.Error:
            continue


def is_server(command: Sequence[str]) -> bool:
    """`…/pensieve serve …`, `python -m pensieve serve …`, or the same under another process that it ends with."""
    if _CHILD_MODULE in command:
        rest = command[command.index(_CHILD_MODULE) + 2 :]  # after the id of the other process
        return rest[:1] == ["serve"]
    pairs = itertools.pairwise(command)
    return any(second == "serve" and first.rpartition("/")[2].startswith("pensieve") for first, second in pairs)


def _command(process: psutil.Process) -> list[str]:
    import psutil  # noqa: PLC0415 - the supervisor of a server does without it

    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _url(process: psutil.Process) -> str | None:
    import psutil  # noqa: PLC0415 - the supervisor of a server does without it

    for connection in process.net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(connection.laddr.ip, connection.laddr.ip)  # noqa: S104
            return f"http://{f'[{host}]' if ':' in host else host}:{connection.laddr.port}"
    return None
