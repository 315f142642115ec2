"""`pensieve keys`: makes keys for the file of `--api-keys`."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path
from typing import Any

from pensieve.api.http.keys import KeyFileError, hashed, is_name, parse_keys
from pensieve.cli.settings.read import configured_text
from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.library.user_path import user_path

_NUM_BYTES = 32
_PREFIX = "sk-pensieve-"


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "keys",
        help="make keys for several clients",
        description="Each client of a server may have a key of its own, with a name, a rate limit and a prompt cache.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key and print it: only its SHA-256 is kept")
    add.add_argument("name", metavar="NAME", help="the client's name in the log and in metrics")
    add.add_argument(
        "--api-keys",
        type=Path,
        metavar="FILE",
        help="the file to add it to, made if there is none; a server that uses it accepts the key at once "
        "(default: api_keys in the settings file) [PENSIEVE_API_KEYS]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    file = arguments.api_keys or configured_text("api_keys")
    if file is None:
        print("pensieve: name the file with --api-keys or PENSIEVE_API_KEYS", file=sys.stderr)
        return 2
    if not is_name(arguments.name):
        print(f"pensieve: {arguments.name!r} is not 1 to 64 letters, digits, - and _", file=sys.stderr)
        return 2
    path, key = user_path(str(file)), _PREFIX + secrets.token_urlsafe(_NUM_BYTES)
    try:
        _add(path, arguments.name, key)
    except (KeyFileError, OSError) as error:
        print(f"pensieve: cannot add a key: {error}", file=sys.stderr)
        return 1
    print(key)
    return 0


def _add(path: Path, name: str, key: str) -> None:
    """The first line of a TOML file is outside any table, whatever follows."""
    before = path.read_bytes() if path.exists() else b""
    content = f'{name} = "{hashed(key)}"\n'.encode() + before
    parse_keys(path, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, durable=True) as file:  # mode 0600
        file.write(content)
