"""`pensieve completion bash|zsh|fish`: completes commands, flags and model names in a shell."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from pensieve.cli.parser import CommandParser

_SHELLS: Final = ("bash", "zsh", "fish")
_VARIABLE: Final = "_ARGCOMPLETE"
"""Set by the shell's code when it wants completions."""
_MODEL_WORDS: Final = frozenset(("MODEL", "NAME", "M"))
_WORDS: Final = {
    "LEVEL": ("debug", "info", "warning", "error"),
    "FORMAT": ("text", "json"),
    "auto|off": ("auto", "off"),
}
"""The possible values, by what help texts call them."""
_ZSH_COMPLETES: Final = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }"
"""A zsh without a configuration, such as a new Mac's, has not set up its completion."""
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

    code = shellcode(["pensieve"], shell=arguments.shell)
    if arguments.shell == "zsh":
        head, _, rest = code.partition("\n")  # the first line is for zsh's own search for completions
        code = f"{head}\n{_ZSH_COMPLETES}\n{rest}"
    print(code)
    return 0


def complete_for_shell(parser: CommandParser) -> None:
    """Answer the shell and end the process, if it is the shell that started it."""
    if _VARIABLE in os.environ:
        from argcomplete import autocomplete  # noqa: PLC0415

        parser.complete_with(_MODEL_WORDS, _model_names)
        for metavar, words in _WORDS.items():
            parser.complete_with((metavar,), partial(_starting, words))
        autocomplete(parser)


def _starting(words: Sequence[str], prefix: str, **_: object) -> list[str]:
    return [word for word in words if word.startswith(prefix)]


def _model_names(prefix: str, **_: object) -> list[str]:
    """The models on this machine, and the curated ones."""
    from pensieve.models.library.aliases import curated_models  # noqa: PLC0415
    from pensieve.models.library.inventory import local_models  # noqa: PLC0415

    names = {name for model in local_models() for name in (model.name, *model.aliases)}
    return sorted(name for name in names | {model.alias for model in curated_models()} if name.startswith(prefix))
