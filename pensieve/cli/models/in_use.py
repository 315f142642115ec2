"""Whether a server that runs on this machine may be asked for a model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import psutil

from pensieve.cli.launch.running_servers import LaunchError, served_names
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.inventory import LocalModel


class ModelInUseError(Exception):
    """The message says by which server, and the mend."""


def require_unused(model: LocalModel) -> None:
    """
    Raises:
        ModelInUseError: a server that can be seen from here serves it or drafts with it, or was started for it.
    """
    names = {*_served_as(model)}
    for process, url in _servers():
        try:
            served = names.intersection(served_names(url, os.environ.get("PENSIEVE_API_KEY")))
        except LaunchError:  # it wants another key, or is busy starting: its own words have to do
            served = names.intersection({*_words(process)})
        if served:
            raise ModelInUseError(
                f"the server at {url} (process {process.pid}) uses it as {min(served)}; stop that server first"
            )


def _served_as(model: LocalModel) -> Iterator[str]:
    """The ids that a server may give it: its names, and what it is called where it is named by its place."""
    yield from (model.name, str(model.path))
    yield from model.aliases
    if model.hub is not None:
        yield from (model.hub.bare, f"{model.hub.bare}@{model.revision}", model.path.stem)
    elif model.kind == "conversion":
        yield model.path.name.rpartition("-")[0]
    else:
        yield model.path.name


def _servers() -> Iterator[tuple[psutil.Process, str]]:
    """Processes of `pensieve serve`, and where each listens. Those of other users cannot be seen."""
    for process in psutil.process_iter():
        try:
            if _is_server(process.cmdline()):
                for connection in process.net_connections("inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        host = connection.laddr.ip
                        yield process, f"http://{f'[{host}]' if ':' in host else host}:{connection.laddr.port}"
        except psutil.Error:
            continue


def _words(process: psutil.Process) -> list[str]:
    """What the server was told by its command and its environment; the embedded model, where no word is of models."""
    try:
        command, environment = process.cmdline(), process.environ()
    except psutil.Error:
        return []
    told = [environment[name] for name in ("PENSIEVE_MODEL", "PENSIEVE_ALLOW_MODELS") if environment.get(name)]
    words = [word for text in (*command, *told) for word in text.rpartition("=")[2].split(",")]
    names_model = bool(told) or any(word.startswith("--model") for word in command)
    drafting = environment.get("PENSIEVE_DRAFT_MODEL", "")
    return [*words, drafting] if names_model else [*words, drafting, SMOLLM2.name]


def _is_server(command: list[str]) -> bool:
    """`…/pensieve serve …`, or `python -m pensieve serve …`."""
    pairs = itertools.pairwise(command)
    return any(second == "serve" and first.rpartition("/")[2].startswith("pensieve") for first, second in pairs)
