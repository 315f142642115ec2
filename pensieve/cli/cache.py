"""`pensieve cache`: shows, prunes and clears the prompt cache on disk. Safe while servers run."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pensieve.cli.parser import argument_type
from pensieve.cli.sizes import Size, bytes_of, format_size, parse_size_or_share

if TYPE_CHECKING:
    from pensieve.engine.prompt_cache.disk.folder import KVFolder, StoredBlock


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "cache",
        help="show, prune or clear the prompt cache on disk",
        description="The prompt cache keeps the keys and values of prompts on disk, so that conversations continue "
        "without computing them again after a restart.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("show", help="show what is cached, by model")
    prune = actions.add_parser("prune", help="delete damaged files, then the least recently used ones")
    prune.add_argument(
        "--to-bytes",
        type=argument_type(parse_size_or_share),
        default=None,
        metavar="SIZE",
        help="how much to keep, such as 500MB, 2GB or 50%% of it (default: everything that is not damaged)",
    )
    actions.add_parser("clear", help="delete everything")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from pensieve.engine.prompt_cache.disk.folder import KV_FOLDER, KVFolder  # noqa: PLC0415 - not needed for --help
    from pensieve.models.files.home import home  # noqa: PLC0415

    folder = KVFolder(home() / KV_FOLDER)
    try:
        if arguments.action == "show":
            folder.scan()
            _show(folder)
        elif arguments.action == "prune":
            _prune(folder, arguments.to_bytes)
        else:
            _prune(folder, 0)
    except OSError as error:
        print(f"pensieve: cannot change {folder.path}: {error}", file=sys.stderr)
        return 1
    return 0


def _show(folder: KVFolder) -> None:
    from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget  # noqa: PLC0415

    num_files = len(folder.blocks)
    print(f"{folder.path}: {num_files} file{'' if num_files == 1 else 's'}, {format_size(folder.num_bytes)}")
    by_model: dict[str, list[StoredBlock]] = {}
    for block in folder.blocks.values():
        by_model.setdefault(block.fingerprint, []).append(block)
    for fingerprint, blocks in sorted(by_model.items()):
        num_tokens = sum(len(block.token_ids) for block in blocks)
        used = datetime.fromtimestamp(max(block.used_at for block in blocks), UTC)
        print(
            f"  model {fingerprint[:12]}: {num_tokens} tokens, "
            f"{format_size(sum(block.num_bytes for block in blocks))}, last used {used:%Y-%m-%d %H:%M} UTC"
        )
    written = WriteBudget(folder.path).usage().day_bytes
    print(f"  written in the last 24 hours: {format_size(written)}")
    if folder.aside_bytes():
        print(f"  set aside as damaged: {format_size(folder.aside_bytes())}")


def _prune(folder: KVFolder, limit: Size | None) -> None:
    if not folder.path.is_dir():
        print(f"{folder.path}: the cache is empty")
        return
    with folder.locked():
        folder.scan()
        before = folder.num_bytes + folder.aside_bytes()
        folder.delete_aside()
        folder.make_room(0, folder.num_bytes if limit is None else bytes_of(limit, folder.num_bytes))
    after = folder.num_bytes
    print(f"{folder.path}: {format_size(before - after)} deleted, {format_size(after)} left")
