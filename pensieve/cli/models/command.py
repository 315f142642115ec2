"""`pensieve models`: what is on this machine, and how it comes and goes (U3)."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pensieve.core.errors import PensieveError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pensieve.models.hub.name import HubName

_PLACES = """
A model is named the same everywhere: smollm2-135m (the embedded one), a name given by `import`, an alias of
`list --available`, organisation/name of the Hugging Face hub, organisation/name/file.gguf of it, either with
@REVISION, or the path of a folder or .gguf file.
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to those of `pensieve`. What is parsed by it is for `run`."""
    parser = commands.add_parser(
        "models",
        help="list, pull, import, show or remove models",
        description="The models on this machine, and how they come and go.",
        epilog=_PLACES,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="say which models are here")
    listing.add_argument("--available", action="store_true", help="the curated ones instead, by the size of machine")
    listing.add_argument("--json", action="store_true", help="for programs")
    pull = actions.add_parser("pull", help="fetch a model from the Hugging Face hub, or its newest revision")
    pull.add_argument("name", metavar="NAME", help="organisation/name, organisation/name/file.gguf, or an alias")
    pull.add_argument("--revision", help="a branch, tag or commit; NAME@REVISION says the same (default: main)")
    _add_import(actions)
    show = actions.add_parser("show", help="say what is known of a model, and whether it fits")
    show.add_argument("name", metavar="NAME")
    remove = actions.add_parser("remove", help="delete a model that no running server uses")
    remove.add_argument("name", metavar="NAME")


def _add_import(actions: argparse._SubParsersAction[Any]) -> None:
    parser = actions.add_parser("import", help="name a .gguf file, a folder in mlx-lm's form, or an adapter on a base")
    parser.add_argument("path", metavar="PATH", nargs="?", type=Path, help="the .gguf file, or the folder")
    parser.add_argument("--name", help="what it is to be called (default: as the file or folder is)")
    parser.add_argument("--copy", action="store_true", help="copy a folder, instead of reading it where it is")
    parser.add_argument("--adapter", metavar="PATH", type=Path, help="an adapter's folder, as mlx_lm.lora writes it")
    parser.add_argument("--base", metavar="MODEL", help="the model that the adapter goes on")


def run(arguments: argparse.Namespace) -> int:
    """The process's exit status: 2 where it was asked wrongly."""
    from pensieve.cli.models.in_use import ModelInUseError  # noqa: PLC0415 - --help answers without it

    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list,
        "pull": _pull,
        "import": _import,
        "show": _show,
        "remove": _remove,
    }
    try:
        return actions[arguments.action](arguments)
    except (PensieveError, ModelInUseError) as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = "; what has arrived is kept, and the next pull goes on with it" if arguments.action == "pull" else ""
        print(f"pensieve: stopped{kept}", file=sys.stderr)
        return 130


def _list(arguments: argparse.Namespace) -> int:
    from pensieve.cli.models import tables as models_said  # noqa: PLC0415
    from pensieve.models.library.inventory import local_models  # noqa: PLC0415

    models = local_models()
    if arguments.available:
        print(models_said.available_as_json(models) if arguments.json else models_said.available(models))
    else:
        print(models_said.here_as_json(models) if arguments.json else models_said.here(models))
    return 0


def _pull(arguments: argparse.Namespace) -> int:
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.hub.pins import pin  # noqa: PLC0415
    from pensieve.models.hub.pull import pull  # noqa: PLC0415
    from pensieve.models.library.embedded import SMOLLM2  # noqa: PLC0415
    from pensieve.models.library.resolve import resolve  # noqa: PLC0415
    from pensieve.models.library.source import parse_hub_source  # noqa: PLC0415

    source, progress = arguments.name, ConsoleProgress()
    if source == SMOLLM2.name:
        print(f"{source} is here: {resolve(source, progress=progress).path}")
        return 0
    wanted = parse_hub_source(source)
    if wanted is None or (arguments.revision and wanted.revision):
        print(f"pensieve: {source}: {_why_not(source, wanted)}", file=sys.stderr)
        return 2
    wanted = replace(wanted, revision=arguments.revision or wanted.revision)
    copy = pull(wanted, progress)
    pin(wanted.bare, copy.commit)
    if wanted.file is not None:
        resolve(str(wanted), progress=progress)
    print(f"{source} is here, at revision {copy.commit}; it stays at that until it is pulled again.")
    return 0


def _why_not(source: str, wanted: HubName | None) -> str:
    """What is wrong with what is to be pulled: the name, or a second revision."""
    from pensieve.models.library.source import closest, known_names  # noqa: PLC0415

    if wanted is None:
        return f"that is no name of the hub's, like organisation/name.{closest(source, known_names())}"
    if str(wanted) == source:
        return "its revision is said twice."
    return f"an alias stands for one revision; pull another by its name: {wanted.bare}@REVISION"


def _import(arguments: argparse.Namespace) -> int:
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.library.importing import import_adapter, import_model  # noqa: PLC0415

    progress = ConsoleProgress()
    if arguments.adapter is not None:
        if arguments.path is not None or not (arguments.base and arguments.name):
            print("pensieve: an adapter is imported by --adapter PATH --base MODEL --name NAME", file=sys.stderr)
            return 2
        model = import_adapter(
            arguments.adapter, arguments.base, arguments.name, copy=arguments.copy, progress=progress
        )
    elif arguments.path is None or arguments.base:
        print("pensieve: import what? Give a PATH, or --adapter PATH --base MODEL --name NAME", file=sys.stderr)
        return 2
    else:
        model = import_model(arguments.path, arguments.name, copy=arguments.copy, progress=progress)
    print(f"{model.name} is here; serve it with: pensieve serve --model {model.name}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from pensieve.cli.models import tables as models_said  # noqa: PLC0415
    from pensieve.models.library.inventory import require_local  # noqa: PLC0415

    print("\n".join(models_said.one(require_local(arguments.name))))
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from pensieve.cli.models.in_use import require_unused  # noqa: PLC0415
    from pensieve.cli.models.tables import size  # noqa: PLC0415
    from pensieve.models.library.inventory import require_local  # noqa: PLC0415
    from pensieve.models.library.removal import remove  # noqa: PLC0415

    model = require_local(arguments.name)
    require_unused(model)
    freed = remove(model)
    stays = "" if freed else f"; its files stay where they are: {model.path}" if model.path.exists() else ""
    print(f"{model.name} is removed, {size(freed)} freed{stays}")
    return 0
