"""`pensieve models`: lists, downloads, imports, shows and removes models (U3)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pensieve.cli.sizes import format_size
from pensieve.core.errors import PensieveError
from pensieve.models.library.user_path import is_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from pensieve.models.hub.name import HubName

SHORT_FORMS: Final = ("list", "pull", "rm", "show")
"""The actions that are commands as well."""
_NAMES: Final = """
A model has the same name in every command: smollm2-135m (the embedded model), a name given with `import`, an alias from
`list --available`, the path of a folder or .gguf file, or on the Hugging Face hub organisation/name or
organisation/name/file.gguf, each with an optional @REVISION.
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "models",
        help="list, download, import, show or remove models",
        description="Manage the models on this machine.",
        epilog=_NAMES,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_list(actions)
    _add_pull(actions)
    _add_import(actions)
    _add_show(actions)
    _add_remove(actions, "remove", aliases=["rm"])


def add_short_forms(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `pensieve pull` and its siblings beside `pensieve models pull`."""
    _add_pull(commands)
    _add_list(commands)
    _add_show(commands)
    _add_remove(commands, "rm")


def _add_list(actions: argparse._SubParsersAction[Any]) -> None:
    parser = actions.add_parser("list", help="list the models on this machine")
    parser.add_argument(
        "--available", action="store_true", help="list the curated models instead, by the memory of the machine"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(action="list")


def _add_pull(actions: argparse._SubParsersAction[Any]) -> None:
    parser = actions.add_parser(
        "pull", help="download a model from the Hugging Face hub, or update it to its newest revision"
    )
    parser.add_argument("name", metavar="MODEL", help="organisation/name, organisation/name/file.gguf, or an alias")
    parser.add_argument("--revision", help="a branch, tag or commit, the same as NAME@REVISION (default: main)")
    parser.set_defaults(action="pull")


def _add_show(actions: argparse._SubParsersAction[Any]) -> None:
    parser = actions.add_parser("show", help="show details of a model, and whether it fits this machine")
    parser.add_argument("name", metavar="MODEL")
    parser.set_defaults(action="show")


def _add_remove(actions: argparse._SubParsersAction[Any], word: str, aliases: Sequence[str] = ()) -> None:
    parser = actions.add_parser(word, aliases=aliases, help="delete a model, unless a running server uses it")
    parser.add_argument("name", metavar="MODEL")
    parser.set_defaults(action="remove")


def _add_import(actions: argparse._SubParsersAction[Any]) -> None:
    parser = actions.add_parser("import", help="give a name to a .gguf file, a model folder or an adapter")
    parser.add_argument("path", metavar="PATH", nargs="?", type=Path, help="the .gguf file, or the folder")
    parser.add_argument("--name", help="the name of the model (default: that of the file or folder)")
    parser.add_argument("--copy", action="store_true", help="copy the folder, instead of using it in place")
    parser.add_argument(
        "--adapter", metavar="PATH", type=Path, help="the folder of a LoRA adapter, as mlx_lm.lora writes it"
    )
    parser.add_argument("--base", metavar="MODEL", help="the model that the adapter was trained on")
    parser.set_defaults(action="import")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status, 2 for wrong usage."""
    from pensieve.cli.models.in_use import ModelInUseError  # noqa: PLC0415 - not needed for --help

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
        hint = "; the next pull resumes the download" if arguments.action == "pull" else ""
        print(f"pensieve: stopped{hint}", file=sys.stderr)
        return 130


def _list(arguments: argparse.Namespace) -> int:
    from pensieve.cli.models import tables  # noqa: PLC0415
    from pensieve.models.library.inventory import local_models  # noqa: PLC0415

    models = local_models()
    if arguments.available:
        print(tables.available_json(models) if arguments.json else tables.available_table(models))
    else:
        print(tables.local_json(models) if arguments.json else tables.local_table(models))
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
        print(f"{source} is on this machine: {resolve(source, progress=progress).path}")
        return 0
    name = parse_hub_source(source)
    if name is None or (arguments.revision and name.revision):
        print(f"pensieve: {source}: {_pull_problem(source, name)}", file=sys.stderr)
        return 2
    name = replace(name, revision=arguments.revision or name.revision)
    copy = pull(name, progress)
    pin(name.bare, copy.commit)
    if name.file is not None:
        resolve(str(name), progress=progress)
    print(f"{source} is on this machine, at revision {copy.commit}. It changes only when you pull it again.")
    return 0


def _pull_problem(source: str, name: HubName | None) -> str:
    """Why the source cannot be pulled: it is not a hub name, or already has a revision."""
    from pensieve.models.library.source import closest, known_names  # noqa: PLC0415

    if name is None:
        return f"not a name on the hub, which looks like organisation/name.{closest(source, known_names())}"
    if str(name) == source:
        return "has two revisions: use either @REVISION or --revision"
    return f"an alias stands for one revision; pull another one by name: {name.bare}@REVISION"


def _import(arguments: argparse.Namespace) -> int:
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.library.importing import import_adapter, import_model  # noqa: PLC0415

    progress = ConsoleProgress()
    if arguments.adapter is not None:
        if arguments.path is not None or not (arguments.base and arguments.name):
            print("pensieve: to import an adapter, use --adapter PATH --base MODEL --name NAME", file=sys.stderr)
            return 2
        model = import_adapter(
            arguments.adapter, arguments.base, arguments.name, copy=arguments.copy, progress=progress
        )
    elif arguments.path is None or arguments.base:
        print("pensieve: nothing to import: give a PATH, or --adapter PATH --base MODEL --name NAME", file=sys.stderr)
        return 2
    else:
        model = import_model(arguments.path, arguments.name, copy=arguments.copy, progress=progress)
    print(f"Imported {model.name}. Serve it with: pensieve serve --model {model.name}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from pensieve.cli.models import tables  # noqa: PLC0415
    from pensieve.models.library.inventory import require_local  # noqa: PLC0415

    print("\n".join(tables.details(require_local(arguments.name))))
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from pensieve.cli.models.in_use import require_unused  # noqa: PLC0415
    from pensieve.models.library.inventory import require_local  # noqa: PLC0415
    from pensieve.models.library.removal import remove  # noqa: PLC0415

    model = require_local(arguments.name)
    require_unused(model)
    freed_bytes = remove(model)
    kept = f"; its files stay in {model.path}" if not freed_bytes and is_folder(model.path) else ""
    print(f"Removed {model.name}, {format_size(freed_bytes)} freed{kept}")
    return 0
