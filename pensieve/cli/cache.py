"""`pensieve cache`: what is kept of prompts on disk, shown, pruned and cleared. Safe while servers run."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pensieve.engine.prompt_cache.disk.folder import KVFolder, StoredBlock

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to those of `pensieve`. What is parsed by it is for `run`."""
    parser = commands.add_parser(
        "cache",
        help="show, prune or clear what is kept of prompts on disk",
        description="What was computed of prompts is kept on disk, so that it is not computed again after a restart.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("show", help="say what is kept")
    prune = actions.add_parser("prune", help="delete the least recently used, and what is damaged")
    prune.add_argument(
        "--to-bytes",
        type=_bytes,
        default=None,
        metavar="N",
        help="how much may stay, such as 500M or 2G (default: all that is not damaged)",
    )
    actions.add_parser("clear", help="delete everything")


def run(arguments: argparse.Namespace) -> int:
    """The process's exit status."""
    from pensieve.engine.prompt_cache.disk.folder import KVFolder  # noqa: PLC0415 - --help answers without it
    from pensieve.models.files.home import home  # noqa: PLC0415

    folder = KVFolder(home() / "kv")
    try:
        if arguments.action == "show":
            folder.scan()
            _show(folder)
        elif arguments.action == "prune":
            _prune(folder, arguments.to_bytes)
        else:
            _prune(folder, 0)
    except OSError as error:
        print(f"pensieve: {folder.path} cannot be changed: {error}", file=sys.stderr)
        return 1
    return 0


def _show(folder: KVFolder) -> None:
    print(f"{folder.path}: {_amount(len(folder.blocks), 'file')}, {_size(folder.num_bytes)}")
    by_model: dict[str, list[StoredBlock]] = {}
    for block in folder.blocks.values():
        by_model.setdefault(block.fingerprint, []).append(block)
    for fingerprint, blocks in sorted(by_model.items()):
        num_tokens = sum(len(block.token_ids) for block in blocks)
        used = datetime.fromtimestamp(max(block.used_at for block in blocks), UTC)
        print(
            f"  model {fingerprint[:12]}: {num_tokens} tokens, {_size(sum(block.num_bytes for block in blocks))}, "
            f"last used {used:%Y-%m-%d %H:%M} UTC"
        )
    if folder.aside_bytes():
        print(f"  set aside as damaged: {_size(folder.aside_bytes())}")


def _prune(folder: KVFolder, to_bytes: int | None) -> None:
    if not folder.path.is_dir():
        print(f"{folder.path}: nothing is kept")
        return
    with folder.locked():
        folder.scan()
        before = folder.num_bytes + folder.aside_bytes()
        folder.delete_aside()
        folder.make_room(0, folder.num_bytes if to_bytes is None else to_bytes)
    after = folder.num_bytes
    print(f"{folder.path}: {_size(before - after)} deleted, {_size(after)} left")


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([kmgt]i?)?b?", text.strip().lower())
    if found is None or (found[2] or "") not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 500000000, 500M or 2G")
    return int(found[1]) * _UNITS[found[2] or ""]


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes < 10**9 else f"{num_bytes / 1e9:.2f} GB"


def _amount(number: int, of_what: str) -> str:
    return f"{number} {of_what}{'' if number == 1 else 's'}"
