"""The parser of every command: wrong usage is one sentence with a suggestion, then the usage of that command (U9)."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

EXIT_USAGE: Final = 2

Value = TypeVar("Value")

KNOWN_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("start", "server", "up", "mlx_lm.server"), "serve"),
    **dict.fromkeys(("generate", "prompt", "ask", "complete"), "run"),
    **dict.fromkeys(("repl", "talk"), "chat"),
    **dict.fromkeys(("ls", "models", "available"), "list"),
    **dict.fromkeys(("delete", "del", "uninstall", "remove"), "rm"),
    **dict.fromkeys(("download", "get", "fetch", "install", "update"), "pull"),
    **dict.fromkeys(("info", "inspect", "describe"), "show"),
    **dict.fromkeys(("kill", "quit", "shutdown", "down"), "stop"),
    **dict.fromkeys(("status", "top", "processes"), "ps"),
    **dict.fromkeys(("claude", "code"), "launch claude"),
    **dict.fromkeys(("check", "diagnose"), "doctor"),
    **dict.fromkeys(("log", "tail", "journal"), "logs"),
    **dict.fromkeys(("settings", "configure"), "config"),
    **dict.fromkeys(("set", "change", "open"), "edit"),
    **dict.fromkeys(("num-ctx", "ctx-size", "n-ctx", "max-model-len", "window", "c"), "--context"),
    **dict.fromkeys(("num-predict", "n-predict", "max-new-tokens"), "--max-tokens"),
    "m": "--model",
    "p": "--port",
    "v": "--version",
    "temp": "--temperature",
    **dict.fromkeys(("purge", "empty"), "clear"),
    **dict.fromkeys(("create", "new"), "add"),
}
"""Words of other programs for what a command, an action or a flag does here."""

_WORDINGS: Final = (
    (
        r"the following arguments are required: (MODEL)",
        r"\1 is missing; `pensieve list` shows the models on this machine",
    ),
    (r"the following arguments are required: (.+?)(?:, \.\.\.)?", r"\1 is missing"),
    (r"one of the arguments (.+) is required", r"one of \1 is missing"),
    (r"argument (.+?): expected (one|at least one) argument", r"\1 needs a value"),
    (r"argument (.+?): ignored explicit argument .+", r"\1 takes no value"),
    (r"argument (.+?): not allowed with argument (.+)", r"\1 does not work together with \2"),
    (r"argument (.+?): (.+)", r"\1: \2"),
)
"""What argparse says, and what is printed instead."""
_WRONG_CHOICE: Final = r"argument (.+?): invalid choice: (.+?) \(choose from (.+)\)"


class SentenceParser(argparse.ArgumentParser):
    """Reports wrong usage. Flags cannot be abbreviated: with every new flag, an abbreviation could mean another."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {in_plain_words(message)}\n{self.format_usage()}")


class CommandParser(SentenceParser):
    """Refuses what it does not know by itself, so that sentence and usage are those of the command that was meant."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._commands: Mapping[str, CommandParser] = {}
        self._kind = "command"
        self._with_values: list[argparse.Action] = []
        self._takes_rest = self._is_plain = False
        super().__init__(*arguments, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        self._takes_rest = self._takes_rest or options.get("nargs") == argparse.REMAINDER
        action = super().add_argument(*names, **options)
        self._with_values.append(action)
        return action

    def add_subparsers(self, **options: Any) -> argparse._SubParsersAction[Any]:
        action = super().add_subparsers(**{"prog": self.prog, **options})
        self._commands, self._kind = action.choices, str(options.get("metavar", self._kind)).lower()
        return action

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        words = list(sys.argv[1:] if args is None else args)
        if self._is_plain:
            return super().parse_known_args(words, namespace)
        if self._commands:
            self._check_command(words)
        parsed, unknown = self._parsed(words, namespace)
        if unknown:
            self.error(self._unknown(unknown))
        return parsed, []

    def _parsed(self, words: Sequence[str], namespace: Any) -> Any:
        """Flags may stand before, between and after the words of a command."""
        if self._commands or self._takes_rest:
            return super().parse_known_args(words, namespace)
        self._is_plain = True
        try:
            return self.parse_known_intermixed_args(words, namespace)
        finally:
            self._is_plain = False

    def complete_with(self, metavars: Collection[str], completer: Callable[..., list[str]]) -> None:
        """Let argcomplete complete the values that help texts call by one of these words, in all commands.

        It parses lines that are not complete yet, so nothing is refused from now on.
        """
        self._is_plain = True
        for action in self._with_values:
            if action.metavar in metavars:
                action.completer = completer  # type: ignore[attr-defined]  # the name that argcomplete looks for
        for command in self._commands.values():
            command.complete_with(metavars, completer)

    def flags(self) -> list[str]:
        """As the help lists them."""
        listed = re.findall(r"^  (-\S.*?)(?:  |$)", self.format_help(), re.MULTILINE)
        return [flag for line in listed for flag in re.findall(r"(?<![\w-])--?[a-z][\w-]*", line)]

    def _check_command(self, words: Sequence[str]) -> None:
        if not words:
            self.print_help()
            self.exit()
        word = words[0]
        if word.startswith("-"):
            if word not in self.flags():
                self.error(self._unknown([word]))
        elif word not in self._commands:
            self.error(f"no {self._kind} {word!r}{self._did_you_mean(word, self._commands)}")

    def _unknown(self, words: Sequence[str]) -> str:
        flag = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
        if flag is None:
            return f"{words[0]!r} is one word too many; {self.prog} --help shows what belongs there"
        owners = [name for name, command in self._commands.items() if flag in command.flags()]
        if owners:
            return f"{flag} belongs after the {self._kind}, as in: {self.prog} {owners[0]} {flag}"
        return f"no flag {flag}{self._did_you_mean(flag, self.flags())}"

    def _did_you_mean(self, word: str, known: Iterable[str]) -> str:
        nearest = nearest_word(word, known)
        return f"; did you mean {nearest}?" if nearest else f"; {self.prog} --help lists them all"


def argument_type(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """`parse` for argparse, which reports the message of this kind of error alone."""

    def parsed(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """What was probably meant: a word that continues or resembles it, or what another program calls by this word."""
    names = list(known)
    bare = word.lower().lstrip("-")
    meant = KNOWN_ELSEWHERE.get(bare)
    if meant is not None and meant.split()[0] in names:
        return meant
    by_bare = {name.lstrip("-"): name for name in names}
    if len(bare) > 1 and (longer := [name for each, name in by_bare.items() if each.startswith(bare)]):
        return min(longer, key=len)
    close = difflib.get_close_matches(bare, by_bare, n=1)
    return by_bare[close[0]] if close else None


def in_plain_words(message: str) -> str:
    """A message of argparse as this program words it, with a suggestion; any other message as it is."""
    if (choice := re.fullmatch(_WRONG_CHOICE, message)) is not None:
        return _wrong_choice(*choice.groups())
    for pattern, words in _WORDINGS:
        if (match := re.fullmatch(pattern, message, re.DOTALL)) is not None:
            return match.expand(words)
    return message


def _wrong_choice(name: str, given: str, listed: str) -> str:
    choices = listed.replace("'", "").split(", ")
    nearest = nearest_word(given.strip("'"), choices)
    if nearest is not None:
        return f"{name}: {given} is not possible; did you mean {nearest}?"
    *others, last = choices
    return f"{name}: {given} is not possible; it can be {' or '.join([', '.join(others), last] if others else [last])}"
