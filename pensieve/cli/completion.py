"""`pensieve completion bash|zsh|fish`: completes commands, flags and model names in a shell."""

from __future__ import annotations

import argparse
import os
from typing import Any, Final

from pensieve.cli.parser import CommandParser

_SHELLS: Final = ("bash", "zsh", "fish")
_VARIABLE: Final = "_ARGCOMPLETE"
"""Set by the shell's code when it wants completions."""
_MODEL_WORDS: Final = frozenset(("MODEL", "NAME", "M"))
_INSTALL: Final = """To install it:
  bash   echo 'eval "$(pensieve completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(pensieve completion zsh)"' >> ~/.zshrc
  fish   pensieve completion fish > ~/.config/fish/completions/pensieve.fish
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "completion",
        help="print the code that completes commands and model names in a shell",
        description="Print the code with which a shell completes commands, flags and the names of models.",
        epilog=_INSTALL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", metavar="bash|zsh|fish", choices=_SHELLS, help="the shell")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - not needed for other commands

    print(shellcode(["pensieve"], shell=arguments.shell))
    return 0


def complete_for_shell(parser: CommandParser) -> None:
    """Answer the shell and end the process, if it is the shell that started it."""
    if _VARIABLE in os.environ:
        from argcomplete import autocomplete  # noqa: PLC0415

        parser.complete_with(_MODEL_WORDS, _model_names)
        autocomplete(parser)


def _model_names(prefix: str, **_: object) -> list[str]:
    """The models on this machine, and the curated ones."""
    from pensieve.models.library.aliases import curated_models  # noqa: PLC0415
    from pensieve.models.library.inventory import local_models  # noqa: PLC0415

    names = {name for model in local_models() for name in (model.name, *model.aliases)}
    return sorted(name for name in names | {model.alias for model in curated_models()} if name.startswith(prefix))
