"""Waits until the service answers, or has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pensieve.cli.launch.running_servers import ForeignServerError, LaunchError, find_server
from pensieve.cli.service.definition import ServiceError
from pensieve.cli.service.manager import ServiceState
from pensieve.cli.settings.settings import Settings

_POLL_SECONDS: Final = 0.5
_MAX_SECONDS: Final = 600.0
_MAX_POLLS_ENDED: Final = 4
"""A manager may take a moment to start the process."""
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to connect, not to listen


def url_of(settings: Settings) -> str:
    host = _ANY.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def answer_at(settings: Settings) -> str | None:
    """What answers at the service's address, as a phrase; None if nothing does.

    Raises:
        ForeignServerError: another program does.
    """
    try:
        server = find_server(url_of(settings), settings.api_key)
    except ForeignServerError:
        raise
    except LaunchError as error:
        return str(error)  # it needs a key that only its clients have, or is stopping
    return f"serving {server.model} at {server.url}" if server is not None else None


def wait_until_answering(
    settings: Settings, state: Callable[[], ServiceState], sleep: Callable[[float], None] = time.sleep
) -> str:
    """What answers, as a phrase. A model that has to be fetched first takes minutes, so the wait ends without an error.

    Raises:
        ServiceError: the service has ended.
        ForeignServerError: another program answers at its address.
    """
    num_ended = 0
    for _ in range(int(_MAX_SECONDS / _POLL_SECONDS)):
        found = answer_at(settings)
        if found is not None:
            return found
        now = state()
        num_ended = 0 if now.is_running else num_ended + 1
        if num_ended == _MAX_POLLS_ENDED:
            raise ServiceError(f"the service has ended: {now.details}")
        sleep(_POLL_SECONDS)
    return f"still starting; it will answer at {url_of(settings)}"
