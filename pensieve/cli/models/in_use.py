"""Whether a server on this machine uses a model, so that it must not be removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from pensieve.cli.launch.running_servers import LaunchError, served_names
from pensieve.cli.servers.processes import server_processes
from pensieve.cli.settings.read import configured_text
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.inventory import LocalModel


class ModelInUseError(Exception):
    """A running server uses the model. The message names the server."""


def require_unused(model: LocalModel) -> None:
    """
    Raises:
        ModelInUseError: a visible server serves the model, drafts with it, or was started with it.
    """
    names = {*_served_names(model)}
    for process, url in _listening():
        try:
            served = names.intersection(served_names(url, configured_text("api_key")))
        except LaunchError:  # it needs a key, or is still starting: its command line has to do
            served = names.intersection({*_named_models(process)})
        served -= _names_of_other_folders(process, model.path)
        if served:
            raise ModelInUseError(
                f"the server at {url} (process {process.pid}) uses it as {min(served)}; stop that server first"
            )


def _served_names(model: LocalModel) -> Iterator[str]:
    """The ids that a server may give the model: its names, and what its path is shortened to."""
    yield from (model.name, str(model.path))
    yield from model.aliases
    if model.hub is not None:
        yield from (model.hub.bare, f"{model.hub.bare}@{model.revision}", model.path.stem)
    elif model.kind == "conversion":
        yield model.path.name.rpartition("-")[0]
    else:
        yield model.path.name


def _listening() -> Iterator[tuple[psutil.Process, str]]:
    yield from ((server.process, server.url) for server in server_processes() if server.url is not None)


def _named_models(process: psutil.Process) -> list[str]:
    """All words of a server's command line and model variables, and the embedded model if none names a model."""
    try:
        command, environment = process.cmdline(), process.environ()
    except psutil.Error:
        return []
    variables = [environment[name] for name in ("PENSIEVE_MODEL", "PENSIEVE_ALLOW_MODELS") if environment.get(name)]
    words = [word for text in (*command, *variables) for word in text.rpartition("=")[2].split(",")]
    serve = command.index("serve") + 1 if "serve" in command else len(command)
    names_a_model = (
        bool(variables)
        or any(word.startswith("--model") for word in command)
        or any(not word.startswith("-") for word in command[serve : serve + 1])
    )
    draft_model = environment.get("PENSIEVE_DRAFT_MODEL", "")
    return [*words, draft_model] if names_a_model else [*words, draft_model, SMOLLM2.name]


def _names_of_other_folders(process: psutil.Process, path: Path) -> set[str]:
    """What a server calls the folders that its command line names by a path, other than `path`."""
    try:
        here, words = process.cwd(), _named_models(process)
    except psutil.Error:
        return set()
    folders = {Path(here, word).resolve() for word in words if os.sep in word}
    return {folder.name for folder in folders} if path.resolve() not in folders else set()
